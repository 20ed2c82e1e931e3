"""The last attempts at an event, and what it waits for: for a person who asks what became of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from bridge.core.errors import bounded
from bridge.core.ledger.planned_event import PlannedEvent, load_planned

MAX_ATTEMPTS, MAX_ERROR_BYTES = 8, 200


class WaitReason(StrEnum):
    """The cause of a wait in a delay queue."""

    RETRY = "retry"
    """The event's own last attempt."""
    LANE = "lane"
    """An earlier event of its lane."""
    API = "api"
    """The API is away, or does not take the bridge's credentials."""
    LEDGER = "ledger"
    """The ledger is away."""
    LIMIT = "limit"
    """A rate limit."""
    BROKER = "broker"
    """The broker refuses what is published for it."""
    PERSON = "person"
    """A person has paused its route, its user, its inbound or everything: until that is lifted."""
    REFUSALS = "refusals"
    """Its route is held, since the API has refused event after event of it: until that is lifted."""


@dataclass(frozen=True, slots=True)
class Wait:
    """A wait in a delay queue, or (PERSON, REFUSALS) the held one: until when (Unix seconds; 0: nobody knows), and why.

    `about` says for which limit, where it is one.
    """

    until_s: int
    reason: WaitReason
    about: str = ""

    @property
    def words(self) -> str:
        """The cause in words, as a copy's header has it."""
        return f"{self.reason}: {self.about}" if self.about else self.reason.value

    def dump(self) -> list[object]:
        """As values for JSON."""
        values: list[object] = [self.until_s, self.reason.value]
        return [*values, self.about] if self.about else values


@dataclass(frozen=True, slots=True)
class PastAttempt:
    """An attempt that did not end in an answer: when that was (Unix seconds), its outcome, the error in short."""

    at_s: int
    outcome: str
    error: str


@dataclass(frozen=True, slots=True)
class AttemptLog:
    """The last attempts, the oldest first, and the wait that follows on them.

    `planned` is what the event was resolved to at the last one, where that left nothing in doubt: it binds nobody.
    """

    attempts: tuple[PastAttempt, ...] = ()
    wait: Wait | None = None
    planned: PlannedEvent | None = None

    def having(self, at_s: float, outcome: str, error: str, planned: PlannedEvent | None = None) -> "AttemptLog":
        """The same with one more attempt, which the wait before it led to."""
        attempt = PastAttempt(int(at_s), outcome, bounded(error, MAX_ERROR_BYTES))
        return AttemptLog((*self.attempts, attempt)[-MAX_ATTEMPTS:], planned=planned)

    def waiting(self, wait: Wait | None) -> "AttemptLog":
        """The same with this wait, or none."""
        return replace(self, wait=wait)

    def dump(self) -> dict[str, object]:
        """As values for JSON; nothing of what is empty."""
        attempts = [[each.at_s, each.outcome, each.error] for each in self.attempts]
        wait = None if self.wait is None else self.wait.dump()
        planned = None if self.planned is None else self.planned.dump()
        return {name: value for name, value in (("log", attempts), ("wait", wait), ("planned", planned)) if value}


NO_ATTEMPTS = AttemptLog()


def load_log(attempts: Sequence[Sequence[object]], wait: Sequence[object] | None, planned: object = None) -> AttemptLog:
    """The log that was dumped. Raises ValueError and TypeError."""
    return AttemptLog(
        tuple([PastAttempt(int(str(at_s)), str(outcome), str(error)) for at_s, outcome, error in attempts]),
        None if wait is None else Wait(int(str(wait[0])), WaitReason(str(wait[1])), "".join(map(str, wait[2:3]))),
        load_planned(planned),
    )
