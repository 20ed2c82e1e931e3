"""The interval that a comparison of two versions rests on."""

import pytest

from tests.bench.compare import Interval, interval


@pytest.mark.parametrize(
    ("count", "first"),  # of the sign test: with 15 pairs the fourth from each end, with 96.5 %
    [(6, 0), (9, 1), (15, 3), (20, 5), (30, 9)],
)
def test_the_interval_leaves_out_as_many_at_each_end_as_leaves_95_percent(count: int, first: int) -> None:
    ratios = [1 + number / 100 for number in range(count)]
    found = interval(list(reversed(ratios)))
    assert (found.low, found.high) == (ratios[first], ratios[count - 1 - first])


@pytest.mark.parametrize("count", [1, 2, 5])
def test_of_a_few_pairs_the_whole_range_is_the_interval(count: int) -> None:
    ratios = [0.9 + number / 10 for number in range(count)]
    assert interval(ratios) == Interval((ratios[0] + ratios[-1]) / 2, ratios[0], ratios[-1])
