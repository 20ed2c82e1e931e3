"""/livez, /readyz, /metrics and /version; the topology at start; credentials that are wrong; an API that is down."""

import asyncio
import json
import time
from importlib.metadata import version

import pytest

from tests.support.events import event, service, text_of
from tests.support.fake_api import Gate, Husk, Refusal, answer
from tests.support.rabbit import AGENT, DEAD, DELAYS_S, EVENTS
from tests.support.waiting import stays, until
from tests.support.world import World


async def waiting(world: World) -> bool:
    """Something waits in the inbound queue and nobody takes it."""
    return await world.rabbit.ready_count(EVENTS) > 0


async def test_the_faces_say_who_and_how(world: World) -> None:
    bridge = await world.launch()
    await world.publish(event("h1"))
    await world.ending("h1")
    found = {path: await bridge.get(path) for path in ("/livez", "/readyz", "/metrics", "/version")}
    assert {path: answered and answered[0] for path, answered in found.items()} == dict.fromkeys(found, 200)
    ready = json.loads(found["/readyz"][1])  # type: ignore[index]
    assert ready["ready"] is True
    assert len(ready["components"]) >= 4
    for row in ready["components"]:
        assert row["ok"] is True
        assert isinstance(row["name"], str)
        assert "reason" in row
    assert "\nbridge_" in found["/metrics"][1]  # type: ignore[index]
    assert version("amigo-bridge") in found["/version"][1]  # type: ignore[index]


async def test_each_delivery_has_one_canonical_line_of_ids_and_counts(world: World) -> None:
    bridge = await world.launch()
    ids = [f"l{number}" for number in range(10)]
    await world.publish(*[event(one) for one in ids])
    await world.endings(*ids)
    await until(lambda: world.counts(EVENTS, (0, 0)), "everything is settled")
    settled = [line for line in bridge.log_lines() if line.get("event") == "delivery.settled"]
    assert sorted(line["event_id"] for line in settled) == sorted(ids)


async def test_the_topology_is_declared_as_the_design_fixes_it(world: World) -> None:
    """The broker refuses a declaration whose arguments differ, so declaring it again is the proof."""
    await world.launch()
    await world.rabbit.declare()
    for seconds in DELAYS_S:
        assert await world.rabbit.depth(f"{EVENTS}.delay.{seconds}") == (0, 0), seconds
    await world.publish(event("any", routing_key="any.key.at.all"), event("none", routing_key=""))
    await world.endings("any", "none")


async def test_without_leave_to_declare_a_missing_topology_is_not_ready(world: World) -> None:
    bridge = world.bridge(amqp={"declare": False})
    bridge.start()
    body = await bridge.not_ready(20)
    assert any(not row["ok"] and row["reason"] for row in body["components"])
    await stays(bridge.is_not_ready, "it stays not ready", 2)
    for queue in (EVENTS, DEAD, f"{EVENTS}.delay.1"):
        assert await world.rabbit.depth(queue) is None
    for exchange in (EVENTS, DEAD):
        assert not await world.rabbit.exchange_exists(exchange)
    assert await world.rabbit.exchange_exists(AGENT)  # the subscriber's doing


async def test_a_queue_with_other_arguments_is_not_ready_and_left_alone(world: World) -> None:
    await world.rabbit.declare({"x-queue-type": "quorum", "x-delivery-limit": 7})
    bridge = world.bridge()
    bridge.start()
    body = await bridge.not_ready(20)
    assert any(not row["ok"] and row["reason"] for row in body["components"])
    await stays(bridge.is_not_ready, "it stays not ready", 2)
    assert await world.rabbit.depth(EVENTS) == (0, 0)
    assert bridge.running


async def test_bad_credentials_are_not_ready_and_consume_nothing_until_they_are_right(world: World) -> None:
    world.fake.keys_accepted = False
    await world.rabbit.declare()
    await world.publish(event("c1"))
    bridge = world.bridge()
    bridge.start()
    body = await bridge.not_ready(20)
    await until(lambda: world.fake.truth.calls_of("sign-in"), "it has tried to sign in")
    await stays(bridge.is_not_ready, "it stays not ready", 2)
    assert any(not row["ok"] for row in body["components"])
    await until(lambda: world.counts(EVENTS, (1, 0)), "the event waits in the queue")
    world.fake.keys_accepted = True
    await bridge.ready(60)
    told = await world.ending("c1")
    assert told.ending.headers["attempt"] == 1


