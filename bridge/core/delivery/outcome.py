"""How an attempt ended, and what follows: docs/semantics.md, Outcomes of an attempt, as data.

Every way to end is an Outcome and every Outcome has its row in ROWS; `decide` turns one into a settlement.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from bridge.core.answer.answer_stream import AnswerStream, Stage
from bridge.core.delivery.progress import RequestKind
from bridge.core.delivery.retry import RetryPolicy, backoff, level_within, pause
from bridge.core.errors import (
    ApiError,
    InvalidEvent,
    Limited,
    Lost,
    NoRoute,
    NotSent,
    Refused,
    SignInRefused,
    TooEarly,
    Unavailable,
    UnknownUser,
    Unsendable,
    bounded,
    is_transient,
)
from bridge.core.lanes.lane_turns import Before
from bridge.core.value import value


class OutcomeKind(StrEnum):
    """How an attempt ended."""

    COMPLETE = "complete"
    SAVED = "saved"
    EXPIRED = "expired"
    INVALID = "invalid"
    NO_ROUTE = "no-route"
    NO_USER = "no-user"
    USER_FOUND = "user-found"
    REJECTED = "rejected"
    CONFLICT = "conflict"
    BUSY = "busy"
    CREDENTIALS = "credentials"
    TOO_EARLY = "too-early"
    LIMITED = "limited"
    DOWN = "down"
    UNKNOWN = "unknown"
    VOID = "void"
    UNDELIVERABLE = "undeliverable"
    UNTAKEN = "untaken"
    UNCERTAIN = "uncertain"
    LEDGER_AWAY = "ledger-away"
    LEASE_LOST = "lease-lost"
    BUG = "bug"


class Then(StrEnum):
    """The next step: done, another try that counts, another try that does not, the same from a delay queue,
    the dead-letter queue, another lane. `PLACE` is a pause until a moment that is kept for it.
    """

    ACK = "ack"
    RETRY = "retry"
    PAUSE = "pause"
    PLACE = "place"
    AWAY = "away"
    DEAD = "dead-letter"
    MOVE = "move"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table: what follows, and the reason where that is the dead-letter queue."""

    then: Then
    reason: str = ""


ROWS: Mapping[OutcomeKind, Row] = {
    OutcomeKind.COMPLETE: Row(Then.ACK),
    OutcomeKind.SAVED: Row(Then.ACK),
    OutcomeKind.EXPIRED: Row(Then.ACK),
    OutcomeKind.INVALID: Row(Then.DEAD, "invalid-event"),
    OutcomeKind.NO_ROUTE: Row(Then.DEAD, "no-route"),
    OutcomeKind.NO_USER: Row(Then.DEAD, "no-user"),
    OutcomeKind.USER_FOUND: Row(Then.MOVE),
    OutcomeKind.REJECTED: Row(Then.DEAD, "rejected"),
    OutcomeKind.CONFLICT: Row(Then.RETRY),
    OutcomeKind.BUSY: Row(Then.PAUSE),
    OutcomeKind.CREDENTIALS: Row(Then.PAUSE),
    OutcomeKind.TOO_EARLY: Row(Then.PAUSE),
    OutcomeKind.LIMITED: Row(Then.PLACE),
    OutcomeKind.DOWN: Row(Then.PAUSE),
    OutcomeKind.UNKNOWN: Row(Then.RETRY),
    OutcomeKind.VOID: Row(Then.RETRY),
    OutcomeKind.UNDELIVERABLE: Row(Then.DEAD, "undeliverable"),
    OutcomeKind.UNTAKEN: Row(Then.AWAY),
    OutcomeKind.UNCERTAIN: Row(Then.DEAD, "uncertain"),
    OutcomeKind.LEDGER_AWAY: Row(Then.PAUSE),
    OutcomeKind.LEASE_LOST: Row(Then.PAUSE),
    OutcomeKind.BUG: Row(Then.DEAD, "internal-error"),
}

EXHAUSTED = "exhausted"
SHORTEST_WAIT_S = 0.01

# Answers to create and interact. What is not named here: 4xx and 3xx are REJECTED, 5xx are UNKNOWN.
STATUSES: Mapping[int, OutcomeKind] = {
    401: OutcomeKind.CREDENTIALS,
    408: OutcomeKind.UNKNOWN,
    409: OutcomeKind.CONFLICT,
    429: OutcomeKind.TOO_EARLY,
    503: OutcomeKind.DOWN,
}
OUTAGE = frozenset({OutcomeKind.DOWN, OutcomeKind.CREDENTIALS})
"""Outcomes that say of the API as a whole that it is of no use."""


@value(frozen=True, slots=True)
class Outcome:
    """How an attempt ended, in whose words, the wait that the API asked for, and whether the API may have acted.

    `request` is the one that was refused or answered, where one was.
    """

    kind: OutcomeKind
    error: str = ""
    wait_s: float | None = None
    status: int | None = None
    maybe_sent: bool = False
    request: RequestKind | None = None


@value(frozen=True, slots=True)
class Acknowledge:
    """Settled: everything is confirmed; `repeat` where it had been before."""

    repeat: bool = False


