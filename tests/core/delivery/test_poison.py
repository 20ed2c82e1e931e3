"""One at a time after two quick deaths."""

import pytest

from bridge.core.delivery.poison import cautious_after


@pytest.mark.parametrize(("deaths", "cautious"), [(0, False), (1, False), (2, True), (3, True)])
def test_two_quick_deaths_in_a_row_make_cautious(deaths: int, cautious: bool) -> None:
    assert cautious_after(deaths) is cautious
