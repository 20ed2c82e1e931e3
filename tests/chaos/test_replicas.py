"""A little of `./dev chaos`: two processes share a ledger in PostgreSQL."""

import random

import pytest

from tests.chaos import kills, troubles
from tests.chaos.field import Field
from tests.chaos.setup import Setup

pytestmark = pytest.mark.asyncio(loop_scope="module")

SEED = 7


@pytest.fixture(scope="module")
def setup() -> Setup:
    return Setup(replicas=2, postgres=True)


async def test_the_same_event_at_the_same_moment_to_two_replicas_is_one_event(place: Field) -> None:
    place.begin("repeats", random.Random(SEED))
    await troubles.repeats(place, 20)
    assert place.verdict.findings == []


async def test_a_replica_that_is_killed_leaves_its_events_to_the_others(place: Field) -> None:
    place.begin("killed", random.Random(SEED))
    await kills.at_random(place, 1)
    assert place.verdict.findings == []
