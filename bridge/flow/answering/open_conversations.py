"""Which conversation each (user, service) has open, as far as this process has seen: saves calls of the API."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bridge.core.answer.history import ConversationRow
from bridge.core.event.tags import is_own

MAX_ENTRIES = 10_000


@dataclass(frozen=True, slots=True)
class Open:
    """An open conversation; its tags, the newest message in it, and its version set, each where it is known."""

    conversation_id: str
    tags: Mapping[str, str | None] | None = None
    newest: str | None = None
    version_set: str | None = None

    @classmethod
    def of(cls, row: ConversationRow) -> "Open":
        """The conversation as it is listed."""
        return cls(row.id, row.tags, version_set=row.version_set)

    @property
    def own(self) -> bool:
        """True where the bridge started it."""
        return self.tags is not None and is_own(self.tags)


class OpenConversations:
    """A bounded memory; forgetting costs a few calls, never correctness.

    `shared`: other processes speak in the same conversations, so that none can know the newest message without asking.
    """

    def __init__(self, *, shared: bool = False) -> None:
        self._shared = shared
        self._open: OrderedDict[tuple[str, str], Open] = OrderedDict()

    def get(self, lane: tuple[str, str]) -> Open | None:
        return self._open.get(lane)

    def remember(self, lane: tuple[str, str], opened: Open) -> None:
        self._open[lane] = replace(opened, newest=None) if self._shared and opened.newest is not None else opened
        self._open.move_to_end(lane)
        if len(self._open) > MAX_ENTRIES:
            self._open.popitem(last=False)

    def forget(self, lane: tuple[str, str]) -> None:
        self._open.pop(lane, None)

    def forget_tags(self, conversation_id: str, lane: tuple[str, str]) -> Mapping[str, str | None] | None:
        """The tags of the conversation are about to change. Gives those that were remembered."""
        known = self._open.get(lane)
        if known is None or known.conversation_id != conversation_id:
            return None
        self._open[lane] = replace(known, tags=None)
        return known.tags

    def retag(
        self,
        lane: tuple[str, str],
        before: Mapping[str, str | None],
        updates: Mapping[str, str],
        deletes: Sequence[str] = (),
    ) -> None:
        """The lane's conversation had these tags, and they have been changed so."""
        known = self._open.get(lane)
        if known is not None:
            tags = {key: value for key, value in {**before, **updates}.items() if key not in deletes}
            self._open[lane] = replace(known, tags=tags)
