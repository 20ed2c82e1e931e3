"""When asking is stopped, and what makes it start again."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from bridge.core.delivery.breaker import (
    FAILURES_TO_OPEN,
    MAX_PROBE_WAIT_S,
    RAMP_S,
    Breaker,
    Ramp,
    probe_wait_s,
)

DICE = st.floats(0, 1)


def failed(times: int, breaker: Breaker | None = None) -> Breaker:
    breaker = breaker or Breaker()
    for _ in range(times):
        breaker = breaker.failed()
    return breaker


def test_five_failures_in_a_row_open_it_and_four_do_not() -> None:
    assert FAILURES_TO_OPEN == 5  # as docs/semantics.md, Outage says
    assert not failed(FAILURES_TO_OPEN - 1).open
    assert failed(FAILURES_TO_OPEN).open


def test_a_success_in_between_starts_the_count_again() -> None:
    assert not failed(FAILURES_TO_OPEN - 1, failed(FAILURES_TO_OPEN - 1).succeeded()).open


def test_it_stays_open_while_things_fail() -> None:
    assert failed(100).open
    assert failed(100).failures == 100


def test_a_probe_that_got_through_closes_it_but_the_next_failure_opens_it_at_once() -> None:
    probed = failed(FAILURES_TO_OPEN).probed()
    assert not probed.open
    assert probed.failed().open


def test_only_real_work_closes_it_for_good() -> None:
    assert failed(FAILURES_TO_OPEN).probed().succeeded() == Breaker()


def test_a_probe_that_failed_opens_it_whatever_the_count() -> None:
    assert Breaker().tripped().open
    assert not Breaker().tripped().probed().open
    assert Breaker().tripped().probed().failed().open


def turns(asked_s: list[float], dice: list[float], began_s: float = 100.0) -> list[float]:
    """The moments of the turns that are asked for at these, counted from the end of the outage; those of the ramp."""
    ramp = Ramp(began_s)
    waits = [(at_s, ramp.turn_s(began_s + at_s, each)) for at_s, each in zip(sorted(asked_s), dice, strict=True)]
    return [at_s + wait_s for at_s, wait_s in waits if wait_s is not None]


def test_many_lanes_go_one_two_four_a_second() -> None:
    seconds = Counter(int(at_s) for at_s in turns([0.0] * 2_000, [0.5] * 2_000))
    assert [seconds[second] for second in range(RAMP_S)] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]
    assert seconds[RAMP_S] == 2_000 - 1_023


def test_the_first_goes_at_once_and_the_others_not_together() -> None:
    moments = turns([0.0] * 7, [0.1, 0.2, 0.9, 0.3, 0.4, 0.5, 0.6])
    assert moments[0] == 0
    assert len(set(moments)) == 7


@given(st.lists(st.tuples(st.floats(0, 2 * RAMP_S), st.floats(0.01, 0.99)), max_size=300))
def test_no_second_has_more_turns_than_its_share(asked: list[tuple[float, float]]) -> None:
    moments = turns([at_s for at_s, _ in asked], [dice for _, dice in asked])
    shares = Counter(int(at_s) for at_s in moments)
    assert all(count <= 2**second for second, count in shares.items() if second < RAMP_S)
    assert all(at_s <= RAMP_S + 1 for at_s in moments)


@given(st.floats(0, 1e9), st.floats(RAMP_S, 1e6), DICE)
def test_it_is_over_after_its_seconds(began_s: float, later_s: float, dice: float) -> None:
    assert Ramp(began_s).turn_s(began_s + later_s + 0.001, dice) is None


@given(st.floats(0.01, 1e6), DICE)
def test_a_probe_of_an_api_that_is_down_is_never_put_off_for_longer(pause_s: float, dice: float) -> None:
    wait_s = probe_wait_s(pause_s, dice)
    assert 0 < wait_s <= MAX_PROBE_WAIT_S == 3  # as docs/semantics.md, Outage says
    assert wait_s >= min(pause_s, 2)


def test_nothing_is_changed_in_place() -> None:
    breaker = Breaker()
    breaker.failed()
    assert breaker == Breaker(0, open=False)
