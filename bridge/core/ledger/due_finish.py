"""When a conversation is to be finished: docs/semantics.md, The end of a conversation."""

from collections.abc import Mapping
from dataclasses import field, replace

from bridge.core.value import value


@value(frozen=True, slots=True)
class DueFinish:
    """A conversation that the bridge will finish, as the ledger has it. Times are Unix seconds.

    `finish_s` is the silence after which it is due: 0 as soon as it is answered, infinite never. `last_s` is its last
    sign of life, `again_s` when a try that came to nothing is repeated. What is said of it names `event_id`, the last
    event, and goes where `channel`, `route`, `version_set` and `tags` lead (the conversation's own, empty where it is
    not known). `requested`: the API has been asked.
    `ending` is what is about to be said of it.
    """

    conversation_id: str
    user_id: str
    service_id: str
    finish_s: float
    last_s: float
    event_id: str
    channel: str
    version_set: str
    route: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    again_s: float = 0.0
    requested: bool = False
    ending: bytes | None = None

    @property
    def due_s(self) -> float:
        return max(self.last_s + self.finish_s, self.again_s)

    def after(self, known: "DueFinish | None") -> "DueFinish":
        """This sign of life on top of what was known: of several wishes the one with the latest end holds."""
        return self if known is None else replace(self, finish_s=max(self.finish_s, known.finish_s))
