"""One at a time after two quick deaths, and who is told from the innocent then."""

import pytest

from bridge.core.caution import DEATHS, GUILTY, cautious_after, guilty


@pytest.mark.parametrize(("deaths", "cautious"), [(0, False), (1, False), (2, True), (3, True)])
def test_two_quick_deaths_in_a_row_make_cautious(deaths: int, cautious: bool) -> None:
    assert cautious_after(deaths) is cautious


def test_only_who_is_delivered_alone_again_and_again_is_guilty() -> None:
    """What was in hand beside the culprit before the caution has died DEATHS times with it, and no more."""
    assert GUILTY > DEATHS + 1
    assert [deliveries for deliveries in range(9) if guilty(deliveries, cautious=True)] == [5, 6, 7, 8]
    assert not any(guilty(deliveries, cautious=False) for deliveries in range(100))
