"""A role that lacks a permission: a few dead letters, and everything else waits until it has it."""

from functools import partial
from typing import Any

from tests.support.events import event
from tests.support.fake_api import Refusal
from tests.support.process import BridgeProcess, run_command
from tests.support.rabbit import DEAD, HELD
from tests.support.waiting import until
from tests.support.world import World

ROUTES = [{"name": "payments"}]
THREE: dict[str, Any] = {"attempts": 3, "first": "100ms", "longest": "1s", "refusals": 3}


async def row(bridge: BridgeProcess) -> str | None:
    """The reason of the row `refusals` of a /readyz that says 200."""
    status, body = await bridge.readiness() or (0, {"components": []})
    assert status == 200
    return next((str(each["reason"]) for each in body["components"] if each["name"] == "refusals"), None)


async def is_named(bridge: BridgeProcess) -> bool:
    return await row(bridge) is not None


async def go_on(world: World, bridge: BridgeProcess) -> None:
    """All that was held is answered."""
    await until(lambda: len(world.fake.truth.committed()) == 8, "all that was held is answered", 40)
    await bridge.ready()
    assert await row(bridge) is None
    assert await world.rabbit.ready_is(DEAD, 2)
    assert await world.rabbit.ready_is(HELD, 0)


async def is_held(world: World, bridge: BridgeProcess) -> None:
    """Three events are refused in a row: two are dead letters, and the third waits, with all that come after it."""
    world.fake.fault("create", *[Refusal(403)] * 3)
    await world.publish(*[event(f"p{number}", user_id=f"user-{number}") for number in range(3)])
    await until(lambda: world.rabbit.ready_is(HELD, 1), "the route is held")
    await world.publish(*[event(f"p{number}", user_id=f"user-{number}") for number in range(3, 10)])
    await until(lambda: world.rabbit.ready_is(HELD, 8), "the others wait")
    assert await world.rabbit.ready_is(DEAD, 2)
    assert len(world.fake.truth.calls_of("create")) == 3
    reason = await row(bridge)
    assert reason is not None
    assert "payments" in reason
    assert "3 different events in a row refused (403)" in reason
    metrics = await bridge.get("/metrics")
    assert metrics is not None
    assert 'bridge_pauses{scope="refusals"} 1.0' in metrics[1]


async def test_a_route_that_is_refused_waits_until_somebody_lets_it_go_on(world: World) -> None:
    bridge = await world.launch(routes=ROUTES, retry=THREE, lanes={"park_after": "60s"})
    await is_held(world, bridge)
    told = await run_command(world.folder, "status", "--config", bridge.file.name, "--wait", "30s", "--replicas", "1")
    assert "refusals payments" in told.out
    done = await run_command(world.folder, "resume", "--config", bridge.file.name, "--route", "payments")
    assert done.status == 0, done.all
    await go_on(world, bridge)
    assert bridge.running


async def test_a_restart_keeps_it_and_one_with_another_configuration_lifts_it(world: World) -> None:
    bridge = await world.launch(routes=ROUTES, retry=THREE)
    await is_held(world, bridge)
    await bridge.stop()
    bridge.start()
    await bridge.ready()
    await until(partial(is_named, bridge), "it is held still")
    assert len(world.fake.truth.calls_of("create")) == 3
    await bridge.stop()
    bridge.config["retry"] = {**THREE, "refusals": 4}
    bridge.start()
    await go_on(world, bridge)
