"""An event is acknowledged after its ending and the broker's confirm of everything, and not before."""

import asyncio
import json

from tests.support.events import event, text_of
from tests.support.fake_api import Complete, Gate, Piece, Stream, answer
from tests.support.rabbit import DEAD, EVENTS
from tests.support.waiting import stays, until
from tests.support.world import World

# How long the bridge tries to publish follows from its retry policy.
PATIENT = {"attempts": 100, "first": "200ms", "longest": "500ms"}
FULL = {"x-max-length": 1, "x-overflow": "reject-publish"}


async def test_an_event_is_acked_after_its_ending_and_not_before(world: World) -> None:
    bridge = await world.launch()
    gate = Gate()
    ids = ["a1", "a2", "a3"]
    for one in ids:
        world.fake.script(text_of(one), answer("some", before_end=(gate,)))
    await world.publish(*[event(one) for one in ids])
    await world.streaming(*ids)
    await until(lambda: world.counts(EVENTS, (0, 3)), "three events are held unacknowledged")
    assert not world.ended
    gate.open()
    await world.endings(*ids)
    await until(lambda: world.counts(EVENTS, (0, 0)), "nothing is held")
    assert bridge.running


async def test_no_more_is_held_than_the_prefetch(world: World) -> None:
    await world.launch(amqp={"inbound": {"prefetch": 10}})
    gate = Gate()
    world.fake.default = answer("some", before_end=(gate,))
    ids = [f"q{number}" for number in range(50)]
    await world.publish(*[event(one) for one in ids])
    await until(lambda: world.counts(EVENTS, (40, 10)), "ten are held")
    assert len(world.fake.truth.talks) <= 10
    gate.open()
    await world.endings(*ids)


async def test_lines_come_out_while_the_stream_is_still_open(world: World) -> None:
    await world.launch()
    gates = [Gate() for _ in range(5)]
    steps = [step for number, gate in enumerate(gates) for step in (Piece(f"piece {number}"), gate)]
    world.fake.script(text_of("live"), Stream((*steps, Complete())))
    await world.publish(event("live"))
    for number, gate in enumerate(gates):
        wanted = f"piece {number}".encode()
        await until(lambda: any(wanted in one.body for one in world.records), f"{wanted!r} is out", 5)  # noqa: B023
        assert not any(f"piece {number + 1}".encode() in one.body for one in world.records)
        gate.open()
    await world.ending("live")


async def test_no_ack_comes_before_the_ending_is_confirmed(world: World) -> None:
    """A full queue makes the broker refuse the ending alone: the event stays, and the ending comes with the same id."""
    await world.launch(retry=PATIENT)
    await world.rabbit.make_queue("full", FULL, "#.interaction-complete")
    await world.rabbit.put("full", b"fills it")
    await world.publish(event("n1"))
    await world.ending("n1")
    await until(lambda: world.counts(EVENTS, (0, 1)), "the event is held while its ending is refused")
    await stays(lambda: world.rabbit.ready_is(DEAD, 0), "the event is not given up", 1)
    await world.rabbit.delete_queue("full")
    await until(lambda: world.counts(EVENTS, (0, 0)), "the event is acknowledged once the broker takes the ending", 30)
    told = await world.ending("n1")
    assert told.ending.message_id == "n1:interaction-complete"
    assert len(world.fake.truth.committed(text_of("n1"))) == 1
    assert len(world.fake.truth.talks_of(text_of("n1"))) == 1


async def test_an_event_is_acked_only_with_its_letter_where_the_agents_exchange_is_missing(world: World) -> None:
    """The outbound exchange is deleted mid-stream (404): the event is undeliverable, and nothing of it is lost."""
    await world.launch(retry=PATIENT)
    gate = Gate()
    world.fake.script(text_of("x1"), answer("some", before_end=(gate,)))
    await world.publish(event("x1"))
    await world.streaming("x1")
    await world.rabbit.delete_exchange("agent.events")
    gate.open()
    await asyncio.to_thread(world.subscriber.stop)
    (letter,) = await world.dead(1)
    assert (letter.routing_key, json.loads(letter.body)["id"]) == ("undeliverable", "x1")
    assert "404" in letter.headers["x-bridge-error"]
    await until(lambda: world.counts(EVENTS, (0, 0)), "it is acknowledged")
    assert len(world.fake.truth.committed(text_of("x1"))) == 1
    world.resubscribe()
    await world.publish(event("x2"))
    assert (await world.ending("x2")).ending.type == "interaction-complete"
