"""The rate limits of all users and operations: whose log holds a call back, and how that is found out."""

from dataclasses import dataclass, field
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.core.delivery.call_log import GUARD
from bridge.core.delivery.limit_scope import TRIAL_EVERY_S
from bridge.core.delivery.rate_limits import (
    BRIEF_S,
    EVERYBODY,
    LIMITS,
    NO_FIGURES,
    WINDOW_S,
    CallUnderWay,
    LimitedWait,
    LimitFigures,
    LimitHeaders,
    LimitScope,
    RateLimits,
)

CREATE = "create-conversation"
SPAN = WINDOW_S * (1 + GUARD)


def limits(scope: LimitScope = LimitScope.USER, **calls: int) -> RateLimits:
    return RateLimits(LimitFigures({**LIMITS, **{name.replace("_", "-"): n for name, n in calls.items()}}, scope=scope))


def let_go(pace: RateLimits, user: str, now_s: float = 0.0, operation: str = CREATE) -> CallUnderWay:
    call = pace.ask(user, operation, user, now_s)
    assert isinstance(call, CallUnderWay)
    return call


def called(pace: RateLimits, times: int, user: str = "u", operation: str = CREATE, now_s: float = 0.0) -> RateLimits:
    for _ in range(times):
        pace.answered(let_go(pace, user, now_s, operation), now_s)
    return pace


def refused(pace: RateLimits, user: str, wait_s: float, now_s: float = 0.0, operation: str = CREATE) -> None:
    pace.answered(let_go(pace, user, now_s, operation), now_s, refused_s=wait_s)


def wait_s(pace: RateLimits, user: str, now_s: float, operation: str = CREATE) -> float:
    call = pace.ask(user, operation, f"{user} looks", now_s)
    if isinstance(call, LimitedWait):
        return call.wait_s
    pace.unmade(call)
    return 0.0


def test_the_limits_are_those_of_the_design() -> None:
    told = {"create-conversation": 5, "interact": 15, "finish": 5, "list": 15, "messages": 20, "tags": 50, "sign-in": 5}
    told |= {"users": 60, "create-user": 50, "insights": 20, "recommend-responses": 20, "message-source": 30}
    assert told.items() <= LIMITS.items()
    assert WINDOW_S == 60.0
    assert LimitFigures().scope is LimitScope.AUTO


def test_each_user_and_operation_has_a_log() -> None:
    pace = called(limits(), 5)
    assert wait_s(pace, "u", 1.0) == pytest.approx(SPAN - 1)
    assert wait_s(pace, "other", 1.0) == 0.0
    assert wait_s(pace, "u", 1.0, "interact") == 0.0


def test_the_organizations_log_is_everybodys() -> None:
    pace = limits(LimitScope.ORGANIZATION)
    for number in range(5):
        called(pace, 1, f"user-{number}")
    assert wait_s(pace, "another", 1.0) == pytest.approx(SPAN - 1)
    assert pace.scope_of("another", CREATE, 1.0) == EVERYBODY


def test_a_wait_says_whose_limit_it_is_until_when_and_how_many_come_first() -> None:
    pace = called(limits(), 5)
    pace.ask("u", CREATE, "first", 0.0)
    wait = pace.ask("u", CREATE, "second", 0.0)
    assert isinstance(wait, LimitedWait)
    error = wait.error(CREATE, 1_000_000_000.0)
    assert str(error) == "the limit of u for create-conversation until 2001-09-09T01:47:40+00:00, 1 before it"
    assert error.wait_s == pytest.approx(SPAN)
    assert str(LimitedWait(1.0, EVERYBODY).error("list", 0.0)).startswith(
        "the limit of the organization for list until"
    )


def test_a_429_closes_the_users_gate_for_that_call_only() -> None:
    pace = limits()
    refused(pace, "u", 30.0)
    assert wait_s(pace, "u", 1.0) == pytest.approx(29.0)
    assert wait_s(pace, "u", 1.0, "interact") == 0.0
    assert wait_s(pace, "other", 1.0) == 0.0
    assert pace.refused == {CREATE: 1}
    assert pace.closed(1.0) == {CREATE: 1}
    assert pace.closed(31.0) == {}


