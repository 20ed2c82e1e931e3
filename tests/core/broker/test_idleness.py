"""What it means that a consumer gets nothing: every row of the table."""

from itertools import product
from typing import Any

import pytest

from bridge.core.broker.idleness import Verdict, verdict

USUAL: dict[str, Any] = {
    "ready": 0,
    "consumers": 1,
    "held": 0,
    "prefetch": 5,
    "overdue": False,
    "silent": False,
    "single_active": False,
    "served": True,
}
WAITING = {"ready": 3, "overdue": True, "silent": True}
SILENT = {"overdue": True, "silent": True}
BOTH = (False, True)


def judged(**changes: Any) -> Verdict:
    return verdict(**{**USUAL, **changes})


@pytest.mark.parametrize("single_active", BOTH)
@pytest.mark.parametrize("served", BOTH)
def test_without_a_consumer_it_is_lost(single_active: bool, served: bool) -> None:
    assert judged(consumers=0, single_active=single_active, served=served) is Verdict.LOST
    assert judged(consumers=0, single_active=single_active, served=served, **WAITING) is Verdict.LOST


@pytest.mark.parametrize("consumers", [1, 2])
@pytest.mark.parametrize("held", [0, 4])
def test_one_that_may_stand_by_is_never_stuck(consumers: int, held: int) -> None:
    """Also where the queue is somebody else's doing, and the configuration does not say that it is single active."""
    for served in BOTH:
        assert judged(consumers=consumers, held=held, single_active=True, served=served, **WAITING) is Verdict.RENEW
    assert judged(consumers=consumers, held=held, served=False, **WAITING) is Verdict.RENEW


def test_one_that_was_served_and_gets_nothing_of_what_is_ready_is_stuck() -> None:
    assert judged(served=True, **WAITING) is Verdict.STUCK


def test_one_that_is_silent_is_renewed_to_be_sure() -> None:
    for single_active, served in product(BOTH, BOTH):
        assert judged(single_active=single_active, served=served, **SILENT) is Verdict.RENEW
    assert judged(held=3, **SILENT) is Verdict.RENEW


def test_the_single_active_one_keeps_the_queue_while_it_holds_something() -> None:
    assert judged(single_active=True, held=3, **SILENT) is Verdict.WELL


@pytest.mark.parametrize("single_active", BOTH)
def test_one_that_has_all_it_may_hold_is_well_whatever_waits(single_active: bool) -> None:
    assert judged(held=5, single_active=single_active, **WAITING) is Verdict.WELL


def test_nothing_is_done_to_one_that_got_something_lately() -> None:
    for ready, consumers, held, single_active, served in product((0, 5), (1, 2), (0, 5), BOTH, BOTH):
        found = judged(ready=ready, consumers=consumers, held=held, single_active=single_active, served=served)
        assert found is Verdict.WELL
