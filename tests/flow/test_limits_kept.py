"""The API's limits over many users and windows: nobody is refused, order is kept, and no time is wasted."""

import pytest

from tests.support.fakes import FakeLedger
from tests.support.limited_agent import ManyUsers, Windows


@pytest.mark.parametrize("windows", ["call", "clock", "sliding"])
async def test_many_events_of_many_users_take_no_longer_than_the_limits_allow(windows: Windows) -> None:
    """`./dev bench limits` plays the same with a thousand users."""
    played = ManyUsers(50, 20, windows)
    await played.play()
    assert played.faults == []


async def test_one_users_hundred_events_are_not_refused_either() -> None:
    played = ManyUsers(1, 100, "sliding")
    await played.play()
    assert played.faults == []


@pytest.mark.parametrize("shared", [False, True])
async def test_a_hot_user_is_parked_for_the_turns_that_are_expected_and_loses_no_time(*, shared: bool) -> None:
    """Over an hour of answers, whether one process has the order or the ledger."""
    played = ManyUsers(1, 1000, "sliding", FakeLedger(shared=shared))
    await played.play()
    assert played.faults == []
    assert max(played.copies.values()) <= 7 + played.took_s / 3600
