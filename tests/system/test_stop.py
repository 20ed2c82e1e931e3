"""Stopping loses nothing: a drain, a short drain, a second signal, a kill; the next instance asks before it starts."""

import asyncio
import json
import signal
import time

import pytest

from tests.support.events import SERVICE, event, fields, raw, text_of
from tests.support.fake_api import Complete, Gate, Husk, Piece, Refusal, Stream, answer
from tests.support.oracle import of_event
from tests.support.process import BridgeProcess
from tests.support.rabbit import DEAD, EVENTS
from tests.support.waiting import stays, until
from tests.support.world import World

# One event for each thing that the API may make of an interaction whose client is gone, and two of each.
LEFT = {f"{husk.name.lower()}-{number}": husk for husk in Husk for number in (1, 2)}


async def leave_streams_open(world: World) -> Gate:
    """All events of LEFT are in the middle of their first stream, behind one gate."""
    gate = Gate()
    for event_id, husk in LEFT.items():
        first = Stream((Piece("some "), gate, Piece("more"), Complete()), abandoned=husk)
        world.fake.script(text_of(event_id), first, answer("told ", "anew"))
    await world.publish(*[event(event_id, channel="email") for event_id in LEFT])
    await world.streaming(*LEFT)
    return gate


async def assert_the_next_instance_heals(world: World, bridge: BridgeProcess, fresh_since: float) -> None:
    """It looks before it starts anything; each event is heard once and has one ending, and the pieces add up."""
    bridge.start()
    truth = world.fake.truth
    late = [f"u-{event_id}" for event_id, husk in LEFT.items() if husk is Husk.LATE]
    await until(
        lambda: all(truth.calls_of("finish", user=user, since=fresh_since) for user in late), "the locks are met"
    )
    world.fake.settle_late()
    for told in await world.endings(*LEFT, bound_s=40):
        event_id, husk = told.event_id, LEFT[told.event_id]
        calls = truth.calls_of("create", "interact", "list", user=f"u-{event_id}", since=fresh_since)
        assert calls[0].op == "list", f"{event_id} was started blindly: {[call.op for call in calls]}"
        assert len(truth.committed(text_of(event_id))) == 1, event_id
        assert told.recovered == (husk in (Husk.COMMIT, Husk.LATE)), event_id
        if told.recovered:
            assert told.full_message() == "some more"
            continue
        looks = [call for call in calls if call.op == "list"]
        assert husk is not Husk.ROLLBACK or looks[-1].started - looks[0].started >= 0.28, event_id
        assert told.bodies == truth.talks_of(text_of(event_id))[-1].sent, event_id
        assert_voided_before(world, event_id)
    assert await world.rabbit.ready_count(DEAD) == 0


def assert_voided_before(world: World, event_id: str) -> None:
    """The lost stream's pieces are declared void, by its own id or, where that is lost, by the stream that follows."""
    mine = of_event(world.records, event_id)
    (void,) = [record for record in mine if record.type == "bridge-voided"]
    said = json.loads(void.body)
    last = mine[-1].headers["stream"]
    if said["stream"] is None:
        assert (said["before"], void.message_id) == (last, f"{event_id}:{last}:voided-before")
    else:
        assert void.message_id == f"{event_id}:{said['stream']}:voided"
    assert void.routing_key == "async.email.bridge-voided"


async def test_sigterm_finishes_what_streams_and_readiness_goes_first(world: World) -> None:
    bridge = await world.launch(shutdown={"grace": "1h"})
    gate = Gate()
    ids = ["d1", "d2", "d3"]
    for one in ids:
        world.fake.script(text_of(one), answer("some", before_end=(gate,)))
    await world.publish(*[event(one) for one in ids])
    await world.streaming(*ids)
    bridge.signal(signal.SIGTERM)
    await bridge.not_ready()
    await world.publish(event("later"))
    await until(lambda: world.rabbit.ready_is(EVENTS, 1), "it consumes no more", 10)
    await stays(bridge.is_not_ready, "/readyz keeps answering 503", 0.5)
    alive = await bridge.get("/livez")
    assert alive is not None
    assert alive[0] == 200
    gate.open()
    assert await bridge.exit_status(15) == 0
    assert world.ended == set(ids)
    assert world.fake.truth.talks_of(text_of("later")) == []
    assert await world.rabbit.ready_count(EVENTS) == 1
    world.unfinished = 1


async def test_an_idle_bridge_stops_without_waiting_for_its_grace(world: World) -> None:
    bridge = await world.launch(shutdown={"grace": "1h"})
    assert await bridge.stop() == 0


async def test_a_second_sigterm_ends_it_at_once(world: World) -> None:
    bridge = await world.launch(shutdown={"grace": "1h"})
    gate = Gate()
    world.fake.script(text_of("stuck"), answer("some", before_end=(gate,)))
    await world.publish(event("stuck"))
    await world.streaming("stuck")
    bridge.signal(signal.SIGTERM)
    await bridge.not_ready()
    bridge.signal(signal.SIGTERM)
    # A shell and an orchestrator say 143 both for exit(143) and for death by SIGTERM.
    assert await bridge.exit_status() in (143, -signal.SIGTERM)
    await until(lambda: world.counts(EVENTS, (1, 0)), "the event is back in the queue")
    world.unfinished = 1


