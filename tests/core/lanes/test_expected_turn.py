"""When the turn of an event that waits in a lane is expected, and how it waits until then."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.delivery.retry import DELAY_LEVELS_S
from bridge.core.lanes.expected_turn import (
    LAST_TURNS,
    LONG_S,
    MANY_COPIES,
    MAX_LANES,
    NO_TURN_LIMIT,
    Prospect,
    TurnLimit,
    TurnTimes,
    parked_s,
    rest_s,
)

LIMIT = TurnLimit(15, 60.0)
HOUR_S = 3600.0
PARK_AFTER_S = 20.0


@pytest.mark.parametrize(
    ("running_s", "left_s"), [(0.0, 10.0), (4.0, 6.0), (10.0, 10.0), (12.0, 12.0), (60.0, 60.0), (300.0, 60.0)]
)
def test_a_turn_lasts_as_long_as_usual_and_beyond_that_as_long_again(running_s: float, left_s: float) -> None:
    assert rest_s(running_s, 10.0) == left_s


def test_a_turn_of_which_nothing_is_known_lasts_as_long_again() -> None:
    assert rest_s(7.0, 0.0) == 7.0


@pytest.mark.parametrize(
    ("turns", "wait_s"), [(0, 0.0), (14, 0.0), (15, 60.0), (29, 60.0), (30, 120.0), (10_000, 666 * 60.0)]
)
def test_limits_let_go_so_many_turns_in_a_window(turns: int, wait_s: float) -> None:
    assert LIMIT.wait_s(turns) == wait_s
    assert NO_TURN_LIMIT.wait_s(turns) == 0.0


def test_a_turn_is_expected_after_those_before_it_or_when_the_limits_let_it_go() -> None:
    quick, slow = Prospect(2.0, 0.5), Prospect(2.0, 10.0)
    assert quick.expected_s(4, LIMIT) == 4.0
    assert quick.expected_s(30, LIMIT) == 122.0
    assert slow.expected_s(30, LIMIT) == 302.0
    assert slow.expected_s(30, NO_TURN_LIMIT) == 302.0


def test_the_turn_of_the_first_counts_where_it_has_still_to_be_run() -> None:
    assert [Prospect(2.0, 0.5).turns_before(ahead) for ahead in (0, 1, 4)] == [0, 0, 3], (
        "it runs: what is left is first_s"
    )
    assert [Prospect(2.0, 0.5, away=True).turns_before(ahead) for ahead in (0, 1, 4)] == [0, 1, 4]
    assert Prospect(2.0, 0.5, 7).turns_before(1) == 7


@pytest.mark.parametrize(
    ("wait_s", "level_s"),
    [(0.0, 1), (0.5, 1), (1.9, 1), (2.0, 2), (59.9, 30), (119.0, 60), (3599.0, 1800), (1e9, 3600)],
)
def test_a_copy_takes_the_longest_level_that_does_not_pass_its_turn(wait_s: float, level_s: int) -> None:
    assert parked_s(wait_s, 0) == level_s


def test_one_that_has_come_back_too_early_so_often_goes_for_longer() -> None:
    assert parked_s(2.0, MANY_COPIES - 1) == 2
    assert parked_s(2.0, MANY_COPIES) == LONG_S
    assert parked_s(700.0, MANY_COPIES) == 600


@given(st.floats(0.0, 12 * HOUR_S))
def test_an_event_is_parked_seven_times_at_most_and_once_more_for_each_hour(wait_s: float) -> None:
    """As long as what is expected comes to pass; up to `park_after` is waited out in memory."""
    left_s, copies = wait_s, 0
    while left_s > PARK_AFTER_S:
        level_s = parked_s(left_s, copies)
        assert level_s in DELAY_LEVELS_S
        assert level_s <= left_s
        left_s, copies = left_s - level_s, copies + 1
    assert copies <= 7 + wait_s / HOUR_S


def test_the_turns_of_a_lane_take_what_the_shortest_of_the_last_ones_took() -> None:
    times = TurnTimes()
    assert times.turn_s("a") == 0.0
    times.ended("a", 2.0)
    times.ended("a", 90.0)
    assert times.turn_s("a") == 2.0, "one that had to wait for something says nothing about the next"
    for _ in range(LAST_TURNS):
        times.ended("a", 8.0)
    assert times.turn_s("a") == 8.0
    assert times.turn_s("b") == 0.0


def test_so_many_lanes_are_remembered_those_that_moved_last() -> None:
    times = TurnTimes()
    for number in range(MAX_LANES):
        times.ended(number, 1.0)
    times.ended(0, 1.0)
    times.ended("one more", 1.0)
    assert times.turn_s(0) == 1.0
    assert times.turn_s(1) == 0.0
