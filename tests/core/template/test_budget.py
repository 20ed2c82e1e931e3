"""The budget of one rendering: work is counted, never timed."""

import pytest

from bridge.core.template.budget import MIB, UNITS_A_BYTE, Budget, TooMuch


def test_work_is_done_until_the_last_unit_is_spent() -> None:
    budget = Budget()
    budget.spend(UNITS_A_BYTE * MIB)
    assert budget.left == 0
    with pytest.raises(TooMuch):
        budget.spend(1)


def test_a_small_bound_on_length_leaves_the_work_of_a_mebibyte() -> None:
    budget = Budget()
    budget.begin(10)
    assert budget.left == UNITS_A_BYTE * MIB
    budget.begin(2 * MIB)
    assert budget.left == UNITS_A_BYTE * 2 * MIB


def test_nothing_is_longer_than_the_bound() -> None:
    budget = Budget()
    budget.begin(10)
    budget.within(10)
    with pytest.raises(TooMuch, match=r"longer than 10 \(amqp\.inbound\.max_bytes\)"):
        budget.within(11)


def test_what_is_made_is_paid_for_and_what_is_too_long_is_not_made() -> None:
    budget = Budget()
    budget.begin(10)
    whole = budget.left
    budget.make(10)
    assert budget.left == whole - 10
    with pytest.raises(TooMuch):
        budget.make(11)
    assert budget.left == whole - 10


def test_the_next_rendering_begins_with_a_whole_budget() -> None:
    budget = Budget()
    budget.begin(10, strict=True)
    budget.spend(1000)
    budget.begin(20)
    assert (budget.longest, budget.strict, budget.left) == (20, False, UNITS_A_BYTE * MIB)
