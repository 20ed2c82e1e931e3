"""An API that is away for some seconds: nothing is lost, and everything begins again one after another."""

import pytest

from tests.support.events import event
from tests.support.fake_api import Refusal
from tests.support.rabbit import DEAD, EVENTS
from tests.support.waiting import stays, until
from tests.support.world import World

EIGHTY = [f"o{number:02}" for number in range(80)]
FIRST_S = 5.0
"""Seconds from the end of an outage to the first ending (docs/semantics.md, Outage)."""


def creates_s(world: World) -> list[float]:
    """When conversations were begun that the API took."""
    return [call.started for call in world.fake.truth.calls_of("create") if call.status == 201]


async def outage_is_over_with(world: World) -> None:
    """The first has ended, then the others do, with few in the first second and no attempt counted."""
    await until(lambda: world.ended, "the first event has ended", FIRST_S)
    for told in await world.endings(*EIGHTY, bound_s=60):
        assert told.ending.type == "interaction-complete"
        assert told.ending.headers["attempt"] == 1
    begun_s = creates_s(world)
    assert len(begun_s) == len(EIGHTY)
    assert len([at_s for at_s in begun_s if at_s < begun_s[0] + 1]) <= 8
    await until(lambda: world.counts(EVENTS, (0, 0)), "everything is settled")
    assert await world.rabbit.ready_is(DEAD, 0)


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "600"}], ids=["503", "retry-after"])
async def test_after_a_maintenance_lanes_go_on_one_after_another(world: World, headers: dict[str, str]) -> None:
    """Some events wait in hand, some are parked by then, some have not been consumed."""
    bridge = await world.launch(lanes={"park_after": "4s"})
    world.fake.refuse_all(Refusal(503, headers))
    await world.publish(*[event(one) for one in EIGHTY[:40]])
    await bridge.not_ready(30)
    await world.publish(*[event(one) for one in EIGHTY[40:]])
    await stays(bridge.is_not_ready, "it goes on as long as the maintenance", 6)
    world.fake.refuse_all(None)
    await outage_is_over_with(world)
    await bridge.ready(30)


async def test_so_they_do_after_nobody_could_connect(world: World) -> None:
    bridge = await world.launch(lanes={"park_after": "4s"})
    await world.fake.stop()
    await world.publish(*[event(one) for one in EIGHTY])
    await bridge.not_ready(30)
    await stays(bridge.is_not_ready, "it goes on as long as nobody is there", 6)
    await world.fake.start()
    await outage_is_over_with(world)
    await bridge.ready(30)