@dataclass(frozen=True, slots=True)
class Again:
    """Try again in `after_s` seconds; `attempt` and `pauses` are the counts that the next try starts with.

    Whether it must first ask what became of the last one is not decided here: the progress says so. `limit` says which
    rate limit it waits for, where it is one: its place there is kept for that moment. `away`: not in memory, where it
    would hold what others need. `outage`: for the API as a whole, so not for longer than that is away.
    """

    after_s: float
    attempt: int
    pauses: int
    limit: str = ""
    away: bool = False
    outage: bool = False

    @property
    def park_s(self) -> float:
        """Seconds for a delay queue: a place under a limit is kept for its moment, so none that is over after it."""
        return (level_within(self.after_s) if self.limit else None) or self.after_s


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """The end without an answer: the dead-letter queue, with the reason, and `bridge-failed`.

    Header, ending, log and ledger have the same words: the error is bounded here.
    """

    reason: str
    error: str
    attempts: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "error", bounded(self.error))


@dataclass(frozen=True, slots=True)
class Moved:
    """The event's user is known now, or its time has come: it goes on in another lane."""


@dataclass(frozen=True, slots=True)
class NotYet:
    """The event may start in `left_s` seconds, and holds up nobody until then."""

    left_s: float


@dataclass(frozen=True, slots=True)
class Behind:
    """Others come before the event in its lane, as the ledger has it: it goes on once they have ended."""

    before: Before


@dataclass(frozen=True, slots=True)
class KeptBack:
    """A person wants the event to wait: it goes to the held queue until the pause of this key is lifted."""

    key: str


Settlement = Acknowledge | Again | Behind | DeadLetter | KeptBack | Moved | NotYet


def decide(outcome: Outcome, attempt: int, pauses: int, policy: RetryPolicy, dice: float) -> Settlement:
    """Settle an attempt: `attempt` is its number (1, 2, 3 …), `pauses` the uncounted waits in a row before it."""
    row = ROWS[outcome.kind]
    match row.then:
        case Then.ACK:
            return Acknowledge()
        case Then.DEAD:
            return DeadLetter(row.reason, outcome.error, attempt)
        case Then.MOVE:
            return Moved()
        case Then.PAUSE:
            least_s = pause(pauses + 1, policy, dice)  # whatever the API asks for: "now" again and again is no wait
            wait_s = max(least_s, outcome.wait_s or 0.0)
            return Again(wait_s, attempt - 1, pauses + 1, outage=outcome.kind in OUTAGE)
        case Then.PLACE:
            wait_s = max(outcome.wait_s or 0.0, SHORTEST_WAIT_S)
            return Again(wait_s, attempt - 1, max(pauses, 1), outcome.error)
        case Then.AWAY:
            return Again(outcome.wait_s or policy.first_s, attempt - 1, pauses, away=True)
        case Then.RETRY:
            retry_s = backoff(attempt, policy, dice)
            if retry_s is None:
                return DeadLetter(EXHAUSTED, outcome.error, attempt)
            return Again(max(retry_s, outcome.wait_s or 0.0), attempt, 0)


def of_error(error: Exception) -> Outcome:
    """The ending that an error before the first line means."""
    match error:
        case NoRoute():
            return Outcome(OutcomeKind.NO_ROUTE, str(error))
        case InvalidEvent():
            return Outcome(OutcomeKind.INVALID, str(error))
        case SignInRefused():
            return Outcome(OutcomeKind.CREDENTIALS, str(error))
        case UnknownUser() | Unsendable():
            return Outcome(OutcomeKind.REJECTED, str(error))
        case Limited():
            return Outcome(OutcomeKind.LIMITED, str(error), error.wait_s)
        case TooEarly():
            return Outcome(OutcomeKind.TOO_EARLY, str(error), error.wait_s)
        case NotSent():
            return Outcome(OutcomeKind.DOWN, str(error))
        case Unavailable():
            return Outcome(OutcomeKind.DOWN, str(error), maybe_sent=True)
        case Lost():
            return Outcome(OutcomeKind.UNKNOWN, str(error), maybe_sent=True)
        case Refused():
            return _of_status(error)
        case ApiError():
            return Outcome(OutcomeKind.UNKNOWN, str(error), maybe_sent=True)
        case _:
            return Outcome(OutcomeKind.BUG, f"{type(error).__name__}: {error}")


def of_stream(answer_stream: AnswerStream, request: RequestKind | None = None) -> Outcome:
    """The ending that a stream's last stage means; `request` is what it answers."""
    error, status = answer_stream.error, answer_stream.error_code
    match answer_stream.stage:
        case Stage.COMPLETE:
            return Outcome(OutcomeKind.COMPLETE, request=request)
        case Stage.SAVED:
            return Outcome(OutcomeKind.SAVED, error, status=status, request=request)
        case Stage.VOID if _final(status):
            return Outcome(OutcomeKind.REJECTED, error, status=status, request=request)
        case Stage.VOID:
            return Outcome(OutcomeKind.VOID, error, status=status, maybe_sent=True, request=request)
        case _:
            return Outcome(OutcomeKind.UNKNOWN, error, maybe_sent=True, request=request)


def _of_status(error: Refused) -> Outcome:
    kind = STATUSES.get(error.status)
    if kind is None:
        kind = OutcomeKind.UNKNOWN if error.status >= 500 else OutcomeKind.REJECTED
    if kind is OutcomeKind.REJECTED and error.status == 400 and error.operation == "create-conversation":
        kind = OutcomeKind.CONFLICT
    maybe_sent = kind is OutcomeKind.UNKNOWN or kind is OutcomeKind.DOWN
    return Outcome(kind, str(error), error.retry_after_s, error.status, maybe_sent)


def _final(code: int | None) -> bool:
    return code is not None and 400 <= code < 500 and not is_transient(code)