def test_a_429_in_the_organizations_scope_closes_everybodys_gate_for_a_window_at_most() -> None:
    pace = limits(LimitScope.ORGANIZATION)
    refused(pace, "u", 600.0)
    assert wait_s(pace, "other", 0.0) == pytest.approx(WINDOW_S)


def test_signing_in_counts_by_user_and_its_429_closes_the_gate_of_all() -> None:
    for scope in LimitScope:
        pace = called(limits(scope), 5, operation="sign-in")
        assert wait_s(pace, "u", 0.0, "sign-in") > 0
        for number in range(20):
            called(pace, 1, f"user-{number}", "sign-in")
        refused(pace, "v", 600.0, operation="sign-in")
        assert wait_s(pace, "w", 0.0, "sign-in") == pytest.approx(WINDOW_S)
        assert wait_s(pace, "w", WINDOW_S, "sign-in") == 0.0
        assert wait_s(pace, "v", WINDOW_S, "sign-in") > 500


def test_the_last_call_that_the_api_permits_is_known_without_a_429() -> None:
    pace = limits()
    pace.answered(let_go(pace, "u"), 0.0, LimitHeaders(left=0, reset_s=45.0))
    assert wait_s(pace, "u", 5.0) == pytest.approx(40.0)
    assert wait_s(pace, "other", 5.0) == 0.0


@pytest.mark.parametrize("told", [2, 9])
def test_the_limit_that_the_api_names_is_the_limit(told: int) -> None:
    pace = limits()
    pace.answered(let_go(pace, "u"), 0.0, LimitHeaders(limit=told))
    called(pace, told - 1)
    assert wait_s(pace, "u", 0.0) > 0
    assert pace.limit_of(CREATE) == told


@pytest.mark.parametrize("told", [0, -1, 10**9])
def test_a_limit_that_makes_no_sense_is_not_believed(told: int) -> None:
    pace = limits()
    pace.answered(let_go(pace, "u"), 0.0, LimitHeaders(limit=told))
    assert pace.limit_of(CREATE) == 5


def test_what_has_no_figure_waits_only_where_the_api_says_so() -> None:
    pace = called(RateLimits(NO_FIGURES), 100)
    assert wait_s(pace, "u", 0.0) == 0.0
    pace.answered(let_go(pace, "u"), 0.0, LimitHeaders(left=0, reset_s=7200.0))
    assert wait_s(pace, "u", 0.0) == WINDOW_S
    refused(pace, "v", 30.0)
    assert wait_s(pace, "v", 0.0) == 30.0
    assert wait_s(pace, "w", 0.0) == 0.0


def test_seconds_are_counted_when_the_call_goes() -> None:
    pace = called(limits(), 5)
    pace.ask("u", CREATE, "c", 10.0)
    assert pace.limited_s == {}
    assert isinstance(pace.ask("u", CREATE, "c", SPAN), CallUnderWay)
    assert pace.limited_s == {CREATE: pytest.approx(SPAN - 10.0)}


def test_logs_that_say_nothing_any_more_are_thrown_away() -> None:
    pace = limits()
    for number in range(25_000):
        called(pace, 1, f"user-{number}", now_s=number)
    assert len(pace._logs) <= 20_000


# --- scope auto


@dataclass
class Server:
    """Fixed windows that begin with a call; `by_user` or for all."""

    limit: int
    by_user: bool
    windows: dict[str, tuple[float, int]] = field(default_factory=dict)
    refusals: int = 0
    calls: int = 0

    def takes(self, user: str, now_s: float) -> bool:
        key = user if self.by_user else ""
        began_s, used = self.windows.get(key, (float("-inf"), 0))
        if now_s >= began_s + WINDOW_S:
            began_s, used = now_s, 0
        self.windows[key] = (began_s, used + 1)
        self.calls += 1
        self.refusals += used >= self.limit
        return used < self.limit


