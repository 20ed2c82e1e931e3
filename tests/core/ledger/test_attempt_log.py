"""The last attempts at an event, as the ledger keeps them."""

import orjson

from bridge.core.ledger.attempt_log import (
    MAX_ATTEMPTS,
    MAX_ERROR_BYTES,
    NO_ATTEMPTS,
    AttemptLog,
    PastAttempt,
    Wait,
    WaitReason,
    load_log,
)


def kept(log: AttemptLog) -> AttemptLog:
    fields = orjson.loads(orjson.dumps(log.dump()))
    return load_log(fields.get("log", ()), fields.get("wait"), fields.get("planned"))


def test_the_last_attempts_are_kept_the_oldest_first_and_short() -> None:
    log = NO_ATTEMPTS
    for number in range(MAX_ATTEMPTS + 3):
        log = log.having(number + 0.9, "busy", f"{number} " + "x" * 1_000)
    assert [each.at_s for each in log.attempts] == list(range(3, MAX_ATTEMPTS + 3))
    assert {len(each.error.encode()) for each in log.attempts} == {MAX_ERROR_BYTES}
    assert kept(log) == log


def test_an_attempt_ends_a_wait() -> None:
    log = NO_ATTEMPTS.waiting(Wait(60, WaitReason.LANE))
    assert kept(log) == log
    limited = NO_ATTEMPTS.waiting(Wait(60, WaitReason.LIMIT, "the limit of ann for interact"))
    assert kept(limited) == limited
    assert log.having(61, "down", "no answer") == AttemptLog((PastAttempt(61, "down", "no answer"),))
    assert log.waiting(None) == NO_ATTEMPTS


def test_of_what_is_empty_nothing_is_kept() -> None:
    assert NO_ATTEMPTS.dump() == {}
    assert kept(NO_ATTEMPTS) == NO_ATTEMPTS


def test_half_a_surrogate_pair_is_kept_as_something_else() -> None:
    assert kept(NO_ATTEMPTS.having(1, "unknown", "it said \ud800")).attempts[0].error == "it said ?"
