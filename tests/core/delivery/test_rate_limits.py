"""Rate limits as far as the API shows them: whose window closes, and when it opens again."""

import pytest

from bridge.core.delivery.rate_limits import LIMITS, MAX_WINDOWS, WINDOW_S, RateLimits

CREATE = "create-conversation"


def called(pace: RateLimits, times: int, user: str = "u", operation: str = CREATE, now_s: float = 0.0) -> RateLimits:
    for _ in range(times):
        pace.called(user, operation, now_s)
    return pace


def test_the_limits_are_those_of_the_design() -> None:
    told = {"create-conversation": 5, "interact": 15, "finish": 5, "list": 15, "messages": 20, "tags": 50, "sign-in": 5}
    assert told.items() <= LIMITS.items()
    assert WINDOW_S == 60.0


def test_nothing_is_throttled_on_suspicion() -> None:
    assert called(RateLimits(), 100).wait_s("u", CREATE, 0.0) == 0.0


def test_a_429_closes_the_users_window_for_that_call_only() -> None:
    pace = called(RateLimits(), 6)
    pace.refused("u", CREATE, 1.0, 30.0)
    assert pace.wait_s("u", CREATE, 1.0) == 30.0
    assert pace.wait_s("u", CREATE, 21.0) == 10.0
    assert pace.wait_s("u", CREATE, 31.0) == 0.0
    assert pace.wait_s("u", "interact", 1.0) == 0.0
    assert pace.wait_s("other", CREATE, 1.0) == 0.0


def test_a_429_that_the_user_cannot_have_earned_alone_closes_it_for_everybody() -> None:
    pace = called(RateLimits(), 5)
    pace.refused("u", CREATE, 0.0, 30.0)
    assert pace.wait_s("other", CREATE, 0.0) == 30.0
    assert pace.wait_s("other", "interact", 0.0) == 0.0
    assert pace.wait_s("other", CREATE, 30.0) == 0.0


def test_sign_in_is_one_gate_for_all_and_closes_only_on_an_observed_429() -> None:
    pace = called(RateLimits(), 100, operation="sign-in")
    assert pace.wait_s("u", "sign-in", 0.0) == 0.0
    pace.refused("u", "sign-in", 0.0, 12.0)
    assert pace.wait_s("other", "sign-in", 0.0) == 12.0


def test_the_last_permitted_call_closes_the_users_own_window() -> None:
    pace = called(RateLimits(), 1)
    pace.exhausted("u", CREATE, 0.0, 45.0)
    assert pace.wait_s("u", CREATE, 5.0) == 40.0
    assert pace.wait_s("other", CREATE, 5.0) == 0.0


def test_a_new_window_counts_from_nought_but_stays_closed() -> None:
    pace = called(RateLimits(), 6)
    pace.refused("u", CREATE, 0.0, 300.0)
    called(pace, 1, now_s=61.0)
    assert pace.wait_s("u", CREATE, 61.0) == 239.0
    pace.refused("u", CREATE, 61.0, 300.0)
    assert pace.wait_s("u", CREATE, 61.0) == 300.0
    assert pace.wait_s("other", CREATE, 61.0) > 0  # one call in this window cannot have been too many


@pytest.mark.parametrize("operation", ["sign-in", CREATE])
def test_one_answer_holds_the_others_back_for_no_longer_than_a_window_is_wide(operation: str) -> None:
    pace = called(RateLimits(), 1, operation=operation)
    pace.refused("u", operation, 0.0, 600.0)
    assert pace.wait_s("other", operation, 0.0) == WINDOW_S
    assert pace.wait_s("u", operation, 0.0) == 600.0


def test_an_answer_that_refused_nothing_closes_no_window_for_longer_than_it_is_wide() -> None:
    pace = called(RateLimits(), 1)
    pace.exhausted("u", CREATE, 0.0, 7200.0)
    assert pace.wait_s("u", CREATE, 0.0) == WINDOW_S


@pytest.mark.parametrize("since_s", [0.0, 1000.0])
@pytest.mark.parametrize("later_s", [59.5, 60.0])
def test_a_window_is_a_minute_wide(since_s: float, later_s: float) -> None:
    pace, now_s = called(RateLimits(), 5, now_s=since_s), since_s + later_s
    called(pace, 1, now_s=now_s)
    pace.refused("u", CREATE, now_s, 10.0)
    assert pace.wait_s("other", CREATE, now_s) == (10.0 if later_s >= 60.0 else 0.0)


def test_an_unknown_call_has_no_limit_of_its_own_to_blame_the_others_for() -> None:
    pace = called(RateLimits(), 1, operation="new")
    pace.refused("u", "new", 0.0, 10.0)
    assert pace.wait_s("u", "new", 0.0) == 10.0
    assert pace.wait_s("other", "new", 0.0) == 0.0


def test_only_so_many_windows_are_kept_and_the_oldest_go_first() -> None:
    pace = RateLimits()
    pace.exhausted("first", CREATE, 0.0, 50.0)
    for number in range(MAX_WINDOWS - 1):
        pace.called(f"u{number}", CREATE, 0.0)
    assert pace.wait_s("first", CREATE, 0.0) == 50.0
    pace.called("one more", CREATE, 0.0)
    assert pace.wait_s("first", CREATE, 0.0) == 0.0
