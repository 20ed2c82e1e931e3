"""How an attempt ended, and what follows: docs/semantics.md, Outcomes of an attempt, as data.

Every way to end is an Outcome and every Outcome has its row in ROWS; `decide` turns one into a settlement.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from bridge.core.answer.answer_stream import Conversation, Stage
from bridge.core.delivery.retry import RetryPolicy, backoff, pause
from bridge.core.errors import (
    ApiError,
    InvalidEvent,
    Lost,
    NoRoute,
    NotSent,
    Refused,
    SignInRefused,
    TooEarly,
    Unavailable,
    UnknownUser,
    Unsendable,
)


class Outcome(StrEnum):
    """How an attempt ended."""

    COMPLETE = "complete"
    SAVED = "saved"
    INVALID = "invalid"
    NO_ROUTE = "no-route"
    REJECTED = "rejected"
    CONFLICT = "conflict"
    BUSY = "busy"
    CREDENTIALS = "credentials"
    TOO_EARLY = "too-early"
    DOWN = "down"
    UNKNOWN = "unknown"
    VOID = "void"
    UNDELIVERABLE = "undeliverable"
    UNCERTAIN = "uncertain"
    LEDGER_AWAY = "ledger-away"
    LEASE_LOST = "lease-lost"
    BUG = "bug"


class Then(StrEnum):
    """What follows: done, another try that counts, another try that does not, or the dead-letter queue."""

    ACK = "ack"
    RETRY = "retry"
    PAUSE = "pause"
    DEAD = "dead-letter"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table: what follows, and the reason where that is the dead-letter queue."""

    then: Then
    reason: str = ""


ROWS: Mapping[Outcome, Row] = {
    Outcome.COMPLETE: Row(Then.ACK),
    Outcome.SAVED: Row(Then.ACK),
    Outcome.INVALID: Row(Then.DEAD, "invalid-event"),
    Outcome.NO_ROUTE: Row(Then.DEAD, "no-route"),
    Outcome.REJECTED: Row(Then.DEAD, "rejected"),
    Outcome.CONFLICT: Row(Then.RETRY),
    Outcome.BUSY: Row(Then.PAUSE),
    Outcome.CREDENTIALS: Row(Then.PAUSE),
    Outcome.TOO_EARLY: Row(Then.PAUSE),
    Outcome.DOWN: Row(Then.PAUSE),
    Outcome.UNKNOWN: Row(Then.RETRY),
    Outcome.VOID: Row(Then.RETRY),
    Outcome.UNDELIVERABLE: Row(Then.DEAD, "undeliverable"),
    Outcome.UNCERTAIN: Row(Then.DEAD, "uncertain"),
    Outcome.LEDGER_AWAY: Row(Then.PAUSE),
    Outcome.LEASE_LOST: Row(Then.PAUSE),
    Outcome.BUG: Row(Then.DEAD, "internal-error"),
}

EXHAUSTED = "exhausted"

# Answers to create and interact. What is not named here: 4xx and 3xx are REJECTED, 5xx are UNKNOWN.
STATUSES: Mapping[int, Outcome] = {
    401: Outcome.CREDENTIALS,
    408: Outcome.UNKNOWN,
    409: Outcome.CONFLICT,
    429: Outcome.TOO_EARLY,
    503: Outcome.DOWN,
}
TRANSIENT_4XX = frozenset({408, 409, 429})


@dataclass(frozen=True, slots=True)
class Ended:
    """How an attempt ended, in whose words, the wait that the API asked for, and whether the API may have acted."""

    outcome: Outcome
    error: str = ""
    wait_s: float | None = None
    status: int | None = None
    maybe_sent: bool = False


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """Settled: everything is confirmed; `repeat` where it had been before."""

    repeat: bool = False


@dataclass(frozen=True, slots=True)
class Again:
    """Try again in `after_s` seconds; `attempt` and `pauses` are the counts that the next try starts with.

    Whether it must first ask what became of the last one is not decided here: the record of requests says so.
    """

    after_s: float
    attempt: int
    pauses: int


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """It cannot be done: the dead-letter queue, with the reason, and `bridge-failed`."""

    reason: str
    error: str
    attempts: int


Settlement = Acknowledge | Again | DeadLetter


def decide(ended: Ended, attempt: int, pauses: int, policy: RetryPolicy, dice: float) -> Settlement:
    """What follows an attempt: `attempt` is its number (1, 2, 3 …), `pauses` the uncounted waits in a row before it."""
    row = ROWS[ended.outcome]
    match row.then:
        case Then.ACK:
            return Acknowledge()
        case Then.DEAD:
            return DeadLetter(row.reason, ended.error, attempt)
        case Then.PAUSE:
            least_s = pause(pauses + 1, policy, dice)  # whatever the API asks for: "now" again and again is no wait
            return Again(max(least_s, ended.wait_s or 0.0), attempt - 1, pauses + 1)
        case Then.RETRY:
            retry_s = backoff(attempt, policy, dice)
            if retry_s is None:
                return DeadLetter(EXHAUSTED, ended.error, attempt)
            return Again(max(retry_s, ended.wait_s or 0.0), attempt, 0)


def of_error(error: Exception) -> Ended:
    """The ending that an error before the first line means."""
    match error:
        case NoRoute():
            return Ended(Outcome.NO_ROUTE, str(error))
        case InvalidEvent():
            return Ended(Outcome.INVALID, str(error))
        case SignInRefused():
            return Ended(Outcome.CREDENTIALS, str(error))
        case UnknownUser() | Unsendable():
            return Ended(Outcome.REJECTED, str(error))
        case TooEarly():
            return Ended(Outcome.TOO_EARLY, str(error), error.wait_s)
        case NotSent():
            return Ended(Outcome.DOWN, str(error))
        case Unavailable():
            return Ended(Outcome.DOWN, str(error), maybe_sent=True)
        case Lost():
            return Ended(Outcome.UNKNOWN, str(error), maybe_sent=True)
        case Refused():
            return _of_status(error)
        case ApiError():
            return Ended(Outcome.UNKNOWN, str(error), maybe_sent=True)
        case _:
            return Ended(Outcome.BUG, f"{type(error).__name__}: {error}")


def of_stream(conversation: Conversation) -> Ended:
    """The ending that a stream's last stage means."""
    match conversation.stage:
        case Stage.COMPLETE:
            return Ended(Outcome.COMPLETE)
        case Stage.SAVED:
            return Ended(Outcome.SAVED, conversation.error, status=conversation.error_code)
        case Stage.VOID if _final(conversation.error_code):
            return Ended(Outcome.REJECTED, conversation.error, status=conversation.error_code)
        case Stage.VOID:
            return Ended(Outcome.VOID, conversation.error, status=conversation.error_code, maybe_sent=True)
        case _:
            return Ended(Outcome.UNKNOWN, conversation.error, maybe_sent=True)


def _of_status(error: Refused) -> Ended:
    outcome = STATUSES.get(error.status)
    if outcome is None:
        outcome = Outcome.UNKNOWN if error.status >= 500 else Outcome.REJECTED
    if outcome is Outcome.REJECTED and error.status == 400 and error.operation == "create-conversation":
        outcome = Outcome.CONFLICT
    maybe_sent = outcome is Outcome.UNKNOWN or outcome is Outcome.DOWN
    return Ended(outcome, str(error), error.retry_after_s, error.status, maybe_sent)


def _final(code: int | None) -> bool:
    return code is not None and 400 <= code < 500 and code not in TRANSIENT_4XX
