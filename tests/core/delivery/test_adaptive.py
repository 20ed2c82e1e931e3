"""What pays only at times is tried seldom while it does not, and always while it does."""

import pytest

from bridge.core.delivery.adaptive import MAX_INTERVAL, AdaptiveInterval


def occasions_until_due(trials: AdaptiveInterval) -> int:
    number = 1
    while not trials.due():
        number += 1
    return number


def test_what_pays_is_due_on_every_occasion() -> None:
    trials = AdaptiveInterval()
    for _ in range(10):
        assert occasions_until_due(trials) == 1
        trials.ended(paid=True)


def test_the_oftener_in_vain_the_seldomer_but_never_given_up() -> None:
    trials, waits = AdaptiveInterval(), []
    for _ in range(9):
        waits.append(occasions_until_due(trials))
        trials.ended(paid=False)
    assert waits == [1, 2, 4, 8, 16, 32, MAX_INTERVAL, MAX_INTERVAL, MAX_INTERVAL]


@pytest.mark.parametrize("in_vain", [1, 3, 20])
def test_one_success_makes_every_occasion_due_again(in_vain: int) -> None:
    trials = AdaptiveInterval()
    for _ in range(in_vain):
        trials.ended(paid=False)
    occasions_until_due(trials)
    trials.ended(paid=True)
    assert occasions_until_due(trials) == 1


def test_an_occasion_that_could_not_be_used_is_due_the_next_time_again() -> None:
    trials = AdaptiveInterval()
    assert trials.due()
    assert trials.due()
