"""What is missing at the broker, or refused by it, while the service runs: nobody waits who does not need it.

See docs/operations.md, What is missing or refused while it runs.
"""

import asyncio
from typing import Any

import pytest

from tests.support.events import event, text_of
from tests.support.fake_api import answer
from tests.support.process import BridgeProcess
from tests.support.rabbit import AGENT, DEAD, DELAY, EVENTS
from tests.support.waiting import until
from tests.support.world import World

WITHOUT_DELAY = r"^(bridge\.(events|dead)|agent\.)"
WITHOUT_ANSWERS = r"^bridge\."


async def row(bridge: BridgeProcess, name: str) -> dict[str, Any] | None:
    found = await bridge.readiness()
    assert found is not None
    rows: list[dict[str, Any]] = found[1]["components"]
    return next((each for each in rows if each["name"] == name), None)


async def status(bridge: BridgeProcess) -> int | None:
    found = await bridge.readiness()
    return found[0] if found is not None else None


def logged(bridge: BridgeProcess, *events: str) -> list[dict[str, Any]]:
    return [line for line in bridge.log_lines() if line["event"] in events]


async def narrow(world: World) -> tuple[str, str]:
    """A user of the vhost, and its URL."""
    name = f"narrow-{world.rabbit.vhost}"
    return name, await asyncio.to_thread(world.rabbit.broker.add_user, world.rabbit.vhost, name)


async def test_without_the_right_to_delay_what_has_to_wait_waits_and_nobody_else(world: World) -> None:
    """Were the connection to end over it each time, the waiting event would be `poison` after so many deliveries."""
    broker, vhost = world.rabbit.broker, world.rabbit.vhost
    await world.rabbit.declare()
    await asyncio.to_thread(world.rabbit.declare_delays_now)
    name, url = await narrow(world)
    bridge = await world.launch(amqp={"url": url, "declare": False}, lanes={"park_after": "1s"})
    world.fake.default = answer("open", done=False)
    await world.publish(event("open", user_id="busy", finish="never"))
    await world.ending("open")
    await asyncio.to_thread(broker.permit, vhost, name, write=WITHOUT_DELAY)
    await asyncio.to_thread(broker.cut_connections, vhost)
    await until(lambda: row(bridge, f"exchange {DELAY}"), "/readyz names the exchange")
    await world.publish(event("waiter", user_id="busy", on_busy="wait", finish="never"))
    await until(lambda: logged(bridge, "delivery.unparkable"), "it cannot be parked")
    reason = await row(bridge, f"exchange {DELAY}")
    assert reason is not None
    assert not reason["ok"]
    assert "give the bridge's user the right to write to it" in reason["reason"]
    assert await status(bridge) == 200
    await world.publish(event("other", user_id="other", finish="never"))
    await world.ending("other")
    await asyncio.to_thread(broker.permit, vhost, name)

    async def usable() -> bool:
        return await row(bridge, f"exchange {DELAY}") is None

    await until(usable, "it is seen that the right is there again")

    def parked() -> bool:
        return any(line["settlement"] == "parked" for line in logged(bridge, "delivery.settled"))

    await until(parked, "what waits is parked after all", 40)
    told = [line["event"] for line in logged(bridge, "destination.unusable", "destination.usable")]
    assert told == ["destination.unusable", "destination.usable"]
    assert len(logged(bridge, "broker.connected")) == 2
    assert len(logged(bridge, "delivery.unparkable")) == 1
    assert await world.rabbit.ready_count(DEAD) == 0
    await bridge.close()
    world.unfinished = await world.rabbit.ready_count(EVENTS)


@pytest.mark.parametrize("reconnects", [False, True])
async def test_an_outbound_exchange_that_is_deleted_is_named_and_found_again(world: World, reconnects: bool) -> None:
    bridge = await world.launch()
    await world.publish(event("before"))
    await world.ending("before")
    await asyncio.to_thread(world.subscriber.stop)  # it would declare the exchange as it connects again
    await world.rabbit.delete_exchange(AGENT)

    async def named() -> bool:
        found = await row(bridge, f"exchange {AGENT}")
        return found is not None and "declare it, or restart the bridge" in found["reason"]

    await until(named, "/readyz says what is missing and what to do")
    await until(lambda: logged(bridge, "consumer.paused"), "nothing is taken")
    assert await status(bridge) == 503
    if reconnects:
        await asyncio.to_thread(world.rabbit.broker.cut_connections, world.rabbit.vhost)
        await until(lambda: len(logged(bridge, "broker.connected")) == 2, "it is connected again", 40)
    await world.publish(event("meanwhile"))
    assert await named()
    assert await world.rabbit.ready_count(EVENTS) == 1
    assert world.fake.truth.talks_of(text_of("meanwhile")) == []
    world.resubscribe()
    await world.ending("meanwhile", bound_s=30)
    await until(bridge.is_ready, "it is ready again")
    assert await world.rabbit.ready_count(DEAD) == 0


async def test_a_missing_right_to_publish_answers_is_told_before_there_is_one(world: World) -> None:
    await world.rabbit.declare()
    await asyncio.to_thread(world.rabbit.declare_delays_now)
    name, url = await narrow(world)
    await asyncio.to_thread(world.rabbit.broker.permit, world.rabbit.vhost, name, write=WITHOUT_ANSWERS)
    bridge = await world.launch(amqp={"url": url, "declare": False})
    await until(lambda: row(bridge, f"exchange {AGENT}"), "/readyz names the exchange")
    found = await row(bridge, f"exchange {AGENT}")
    assert found is not None
    assert "async.api.interaction-complete" in found["reason"]
    await world.publish(event("late"))
    await until(lambda: logged(bridge, "publish.refused"), "an answer is refused")
    await asyncio.to_thread(world.rabbit.broker.permit, world.rabbit.vhost, name)
    await world.ending("late", bound_s=40)
