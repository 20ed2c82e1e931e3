"""The sliding log of calls: when the next one may go, who is next, and that no window of a server is ever overdrawn."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.core.delivery.call_log import GUARD, CallLog, Figure

W = 60.0
SPAN = W * (1 + GUARD)


def log(limit: int = 3) -> CallLog:
    return CallLog(Figure(limit, W))


def made(calls: CallLog, times: int, now_s: float, answered_s: float | None = None) -> None:
    """So many calls are let go at once, and answered."""
    for _ in range(times):
        assert calls.wait_s("x", "u", now_s) == 0.0
    for _ in range(times):
        calls.answered(now_s if answered_s is None else answered_s)


def test_as_many_calls_as_the_limit_says_go_at_once_and_the_next_waits_a_window() -> None:
    calls = log(3)
    made(calls, 3, 10.0)
    assert calls.wait_s("a", "u", 10.0) == pytest.approx(SPAN)
    assert calls.wait_s("a", "u", 10.0 + SPAN) == 0.0


def test_a_call_counts_from_its_answer() -> None:
    calls = log(1)
    made(calls, 1, 0.0, answered_s=20.0)
    assert calls.wait_s("a", "u", 50.0) == pytest.approx(20.0 + SPAN - 50.0)


def test_a_call_that_is_not_answered_yet_counts_for_as_long_as_that_lasts() -> None:
    calls = log(1)
    assert calls.wait_s("a", "u", 0.0) == 0.0
    for now_s in (1.0, 100.0, 1000.0):
        assert calls.wait_s("b", "u", now_s) == pytest.approx(SPAN)
    calls.answered(1000.0)
    assert calls.wait_s("b", "u", 1000.0 + SPAN) == 0.0


def test_a_call_that_was_not_made_counts_no_more() -> None:
    calls = log(1)
    assert calls.wait_s("a", "u", 0.0) == 0.0
    calls.unmade()
    assert calls.wait_s("b", "u", 0.0) == 0.0


def test_places_are_kept_in_the_order_of_coming_and_told_apart_by_a_window_each() -> None:
    calls = log(2)
    made(calls, 2, 0.0)
    waits = [calls.wait_s(name, "u", 0.0) for name in "abcde"]
    assert waits == pytest.approx([SPAN, SPAN, 2 * SPAN, 2 * SPAN, 3 * SPAN])
    assert [calls.before(name, 0.0) for name in "abcde"] == [0, 1, 2, 3, 4]
    assert calls.wait_s("c", "u", SPAN) > 0, "the two slots are kept for a and b"
    assert calls.wait_s("b", "u", SPAN) == 0.0
    assert calls.wait_s("a", "u", SPAN) == 0.0


def test_who_does_not_come_is_waited_for_a_little_and_is_next_when_it_comes_after_all() -> None:
    calls = log(1)
    made(calls, 1, 0.0)
    assert calls.wait_s("a", "u", 0.0) == pytest.approx(SPAN)
    assert calls.wait_s("b", "u", 0.0) == pytest.approx(2 * SPAN)
    assert calls.wait_s("b", "u", SPAN + 1) > 0
    made(calls, 1, SPAN + 6)  # whoever comes then
    assert calls.wait_s("b", "u", SPAN + 7) > 0
    assert calls.wait_s("a", "u", 2 * SPAN + 6.001) == 0.0


def test_who_gives_up_its_place_holds_nobody_up() -> None:
    calls = log(1)
    made(calls, 1, 0.0)
    calls.wait_s("a", "u", 0.0)
    calls.wait_s("b", "u", 0.0)
    calls.leave("a")
    calls.leave("nobody")
    assert calls.wait_s("b", "u", SPAN) == 0.0


def test_places_go_round_by_user() -> None:
    calls = log(1)
    made(calls, 1, 0.0)
    for number in range(5):
        calls.wait_s(f"many-{number}", "many", 0.0)
    calls.wait_s("one", "one", 0.0)
    assert calls.before("one", 0.0) == 1
    assert calls.before("many-4", 0.0) == 5


def test_a_closed_gate_lets_nobody_go_and_the_limit_holds_behind_it() -> None:
    calls = log(2)
    calls.close(30.0)
    assert [calls.wait_s(name, "u", 0.0) for name in "abc"] == pytest.approx([30.0, 30.0, 30.0 + SPAN])
    assert calls.wait_s("a", "u", 29.0) == pytest.approx(1.0)
    assert calls.wait_s("a", "u", 30.0) == 0.0


def test_the_time_that_a_call_has_waited_is_told_when_it_goes() -> None:
    calls = log(1)
    made(calls, 1, 0.0)
    assert calls.limited_s == 0.0
    calls.wait_s("a", "u", 5.0)
    assert calls.wait_s("a", "u", SPAN + 5) == 0.0
    assert calls.limited_s == pytest.approx(SPAN)


@pytest.mark.parametrize(
    ("left", "reset_s", "wait_s"), [(0, 20.0, 20.0), (0, None, SPAN), (0, 500.0, SPAN), (2, 20.0, 0)]
)
def test_calls_that_only_the_api_knows_of_count_until_its_window_is_over(
    left: int, reset_s: float | None, wait_s: float
) -> None:
    calls = log(3)
    made(calls, 1, 0.0)
    calls.remaining(left, reset_s, 0.0)
    assert calls.wait_s("a", "u", 0.0) == pytest.approx(wait_s)


def test_more_room_than_the_log_has_is_not_believed() -> None:
    """A fixed window that has just begun has room; the next one begins before the log's is over."""
    calls = log(2)
    made(calls, 2, 0.0)
    calls.remaining(2, 60.0, 1.0)
    assert calls.wait_s("a", "u", 1.0) > 0


