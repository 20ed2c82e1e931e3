"""Time counts only while the queue is consumed and short."""

from math import inf

from hypothesis import given
from hypothesis import strategies as st

from bridge.core.lanes.counted_time import CountedTime


def test_nothing_has_counted_at_the_start() -> None:
    counted = CountedTime(10.0)
    assert counted.began_s(100.0) == -inf
    counted.look(100.0, counts=True)
    assert counted.began_s(109.0) == -inf
    assert counted.began_s(110.0) == 100.0
    assert counted.began_s(125.0) == 115.0


def test_what_does_not_count_is_added() -> None:
    counted = CountedTime(10.0)
    counted.look(0.0, counts=True)
    counted.look(6.0, counts=False)
    assert counted.began_s(50.0) == -inf
    counted.look(100.0, counts=True)
    assert counted.began_s(103.0) == -inf
    assert counted.began_s(104.0) == 0.0
    assert counted.began_s(107.0) == 3.0
    assert counted.began_s(112.0) == 102.0


@given(st.lists(st.tuples(st.integers(0, 20), st.booleans()), max_size=40), st.integers(1, 30))
def test_so_much_has_counted_since_then_as_second_by_second(looks: list[tuple[int, bool]], span_s: int) -> None:
    counted, seconds, now, counts = CountedTime(float(span_s)), [], 0, False
    for passed, then in looks:
        seconds += [counts] * passed
        now += passed
        counts = then
        counted.look(float(now), counts=counts)
        began_s = counted.began_s(float(now))
        if sum(seconds) < span_s:
            assert began_s == -inf
        else:
            assert sum(seconds[int(began_s) :]) == span_s
            assert seconds[int(began_s)]