async def test_credentials_that_go_bad_are_not_the_events_fault(world: World) -> None:
    bridge = await world.launch()
    await world.publish(event("c2"))
    await world.ending("c2")
    world.fake.keys_accepted = False
    world.fake.expire_tokens()
    await world.publish(event("c3"), event("c4"))
    await bridge.not_ready(20)
    await world.publish(event("c5"))
    await until(lambda: waiting(world), "it consumes no more")
    await stays(lambda: world.rabbit.ready_is(DEAD, 0), "nothing is given up", 1)
    world.fake.keys_accepted = True
    for told in await world.endings("c3", "c4", "c5", bound_s=60):
        assert told.ending.type == "interaction-complete"
        assert told.ending.headers["attempt"] == 1
    await bridge.ready(60)


async def test_an_api_that_is_down_is_a_pause(world: World) -> None:
    """Nobody answers on its port: not ready, nothing given up, no attempt counted, and on it goes by itself."""
    bridge = await world.launch()
    await world.fake.stop()
    await world.publish(*[event(f"w{number}") for number in range(10)])
    await bridge.not_ready(30)
    await stays(lambda: world.rabbit.ready_is(DEAD, 0), "nothing is given up", 1)
    await world.fake.start()
    for told in await world.endings(*[f"w{number}" for number in range(10)], bound_s=60):
        assert told.ending.type == "interaction-complete"
        assert told.ending.headers["attempt"] == 1
    await bridge.ready(60)


async def test_an_api_in_maintenance_stops_the_consuming_and_is_probed(world: World) -> None:
    bridge = await world.launch()
    world.fake.refuse_all(Refusal(503))
    await world.publish(*[event(f"n{number}") for number in range(10)])
    await bridge.not_ready(30)
    await world.publish(event("extra"))
    await until(lambda: waiting(world), "it consumes no more", 30)
    world.fake.refuse_all(None)
    await world.endings("extra", *[f"n{number}" for number in range(10)], bound_s=60)
    await bridge.ready(30)


async def test_an_absent_broker_and_api_are_no_exit(world: World) -> None:
    nowhere = "http://127.0.0.1:9"
    bridge = world.bridge(amqp={"url": "amqp://guest:guest@127.0.0.1:9/"}, amigo={"base_url": nowhere})
    bridge.start()
    body = await bridge.not_ready(20)
    assert len([row for row in body["components"] if not row["ok"]]) >= 2
    await stays(bridge.is_not_ready, "it stays", 2)
    assert bridge.running


async def test_one_sign_in_a_user_however_many_events_ask_at_once(world: World) -> None:
    """Forty users with three services each, while the first sign-ins are still on their way."""
    await world.launch()
    world.fake.sign_in_gate = asyncio.Event()
    users = [f"user{number}" for number in range(40)]
    ids = [f"{user}-{number}" for user in users for number in range(3)]
    await world.publish(
        *[event(f"{user}-{number}", user_id=user, service_id=service(number)) for user in users for number in range(3)]
    )
    await until(lambda: {call.user for call in world.fake.truth.calls_of("sign-in")} >= set(users), "all have asked")
    world.fake.sign_in_gate.set()
    await world.endings(*ids)
    asked = [call.user for call in world.fake.truth.calls_of("sign-in")]
    assert {user: asked.count(user) for user in users} == dict.fromkeys(users, 1)


async def test_tokens_are_renewed_before_they_expire(world: World) -> None:
    """Events of one user over three tokens, each used for half its life: the API never sees one that has expired."""
    world.fake.token_life_s = 10.0
    await world.launch()
    while world.fake.sign_ins.count("ann") < 3:
        event_id = f"k{time.monotonic_ns()}"
        await world.publish(event(event_id, user_id="ann"))
        await world.ending(event_id)
    refused = [call for call in world.fake.truth.calls if call.status == 401]
    assert refused == []


@pytest.mark.parametrize("husk", [Husk.COMMIT, Husk.LATE, Husk.ROLLBACK])
async def test_a_stream_that_lasts_too_long_is_left_and_looked_up(world: World, husk: Husk) -> None:
    await world.launch(amigo={"longest": "5s"})
    gate = Gate()
    world.fake.script(text_of("long"), answer("some", before_end=(gate,), abandoned=husk))
    started = time.monotonic()
    await world.publish(event("long"))
    if husk is Husk.LATE:
        await until(lambda: world.fake.truth.calls_of("finish"), "the lock is met")
        world.fake.settle_late()
    told = await world.ending("long")
    assert time.monotonic() - started >= 4.9
    assert told.recovered == (husk is not Husk.ROLLBACK)
    assert len(world.fake.truth.talks_of(text_of("long"))) == (2 if husk is Husk.ROLLBACK else 1)
    assert len(world.fake.truth.committed(text_of("long"))) == 1
