"""When asking is stopped, and what makes it start again."""

from bridge.core.delivery.breaker import FAILURES_TO_OPEN, Breaker


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


def test_nothing_is_changed_in_place() -> None:
    breaker = Breaker()
    breaker.failed()
    assert breaker == Breaker(0, open=False)