def test_a_log_is_idle_when_nothing_would_be_missed() -> None:
    calls = log(1)
    assert calls.idle(0.0)
    made(calls, 1, 0.0)
    assert not calls.idle(1.0)
    assert calls.idle(SPAN)
    calls.close(100.0)
    assert not calls.idle(SPAN)


# --- against a model of the server


@dataclass
class FixedWindows:
    """Windows of W that follow one another, the first of which began at some time, or with a call."""

    limit: int
    offset_s: float | None
    counts: dict[int, int] = field(default_factory=dict)
    began_s: float = float("-inf")
    used: int = 0

    def takes(self, at_s: float) -> bool:
        if self.offset_s is None:
            if at_s >= self.began_s + W:
                self.began_s, self.used = at_s, 0
            self.used += 1
            return self.used <= self.limit
        window = int((at_s - self.offset_s) // W)
        self.counts[window] = self.counts.get(window, 0) + 1
        return self.counts[window] <= self.limit


@dataclass
class SlidingWindow:
    limit: int
    calls: deque[float] = field(default_factory=deque)

    def takes(self, at_s: float) -> bool:
        while self.calls and self.calls[0] <= at_s - W:
            self.calls.popleft()
        self.calls.append(at_s)
        return len(self.calls) <= self.limit


SERVERS: dict[str, Callable[[int, float], FixedWindows | SlidingWindow]] = {
    "fixed": lambda limit, offset_s: FixedWindows(limit, offset_s),
    "begun by a call": lambda limit, _: FixedWindows(limit, None),
    "sliding": lambda limit, _: SlidingWindow(limit),
}
LATENCY = st.floats(0.0, 5.0)
CALLER = st.tuples(st.floats(0.0, 200.0), LATENCY, LATENCY, st.booleans(), st.sampled_from(["u", "v", "w"]))


@pytest.mark.parametrize("server", SERVERS)
@settings(max_examples=150, deadline=None)
@given(
    limit=st.integers(1, 5),
    offset_s=st.floats(0.0, W),
    callers=st.lists(CALLER, min_size=1, max_size=40),
)
def test_no_call_that_goes_is_refused_and_every_caller_gets_through(
    server: str, limit: int, offset_s: float, callers: list[tuple[float, float, float, bool, str]]
) -> None:
    """Calls arrive at the server some time after they are let go, and are answered some time after that."""
    calls, model = log(limit), SERVERS[server](limit, offset_s)
    arrivals: list[float] = []
    # (moment, order, what, caller's number)
    todo = sorted((begins_s, number, "ask", number) for number, (begins_s, *_) in enumerate(callers))
    order, asked = len(todo), 0
    while todo:
        todo.sort()
        now_s, _, what, number = todo.pop(0)
        __, there_s, back_s, is_made, user = callers[number]
        order += 1
        match what:
            case "ask":
                asked += 1
                wait_s = calls.wait_s(f"caller-{number}", user, now_s)
                if wait_s > 0:
                    todo.append((now_s + max(wait_s, 1e-6), order, "ask", number))
                elif is_made:
                    arrivals.append(now_s + there_s)
                    todo.append((now_s + there_s + back_s, order, "answered", number))
                else:
                    todo.append((now_s + there_s, order, "unmade", number))
            case "answered":
                calls.answered(now_s)
            case "unmade":
                calls.unmade()
        assert asked < 60 * len(callers), "somebody starves"
    assert all(model.takes(at_s) for at_s in sorted(arrivals))


@settings(max_examples=50, deadline=None)
@given(limit=st.integers(1, 5), number=st.integers(1, 60), latency_s=st.floats(0.0, 0.2))
def test_what_waits_takes_as_long_as_the_limit_says(limit: int, number: int, latency_s: float) -> None:
    calls, now_s = log(limit), 0.0
    todo = [(0.0, each, "ask") for each in range(number)]
    while todo:
        todo.sort()
        now_s, each, what = todo.pop(0)
        if what == "answered":
            calls.answered(now_s)
        elif (wait_s := calls.wait_s(str(each), "u", now_s)) > 0:
            todo.append((now_s + wait_s + 1e-6, each, "ask"))
        else:
            todo.append((now_s + latency_s, each, "answered"))
    rounds = (number - 1) // limit
    assert now_s <= rounds * (W + latency_s) * 1.01 + latency_s + 1e-3
