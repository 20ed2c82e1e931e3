"""One message that the broker will not have costs its own event, and no other, also after a restart."""

import json
from collections.abc import Iterator

import pytest

from tests.support.broker import Broker
from tests.support.events import event, raw, text_of
from tests.support.fake_api import Complete, Piece, Raw, Stream
from tests.support.oracle import of_event
from tests.support.rabbit import DEAD, EVENTS
from tests.support.waiting import until
from tests.support.world import World

MIB = 1024 * 1024
LARGE_LINE = Raw(b'{"type": "new-message", "message": "' + b"x" * (MIB + MIB // 2) + b'"}')
OTHERS = [f"o{number}" for number in range(20)]


@pytest.fixture
def small_messages(calm_broker: Broker) -> Iterator[None]:
    with calm_broker.limited("max_message_size", MIB):
        yield


@pytest.mark.usefixtures("small_messages")
async def test_a_line_that_the_broker_does_not_take_makes_its_own_event_undeliverable(world: World) -> None:
    bridge = await world.launch()
    world.fake.script(text_of("large"), Stream((Piece("a"), LARGE_LINE, Complete())))
    await world.publish(event("large"), *(event(name) for name in OTHERS))
    await world.endings(*OTHERS)
    (letter,) = await world.dead(1)
    assert (letter.routing_key, json.loads(letter.body)["id"]) == ("undeliverable", "large")
    assert "406" in letter.headers["x-bridge-error"]
    await bridge.stop()
    await world.launch()
    await world.publish(event("after"))
    await world.ending("after")
    await until(lambda: world.counts(EVENTS, (0, 0)), "nothing is left")
    assert len(world.fake.truth.committed(text_of("large"))) == 1
    assert [one.type for one in of_event(world.records, "large")][:2] == ["conversation-created", "new-message"]


async def test_a_key_that_may_not_be_written_is_given_up_after_its_time_and_holds_nobody_up(world: World) -> None:
    await world.rabbit.declare()
    world.rabbit.broker.permit_keys(world.rabbit.vhost, "agent.events", r"^text\.")
    await world.launch(retry={"publish_for": "3s"})
    await world.publish(event("voice", channel="phone"), *(event(name, channel="sms") for name in OTHERS))
    await world.endings(*OTHERS)
    (letter,) = await world.dead(1, bound_s=60)
    assert letter.routing_key == "undeliverable"
    assert "403" in letter.headers["x-bridge-error"]
    assert json.loads(letter.body)["id"] == "voice"


async def test_a_letter_that_the_broker_does_not_take_whole_goes_cut_and_says_so(
    world: World, calm_broker: Broker
) -> None:
    await world.rabbit.declare()
    await world.publish(raw(b"[" + b" " * (2 * MIB) + b"]", headers={"own": 1}))
    with calm_broker.limited("max_message_size", MIB):
        await world.launch(amqp={"inbound": {"max_bytes": 4 * MIB}})
        await until(lambda: world.rabbit.ready_is(DEAD, 1), "it is dead")
        await world.publish(event("fine"))
        await world.ending("fine")
    (letter,) = await world.dead(1)
    assert letter.headers["x-bridge-truncated"] == "body"
    assert (letter.routing_key, len(letter.body)) == ("invalid-event", 65_536)


async def test_with_the_smallest_frames_all_goes_on_and_long_headers_are_cut_where_they_may_be(
    world: World, calm_broker: Broker
) -> None:
    await world.rabbit.declare()
    headers = {"own": "🔥" * 2500}
    await world.publish(raw(b"rubbish", headers=headers))
    with calm_broker.limited("frame_max", calm_broker.smallest_frame):
        await world.launch()
        (letter,) = await world.dead(1)
        await world.publish(event("fine", channel="sms"))
        await world.ending("fine")
    assert letter.headers["x-bridge-truncated"] == "headers"
