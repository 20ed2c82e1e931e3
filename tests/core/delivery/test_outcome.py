"""docs/semantics.md, Outcomes of an attempt, row by row: how an attempt ended, and what follows."""

from itertools import product
from typing import Any

import pytest

from bridge.core.answer.answer_stream import AnswerStream
from bridge.core.delivery.outcome import (
    EXHAUSTED,
    ROWS,
    Acknowledge,
    Again,
    DeadLetter,
    Outcome,
    OutcomeKind,
    Then,
    decide,
    of_error,
    of_stream,
)
from bridge.core.delivery.retry import RetryPolicy, backoff, pause
from bridge.core.errors import (
    ApiError,
    BridgeError,
    InvalidEvent,
    Limited,
    LineTooLong,
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
from tests.support.making import context, factory

POLICY = RetryPolicy()
FOLLOWS = {
    OutcomeKind.COMPLETE: (Then.ACK, ""),
    OutcomeKind.SAVED: (Then.ACK, ""),
    OutcomeKind.EXPIRED: (Then.ACK, ""),
    OutcomeKind.INVALID: (Then.DEAD, "invalid-event"),
    OutcomeKind.NO_ROUTE: (Then.DEAD, "no-route"),
    OutcomeKind.NO_USER: (Then.DEAD, "no-user"),
    OutcomeKind.USER_FOUND: (Then.MOVE, ""),
    OutcomeKind.REJECTED: (Then.DEAD, "rejected"),
    OutcomeKind.CONFLICT: (Then.RETRY, ""),
    OutcomeKind.BUSY: (Then.PAUSE, ""),
    OutcomeKind.CREDENTIALS: (Then.PAUSE, ""),
    OutcomeKind.TOO_EARLY: (Then.PAUSE, ""),
    OutcomeKind.LIMITED: (Then.PLACE, ""),
    OutcomeKind.DOWN: (Then.PAUSE, ""),
    OutcomeKind.UNKNOWN: (Then.RETRY, ""),
    OutcomeKind.VOID: (Then.RETRY, ""),
    OutcomeKind.UNDELIVERABLE: (Then.DEAD, "undeliverable"),
    OutcomeKind.UNTAKEN: (Then.AWAY, ""),
    OutcomeKind.UNCERTAIN: (Then.DEAD, "uncertain"),
    OutcomeKind.LEDGER_AWAY: (Then.PAUSE, ""),
    OutcomeKind.LEASE_LOST: (Then.PAUSE, ""),
    OutcomeKind.BUG: (Then.DEAD, "internal-error"),
}


def test_every_outcome_has_its_row_and_no_row_is_without_one() -> None:
    assert set(ROWS) == set(OutcomeKind)
    assert {outcome: (row.then, row.reason) for outcome, row in ROWS.items()} == FOLLOWS


def test_exactly_the_dead_letter_rows_have_a_reason() -> None:
    assert all(bool(row.reason) == (row.then is Then.DEAD) for row in ROWS.values())


ATTEMPTS = range(1, 9)
PAUSES = (0, 1, 50)
WAITS = (None, 0.0, 7.0, 3600.0)
DICE = (0.0, 0.5, 1.0)


@pytest.mark.parametrize("outcome", OutcomeKind)
def test_every_outcome_at_every_attempt_is_settled_as_its_row_says(outcome: OutcomeKind) -> None:
    then, reason = FOLLOWS[outcome]
    for attempt, pauses, wait_s, dice in product(ATTEMPTS, PAUSES, WAITS, DICE):
        settlement = decide(Outcome(outcome, "why", wait_s), attempt, pauses, POLICY, dice)
        match then:
            case Then.ACK:
                assert settlement == Acknowledge()
            case Then.DEAD:
                assert settlement == DeadLetter(reason, "why", attempt)
            case Then.PAUSE:
                expected = max(wait_s or 0.0, pause(pauses + 1, POLICY, dice))
                outage = outcome in (OutcomeKind.DOWN, OutcomeKind.CREDENTIALS)
                assert settlement == Again(expected, attempt - 1, pauses + 1, outage=outage)
            case Then.PLACE:
                assert settlement == Again(max(wait_s or 0.0, 0.01), attempt - 1, max(pauses, 1), "why")
            case Then.AWAY:
                assert settlement == Again(wait_s or POLICY.first_s, attempt - 1, pauses, away=True)
            case Then.RETRY if attempt >= POLICY.attempts:
                assert settlement == DeadLetter("exhausted", "why", attempt)
            case Then.RETRY:
                assert settlement == Again(max(backoff(attempt, POLICY, dice) or 0, wait_s or 0), attempt, 0)


def test_a_pause_never_uses_an_event_up() -> None:
    attempt, pauses = 1, 0
    for _ in range(1000):
        settlement = decide(Outcome(OutcomeKind.DOWN), attempt, pauses, POLICY, 1.0)
        assert isinstance(settlement, Again)
        attempt, pauses = settlement.attempt + 1, settlement.pauses
        assert 0 < settlement.after_s <= 60
    assert (attempt, pauses) == (1, 1000)


@pytest.mark.parametrize("outcome", [outcome for outcome in OutcomeKind if FOLLOWS[outcome][0] is Then.PAUSE])
@pytest.mark.parametrize("asked_s", [0.0, 0.001, -5.0])
def test_a_pause_of_nothing_is_none_whatever_the_api_asks_for(outcome: OutcomeKind, asked_s: float) -> None:
    attempt, pauses, waits = 1, 0, []
    for _ in range(9):
        settlement = decide(Outcome(outcome, "come back now", asked_s), attempt, pauses, POLICY, 0.0)
        assert isinstance(settlement, Again)
        attempt, pauses = settlement.attempt + 1, settlement.pauses
        waits.append(settlement.after_s)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert attempt == 1


@pytest.mark.parametrize(
    ("after_s", "park_s"), [(0.5, 0.5), (59.0, 30.0), (61.0, 60.0), (3600.0, 3600.0), (3599.0, 1800.0)]
)
def test_a_place_under_a_limit_is_parked_until_before_its_moment(after_s: float, park_s: float) -> None:
    assert Again(after_s, 0, 1, "the limit of u").park_s == park_s
    assert Again(after_s, 0, 1).park_s == after_s


def test_six_attempts_are_made_by_default_and_not_one_more() -> None:
    made, attempt = 0, 1
    while True:
        made += 1
        settlement = decide(Outcome(OutcomeKind.UNKNOWN, "why"), attempt, 0, POLICY, 0.0)
        if isinstance(settlement, DeadLetter):
            break
        assert isinstance(settlement, Again)
        attempt = settlement.attempt + 1
    assert made == 6
    assert settlement == DeadLetter(EXHAUSTED, "why", 6)


# --- before the first line


@pytest.mark.parametrize(
    ("error", "outcome", "maybe_sent"),
    [
        (InvalidEvent("x"), OutcomeKind.INVALID, False),
        (NoRoute("x"), OutcomeKind.NO_ROUTE, False),
        (SignInRefused("x"), OutcomeKind.CREDENTIALS, False),
        (UnknownUser("x"), OutcomeKind.REJECTED, False),
        (Unsendable("x"), OutcomeKind.REJECTED, False),
        (TooEarly("x", 30.0), OutcomeKind.TOO_EARLY, False),
        (Limited("x", 30.0), OutcomeKind.LIMITED, False),
        (NotSent("x"), OutcomeKind.DOWN, False),
        (Unavailable("x"), OutcomeKind.DOWN, True),
        (Lost("x"), OutcomeKind.UNKNOWN, True),
        (LineTooLong(10, []), OutcomeKind.UNKNOWN, True),
        (ApiError("x"), OutcomeKind.UNKNOWN, True),
        (BridgeError("x"), OutcomeKind.BUG, False),
        (ValueError("x"), OutcomeKind.BUG, False),
        (RecursionError("x"), OutcomeKind.BUG, False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_an_error_before_the_first_line_has_its_row(error: Exception, outcome: OutcomeKind, maybe_sent: bool) -> None:
    ended = of_error(error)
    assert (ended.kind, ended.maybe_sent) == (outcome, maybe_sent)
    assert str(error) in ended.error


def test_a_rate_limit_tells_how_long_to_wait() -> None:
    assert of_error(TooEarly("x", 30.0)).wait_s == 30.0


def test_a_bug_is_named_by_its_type() -> None:
    assert of_error(KeyError("channel")).error == "KeyError: 'channel'"


def test_every_error_of_the_tree_has_a_row() -> None:
    made: dict[type[Exception], tuple[Any, ...]] = {
        Refused: ("create", 500, "x"),
        TooEarly: ("x", 1.0),
        Limited: ("x", 1.0),
        LineTooLong: (1, []),
    }
    kinds: list[type[Exception]] = [ApiError, *ApiError.__subclasses__(), *InvalidEvent.__subclasses__(), InvalidEvent]
    for kind in kinds:
        assert of_error(kind(*made.get(kind, ("x",)))).kind is not OutcomeKind.BUG


SOMEONE_MUST_ACT = (400, 403, 404, 415, 422, 425)
UNKNOWN = (408, 500, 502, 504)


def row_of_status(status: int, operation: str) -> OutcomeKind:
    if status in UNKNOWN:
        return OutcomeKind.UNKNOWN
    if status == 400 and operation == "create-conversation":
        return OutcomeKind.CONFLICT
    if status in SOMEONE_MUST_ACT:
        return OutcomeKind.REJECTED
    named = {401: OutcomeKind.CREDENTIALS, 409: OutcomeKind.CONFLICT, 429: OutcomeKind.TOO_EARLY, 503: OutcomeKind.DOWN}
    return named.get(status, OutcomeKind.UNKNOWN if status >= 500 else OutcomeKind.REJECTED)


@pytest.mark.parametrize("operation", ["create-conversation", "interact"])
def test_every_status_has_its_row(operation: str) -> None:
    for status in range(300, 600):
        ended = of_error(Refused(operation, status, "said", 9.0))
        expected = row_of_status(status, operation)
        assert ended.kind is expected, status
        assert ended.maybe_sent == (expected in (OutcomeKind.UNKNOWN, OutcomeKind.DOWN)), status
        assert (ended.status, ended.wait_s) == (status, 9.0)
        assert str(status) in ended.error
        assert "said" in ended.error


def test_only_what_may_have_reached_the_api_is_marked_so() -> None:
    """A refusal is an answer: nothing was carried out. 408, 5xx and a lost connection are not."""
    for status in (401, 403, 404, 409, 415, 422, 429):
        assert not of_error(Refused("interact", status, "")).maybe_sent


# --- on the stream


def stream(*lines: bytes, cut: str | None = None, ended: bool = False) -> Outcome:
    answer_stream = AnswerStream(context(stream="0123456789ab"), factory())
    answer_stream.opened()
    answer_stream.receive(lines)
    if cut is not None:
        answer_stream.cut(cut)
    if ended:
        answer_stream.ended()
    return of_stream(answer_stream)


COMPLETE = b'{"type":"interaction-complete"}'
SAID = b'{"type":"new-message"}'


def error(code: object) -> bytes:
    written = "null" if code is None else str(code).lower()
    return f'{{"type":"error","http_error_code":{written},"error_description":"why"}}'.encode()


def test_complete_is_complete_however_the_stream_goes_on() -> None:
    for ended in (stream(COMPLETE), stream(COMPLETE, ended=True), stream(COMPLETE, cut="x"), stream(COMPLETE, b"{")):
        assert ended == Outcome(OutcomeKind.COMPLETE)


@pytest.mark.parametrize("code", [None, 400, 404, 409, 422, 429, 500, 503])
def test_an_error_after_the_ending_is_saved_whatever_its_code(code: int | None) -> None:
    assert stream(COMPLETE, error(code)) == Outcome(OutcomeKind.SAVED, "why", status=code)


@pytest.mark.parametrize("code", [400, 401, 403, 404, 415, 418, 422, 425, 451, 499])
def test_an_error_with_a_4xx_code_inside_is_rejected(code: int) -> None:
    ended = stream(SAID, error(code))
    assert (ended.kind, ended.error, ended.status) == (OutcomeKind.REJECTED, "why", code)


@pytest.mark.parametrize("code", [None, 408, 409, 429, 500, 502, 503, 504, 399, 600, 0, -400, True, 422.0, '"422"'])
def test_any_other_error_before_the_ending_is_void_and_may_have_left_something(code: object) -> None:
    ended = stream(SAID, error(code))
    assert (ended.kind, ended.error, ended.maybe_sent) == (OutcomeKind.VOID, "why", True)


@pytest.mark.parametrize("lines", [(), (SAID,)])
def test_a_stream_without_an_ending_is_unknown_and_may_have_been_carried_out(lines: tuple[bytes, ...]) -> None:
    for ended in (stream(*lines, ended=True), stream(*lines, cut="reset"), stream(*lines, b"{"), stream(*lines)):
        assert (ended.kind, ended.maybe_sent) == (OutcomeKind.UNKNOWN, True)
    assert stream(*lines, cut="reset").error == "reset"


def test_a_stream_that_never_opened_is_unknown() -> None:
    answer_stream = AnswerStream(context(stream="0123456789ab"), factory())
    answer_stream.cut("time-out")
    ended = of_stream(answer_stream)
    assert (ended.kind, ended.error, ended.maybe_sent) == (OutcomeKind.UNKNOWN, "time-out", True)
