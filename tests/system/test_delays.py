"""A retry that waits in a delay queue comes back as the same event, from wherever it came."""

import json
from functools import partial

from tests.support.events import event_tag, fields, raw, text_of
from tests.support.fake_api import Refusal, answer
from tests.support.rabbit import EVENTS
from tests.support.waiting import until
from tests.support.world import World

SLOWLY = {"attempts": 2, "first": "2s", "longest": "2s"}


async def test_a_delayed_event_keeps_its_identity(world: World) -> None:
    """Its id is the message_id property, its route looks at header and routing key: the copy must have them all."""
    route = {"name": "crm", "when": "routing_key == 'crm.updated' and headers.tenant == 'acme'", "channel": "sms"}
    await world.launch(retry=SLOWLY, routes=[route])
    world.fake.script(text_of("d1"), Refusal(500), answer("in ", "the end"))
    body = json.dumps(fields(None, user_id="u-d1", message=text_of("d1"))).encode()
    await world.publish(raw(body, routing_key="crm.updated", message_id="d1", headers={"tenant": "acme"}))
    told = await world.ending("d1", bound_s=30)
    assert told.ending.headers["route"] == "crm"
    assert told.ending.headers["attempt"] == 2
    assert told.ending.routing_key == "text.sms.interaction-complete"
    assert world.fake.truth.conversation_of(text_of("d1")).tags["bridge_event"] == event_tag("d1")
    first, second = world.fake.truth.calls_of("create")
    assert second.started - first.started >= 0.9
    await until(lambda: world.counts(EVENTS, (0, 0)), "the event is settled")


async def test_a_delayed_event_that_dies_is_the_original_in_bridge_dead(world: World) -> None:
    await world.launch(retry=SLOWLY)
    world.fake.always(text_of("d2"), Refusal(500))
    headers = {"tenant": "acme", "number": 7}
    message = raw(json.dumps(fields("d2")).encode(), routing_key="crm.updated", headers=headers, type="t", priority=2)
    await world.publish(message)
    (letter,) = await world.dead(1, bound_s=40)
    assert letter.routing_key == "exhausted"
    assert letter.body == message.body
    kept = {name: value for name, value in letter.headers.items() if not name.startswith("x-bridge-")}
    assert kept.pop("x-delivery-count", 0) == 0
    assert kept == headers
    assert (letter.properties.type, letter.properties.priority, letter.properties.expiration) == ("t", 2, None)
    origin = (letter.headers["x-bridge-exchange"], letter.headers["x-bridge-routing-key"])
    assert origin == (EVENTS, "crm.updated")
    assert letter.headers["x-bridge-attempts"] == 2


async def test_an_event_in_a_delay_queue_survives_a_kill(world: World) -> None:
    bridge = await world.launch(retry=SLOWLY)
    world.fake.script(text_of("d3"), Refusal(500))
    await world.publish(raw(json.dumps(fields("d3")).encode()))
    await until(lambda: world.fake.truth.calls_of("create"), "the first attempt has failed")
    await bridge.kill()
    bridge.start()
    await world.ending("d3", bound_s=30)
    assert len(world.fake.truth.committed(text_of("d3"))) == 1
    await until(partial(world.rabbit.ready_is, f"{EVENTS}.delay.2", 0), "its copy is back, if there was one")
    await until(lambda: world.counts(EVENTS, (0, 0)), "the event is settled")