def played(pace: RateLimits, server: Server, wanted: dict[str, int], until_s: float, latency_s: float = 0.3) -> float:
    """Each user makes so many calls, one after another. Returns when the last one was answered."""
    left = dict(wanted)
    todo: list[tuple[float, str, str, CallUnderWay | None]] = [
        (number * 0.618 % 1, user, "ask", None) for number, user in enumerate(wanted)
    ]
    now_s = 0.0
    while todo:
        todo.sort(key=lambda each: (each[0], each[1]))
        now_s, user, what, call = todo.pop(0)
        if now_s > until_s:
            break
        if what == "ask":
            found = pace.ask(user, CREATE, user, now_s)
            if isinstance(found, LimitedWait):
                todo.append((now_s + max(found.wait_s, 0.01), user, "ask", None))
            else:
                todo.append((now_s + latency_s, user, "answer", found))
            continue
        assert call is not None
        if server.takes(user, now_s - latency_s / 2):
            pace.answered(call, now_s)
            left[user] -= 1
            if left[user]:
                todo.append((now_s, user, "ask", None))
        else:
            began_s = server.windows[user if server.by_user else ""][0]
            pace.answered(call, now_s, refused_s=began_s + WINDOW_S - now_s)
            todo.append((began_s + WINDOW_S, user, "ask", None))
    assert until_s == float("inf") or sum(left.values()) >= 0
    return now_s


def test_the_organizations_scope_is_found_out_and_few_calls_are_refused() -> None:
    pace, server = limits(LimitScope.AUTO), Server(5, by_user=False)
    over_s = played(pace, server, {f"user-{n}": 2 for n in range(200)}, float("inf"))
    trials = over_s / TRIAL_EVERY_S
    assert server.refusals <= 3 + trials * 2
    assert over_s <= 400 / 5 * WINDOW_S * 1.1


@pytest.mark.parametrize("limit", [5, 10, 15, 50])
def test_in_the_organizations_scope_only_the_tries_to_go_back_are_refused(limit: int) -> None:
    """A thousand calls. Three refusals show the scope, and each try, every ten minutes, costs one.

    In ten minutes the API takes 10 * limit calls: the tries alone are one call of 10 * limit + 1. With 5 a minute
    that is 1 of 51, or 2 %, whoever tries and whenever; from 15 a minute on all refusals are at most 1 %.
    """
    pace, server = limits(LimitScope.AUTO, create_conversation=limit), Server(limit, by_user=False)
    over_s = played(pace, server, {f"user-{n}": 5 for n in range(200)}, float("inf"))
    assert server.refusals <= 3 + ceil(over_s / TRIAL_EVERY_S)
    assert over_s <= 1000 / limit * WINDOW_S * 1.1
    if limit >= 15:
        assert server.refusals <= 0.01 * server.calls


def test_users_who_all_wait_for_their_moment_need_no_try() -> None:
    pace, server = limits(LimitScope.AUTO), Server(5, by_user=False)
    played(pace, server, {f"user-{n}": 1 for n in range(1000)}, float("inf"))
    assert server.refusals <= 0.01 * server.calls


def test_in_the_organizations_scope_one_users_many_do_not_starve_the_rest() -> None:
    pace, server = limits(LimitScope.ORGANIZATION), Server(5, by_user=False)
    lanes = {f"few-{n}": 1 for n in range(20)}
    over_s = played(pace, server, {"hot": 1000, **lanes}, 60 * WINDOW_S)
    assert over_s > 59 * WINDOW_S
    assert server.refusals == 0
    assert wait_s(pace, "few-0", over_s + 2 * SPAN) < 2 * SPAN


@pytest.mark.parametrize("users", [1, 3, 300])
def test_where_users_are_counted_nobody_is_refused_and_nobody_waits_for_others(users: int) -> None:
    pace, server = limits(LimitScope.AUTO), Server(5, by_user=True)
    over_s = played(pace, server, {f"user-{n}": 5 for n in range(users)}, float("inf"))
    assert server.refusals == 0
    assert over_s < 15.0
    assert pace.scope_of("user-0", CREATE, over_s) == "user-0"


