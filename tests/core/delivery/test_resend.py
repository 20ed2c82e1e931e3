"""What may be sent again, over every operation and every error (docs/api-contract.md, 6.2)."""

import pytest

from bridge.core.delivery.rate_limits import LIMITS
from bridge.core.delivery.resend import MAX_RESEND_WAIT_S, ONCE, Resend, resend, resend_wait_s
from bridge.core.delivery.retry import RetryPolicy
from bridge.core.errors import (
    Actor,
    ApiError,
    Lost,
    NotSent,
    Refused,
    SignInRefused,
    TooEarly,
    Unavailable,
    UnknownUser,
    Unreadable,
)

AT_ONCE, PROOF, NEVER = Resend.AT_ONCE, Resend.AFTER_PROOF, Resend.NEVER
READS = ("list", "messages", "message-source", "insights", "services", "webhook-destinations", "webhook-deliveries")
STATUSES = (307, 400, 401, 403, 404, 408, 409, 415, 418, 422, 425, 429, 500, 502, 504)
POLICY = RetryPolicy(attempts=3, first_s=0.25, longest_s=30.0)


def refused(operation: str, status: int) -> Refused:
    return Refused(operation, status, "")


def test_every_operation_that_must_happen_once_has_a_limit_and_so_a_name() -> None:
    assert LIMITS.keys() >= ONCE


@pytest.mark.parametrize("operation", LIMITS)
def test_what_was_never_sent_may_be_sent(operation: str) -> None:
    assert resend(operation, NotSent("")) is AT_ONCE
    assert resend(operation, TooEarly("", 3.0)) is AT_ONCE


@pytest.mark.parametrize("operation", LIMITS)
@pytest.mark.parametrize("error", [Lost(""), Unreadable(""), Unavailable(""), refused("", 500), refused("", 502)])
def test_an_unknown_outcome_is_repeated_only_where_a_repeat_does_nothing_more(operation: str, error: ApiError) -> None:
    assert resend(operation, error) is (PROOF if operation in ONCE else AT_ONCE)


@pytest.mark.parametrize("operation", LIMITS)
@pytest.mark.parametrize("error", [SignInRefused(""), UnknownUser("")])
def test_refused_credentials_are_not_tried_again(operation: str, error: ApiError) -> None:
    assert resend(operation, error) is NEVER


@pytest.mark.parametrize("operation", LIMITS)
@pytest.mark.parametrize("status", [307, 401, 403, 404, 415, 418, 422, 425])
def test_a_refusal_that_someone_must_mend_is_final(operation: str, status: int) -> None:
    assert resend(operation, refused(operation, status)) is NEVER


@pytest.mark.parametrize("operation", READS)
def test_a_read_is_repeated_after_408_and_never_after_400(operation: str) -> None:
    assert resend(operation, refused(operation, 408)) is AT_ONCE
    assert resend(operation, refused(operation, 400)) is NEVER


@pytest.mark.parametrize(
    ("operation", "status", "expected"),
    [
        ("create-conversation", 400, PROOF),
        ("create-conversation", 408, PROOF),
        ("create-conversation", 409, PROOF),
        ("interact", 400, NEVER),
        ("interact", 408, AT_ONCE),
        ("interact", 409, PROOF),
        ("finish", 400, NEVER),
        ("finish", 404, NEVER),
        ("finish", 409, PROOF),
        ("tags", 400, NEVER),
        ("tags", 409, AT_ONCE),
        ("delete-webhook-destination", 409, AT_ONCE),
        ("rotate-webhook-secret", 409, PROOF),
    ],
)
def test_the_rows_that_differ(operation: str, status: int, expected: Resend) -> None:
    assert resend(operation, refused(operation, status)) is expected


@pytest.mark.parametrize("operation", LIMITS)
@pytest.mark.parametrize("status", STATUSES)
def test_who_must_act_and_what_may_be_sent_again_agree(operation: str, status: int) -> None:
    error = refused(operation, status)
    if error.actor is Actor.OPERATOR and (operation, status) != ("create-conversation", 400):
        assert resend(operation, error) is NEVER
    if error.actor is Actor.TIME:
        assert resend(operation, error) is not NEVER


@pytest.mark.parametrize(("dice", "waits"), [(0.0, [0.25, 0.5, None]), (1.0, [0.375, 0.75, None])])
def test_the_waits_double_until_the_attempts_are_used_up(dice: float, waits: list[float | None]) -> None:
    assert [resend_wait_s("list", Lost(""), attempt, POLICY, dice) for attempt in (1, 2, 3)] == waits


def test_a_rate_limit_is_waited_out_if_that_is_not_too_long() -> None:
    assert resend_wait_s("list", TooEarly("", 12.0), 1, POLICY, 0.0) == 12.0
    assert resend_wait_s("list", TooEarly("", 12.0), 1, POLICY, 1.0) == 12.25
    assert resend_wait_s("list", TooEarly("", 12.0), 3, POLICY, 0.0) is None
    assert resend_wait_s("list", TooEarly("", MAX_RESEND_WAIT_S + 1), 1, POLICY, 0.0) is None


@pytest.mark.parametrize("dice", [0.0, 1.0])
def test_a_rate_limit_that_asks_for_no_wait_is_waited_out_like_any_other_error(dice: float) -> None:
    for attempt in (1, 2):
        least_s = resend_wait_s("list", Lost(""), attempt, POLICY, dice)
        assert resend_wait_s("list", TooEarly("", 0.0), attempt, POLICY, dice) == least_s


def test_what_needs_proof_has_no_wait() -> None:
    assert resend_wait_s("create-conversation", Lost(""), 1, POLICY, 0.0) is None
    assert resend_wait_s("list", refused("list", 403), 1, POLICY, 0.0) is None
