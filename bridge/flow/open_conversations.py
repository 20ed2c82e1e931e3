"""Which conversation each (user, service) has open, as far as this process has seen: saves a refused create."""

from collections import OrderedDict
from dataclasses import dataclass

MAX_ENTRIES = 10_000


@dataclass(frozen=True, slots=True)
class Open:
    """An open conversation, and whether the bridge started it; its channel (a tag) and its version set, where known."""

    conversation_id: str
    channel: str | None = None
    own: bool = False
    version_set: str | None = None


class OpenConversations:
    """A bounded memory; forgetting costs a few calls, never correctness."""

    def __init__(self) -> None:
        self._open: OrderedDict[tuple[str, str], Open] = OrderedDict()

    def get(self, lane: tuple[str, str]) -> Open | None:
        return self._open.get(lane)

    def remember(self, lane: tuple[str, str], opened: Open) -> None:
        self._open[lane] = opened
        self._open.move_to_end(lane)
        if len(self._open) > MAX_ENTRIES:
            self._open.popitem(last=False)

    def forget(self, lane: tuple[str, str]) -> None:
        self._open.pop(lane, None)