def test_a_user_who_also_calls_from_elsewhere_does_not_throttle_the_others() -> None:
    pace = limits(LimitScope.AUTO)
    for minute in range(20):
        now_s = minute * (SPAN + 1)
        refused(pace, "elsewhere", 30.0, now_s)
        for number in range(30):
            called(pace, 1, f"user-{number}", now_s=now_s + 1)
            assert pace.scope_of("user-1", CREATE, now_s + 1) == "user-1"
        assert wait_s(pace, "new", now_s + 2) == 0.0


def test_three_such_users_do_not_either_where_all_calls_are_fewer_than_the_limit() -> None:
    pace = limits(LimitScope.AUTO)
    for number in range(3):
        refused(pace, f"user-{number}", 30.0, number)
    assert pace.scope_of("other", CREATE, 3.0) == "other"
    assert wait_s(pace, "other", 3.0) == 0.0


def organization_found(pace: RateLimits, now_s: float = 0.0) -> None:
    for number in range(5):
        called(pace, 1, f"user-{number}", now_s=now_s)
    for number in range(3):
        refused(pace, f"unlucky-{number}", 30.0, now_s)


def test_three_users_refused_with_room_in_their_logs_mean_that_the_organization_is_counted() -> None:
    pace = limits(LimitScope.AUTO)
    organization_found(pace)
    assert pace.scope_of("other", CREATE, 0.0) == EVERYBODY
    assert wait_s(pace, "other", 0.0) > 0
    assert pace.scope_of("other", "interact", 0.0) == "other"


def test_after_ten_minutes_the_users_scope_is_tried_again_by_one_call() -> None:
    pace = limits(LimitScope.AUTO)
    organization_found(pace)
    assert pace.scope_of("other", CREATE, TRIAL_EVERY_S - 1) == EVERYBODY
    now_s = TRIAL_EVERY_S + 1
    called(pace, 5, "other", now_s=now_s)
    trying = let_go(pace, "another", now_s)
    assert wait_s(pace, "third", now_s) > 0
    pace.answered(trying, now_s, refused_s=20.0)
    assert pace.scope_of("other", CREATE, now_s) == EVERYBODY


def test_the_trial_ends_with_the_proof_that_users_are_counted() -> None:
    pace = limits(LimitScope.AUTO)
    organization_found(pace)
    now_s = TRIAL_EVERY_S + 1
    for number in range(11):
        called(pace, 1, f"user-{number}", now_s=now_s)
    several = [let_go(pace, f"more-{number}", now_s) for number in range(20)]
    assert len(several) == 20


def test_until_it_is_proved_calls_beyond_the_organizations_limit_are_few_at_a_time() -> None:
    pace = limits(LimitScope.AUTO)
    for number in range(5):
        called(pace, 1, f"user-{number}")
    under_way = [let_go(pace, f"more-{number}") for number in range(3)]
    wait = pace.ask("one-more", CREATE, "c", 0.0)
    assert isinstance(wait, LimitedWait)
    assert wait.wait_s == BRIEF_S
    pace.unmade(under_way[0])
    assert isinstance(pace.ask("one-more", CREATE, "c", 0.0), CallUnderWay)


@settings(max_examples=60, deadline=None)
@given(
    by_user=st.booleans(),
    limit=st.integers(1, 6),
    more_users=st.integers(0, 12),
    each=st.integers(1, 8),
    latency_s=st.floats(0.001, 2.0),
)
def test_everybody_gets_through_whoever_is_counted(
    *, by_user: bool, limit: int, more_users: int, each: int, latency_s: float
) -> None:
    pace, server = limits(LimitScope.AUTO, create_conversation=limit), Server(limit, by_user=by_user)
    users = limit + 3 + more_users  # with fewer the organization's scope is not always found out
    over_s = played(pace, server, {f"user-{n}": each for n in range(users)}, 1e6, latency_s)
    assert over_s < 1e6
    if by_user:
        assert server.refusals == 0
    else:
        assert server.refusals <= 4 + 3 * over_s / TRIAL_EVERY_S