async def test_a_grace_shorter_than_the_streams_leaves_them_to_the_next_instance(world: World) -> None:
    bridge = await world.launch(shutdown={"grace": "500ms"})
    await leave_streams_open(world)
    started = time.monotonic()
    assert await bridge.stop() == 0
    assert time.monotonic() - started >= 0.45
    await until(lambda: world.counts(EVENTS, (len(LEFT), 0)), "all events are back in the queue")
    assert world.ended == set()
    await assert_the_next_instance_heals(world, bridge, time.monotonic())


async def test_a_kill_in_the_middle_of_streams_loses_and_repeats_nothing(world: World) -> None:
    bridge = await world.launch()
    await leave_streams_open(world)
    await bridge.kill()
    await until(lambda: all(talk.ended for talk in world.fake.truth.talks), "the API has seen the client go")
    await assert_the_next_instance_heals(world, bridge, time.monotonic())


async def test_a_kill_under_load_loses_and_repeats_nothing(world: World) -> None:
    """Killed again and again at arbitrary moments: one interaction and one ending for each of 150 events."""
    bridge = await world.launch()
    husks = [Husk.COMMIT, Husk.ROLLBACK, Husk.EMPTY]
    ids = [f"k{number}" for number in range(150)]
    for number, one in enumerate(ids):
        world.fake.always(text_of(one), answer("a", "b", "c", cut_every=3, abandoned=husks[number % 3]))
    await asyncio.gather(world.publish(*[event(one) for one in ids]), killed_again_and_again(world, bridge))
    await world.endings(*ids, bound_s=60)
    for one in ids:
        assert len(world.fake.truth.committed(text_of(one))) == 1, one
    assert await world.rabbit.ready_count(DEAD) == 0


async def killed_again_and_again(world: World, bridge: BridgeProcess) -> None:
    for share in (5, 30, 60):
        await until(lambda: len(world.fake.truth.talks) > share, "it is at work", step_s=0.001)  # noqa: B023
        await bridge.kill()
        bridge.start()


@pytest.mark.parametrize("refusal", [Refusal(429, {"Retry-After": "3"}), Refusal(503), Refusal(500)])
async def test_what_waits_for_its_next_attempt_survives_a_stop(world: World, refusal: Refusal) -> None:
    bridge = await world.launch(retry={"first": "3s", "longest": "3s"})
    world.fake.script(text_of("waits"), refusal)
    await world.publish(event("waits"))
    await until(lambda: world.fake.truth.calls_of("create"), "the first attempt has failed")
    assert await bridge.stop() == 0
    bridge.start()
    await world.ending("waits", bound_s=30)
    assert len(world.fake.truth.committed(text_of("waits"))) == 1


async def test_a_stop_before_the_broker_ever_answered_is_a_clean_one(world: World) -> None:
    bridge = world.bridge(amqp={"url": "amqp://guest:guest@127.0.0.1:9/"})
    bridge.start()
    await bridge.not_ready(20)
    assert (await bridge.get("/livez") or (0, ""))[0] == 200
    assert await bridge.stop() == 0


async def test_prefetched_events_behind_a_stuck_one_go_back_untouched(world: World) -> None:
    bridge = await world.launch(shutdown={"grace": "500ms"})
    gate = Gate()
    world.fake.script(text_of("front"), answer("some", before_end=(gate,), abandoned=Husk.COMMIT))
    behind = [f"behind{number}" for number in range(8)]
    body = json.dumps(fields("front", user_id="ann")).encode()
    await world.publish(raw(body), *[event(one, user_id="ann") for one in behind])
    await world.streaming("front")
    assert await bridge.stop() == 0
    assert len(world.fake.truth.talks) == 1
    bridge.start()
    await world.endings("front", *behind)
    assert [talk.text for talk in world.fake.truth.talks] == [text_of(one) for one in ("front", *behind)]
    assert world.fake.truth.overlaps() == []


@pytest.mark.parametrize("husk", [Husk.COMMIT, Husk.ROLLBACK])
async def test_a_kill_during_an_interact_never_tells_the_agent_twice(world: World, husk: Husk) -> None:
    """Without proof the event is uncertain, and a person decides; what it never is, is repeated."""
    bridge = await world.launch()
    mine = world.fake.truth.open("u-joined", SERVICE, {"channel": "api", "channel_type": "async"})
    gate = Gate()
    first = answer("some", done=False, before_end=(gate,), abandoned=husk)
    world.fake.script(text_of("joined"), first, answer("anew", done=False))
    await world.publish(event("joined"))
    await world.streaming("joined")
    await bridge.kill()
    await until(lambda: all(talk.ended for talk in world.fake.truth.talks), "the API has seen the client go")
    bridge.start()
    told = await world.ending("joined", bound_s=40)
    committed = world.fake.truth.committed(text_of("joined"))
    assert [one.text for one in mine.interactions] == [one.text for one in committed]
    if told.ending.type == "bridge-failed":
        assert json.loads(told.ending.body)["reason"] == "uncertain"
        assert len(committed) == (husk is Husk.COMMIT)
    else:
        assert len(committed) == 1
