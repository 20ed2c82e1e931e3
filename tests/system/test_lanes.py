"""Events of one (user, service) come out one by one, in order of arrival."""

from itertools import groupby

import pytest

from tests.support.events import event, service, text_of
from tests.support.fake_api import Complete, Gate, Piece, Stream, answer
from tests.support.waiting import stays, until
from tests.support.world import World

FORTY = [f"f{number:02}" for number in range(40)]


def heard(world: World) -> list[str | None]:
    """The texts of the user's committed interactions, in the order in which they were begun."""
    return [talk.text for talk in world.fake.truth.talks if talk.committed]


async def say_forty(world: World) -> None:
    await world.publish(*[event(one, user_id="ann") for one in FORTY])
    await world.endings(*FORTY, bound_s=60)
    assert heard(world) == [text_of(one) for one in FORTY]
    assert world.fake.truth.overlaps() == []
    spoken = [one.properties.correlation_id for one in world.records]
    assert [event_id for event_id, _ in groupby(spoken)] == FORTY
    assert world.fake.sign_ins.count("ann") == 1


async def test_forty_events_of_one_user_join_one_conversation_one_by_one(world: World) -> None:
    await world.launch()
    for one in FORTY:
        world.fake.script(text_of(one), answer("yes, ", one, done=False))
    await say_forty(world)
    truth = world.fake.truth
    assert len(truth.conversations) == 1
    assert len([call for call in truth.calls_of("create") if call.status == 201]) == 1
    joined = [call for call in truth.calls_of("interact") if call.status == 200]
    assert len(joined) == 39
    assert {call.body["initial_message_type"][0] for call in joined} == {"external-event"}


async def test_forty_events_of_one_user_start_forty_conversations_one_by_one(world: World) -> None:
    await world.launch()
    await say_forty(world)
    truth = world.fake.truth
    assert len(truth.conversations) == 40
    assert [call.status for call in truth.calls_of("create")] == [201] * 40
    assert truth.calls_of("interact") == []


@pytest.mark.parametrize("done", [True, False])
async def test_the_next_event_waits_until_the_server_has_closed_the_stream(world: World, done: bool) -> None:
    """`interaction-complete` is not the end: any further action is only allowed after the connection is terminated."""
    await world.launch()
    gate = Gate()
    world.fake.script(text_of("slow"), Stream((Piece("a"), Complete(done), gate)))
    await world.publish(event("slow", user_id="ann"), event("next", user_id="ann"))
    await until(lambda: world.fake.truth.committed(text_of("slow")), "the first is answered")
    await stays(lambda: not world.fake.truth.talks_of(text_of("next")), "the next one waits", 0.5)
    gate.open()
    await world.endings("slow", "next")
    assert world.fake.truth.overlaps() == []
    refused = [call for call in world.fake.truth.calls_of("create", "interact") if call.status == 409]
    assert refused == []


async def test_one_users_services_do_not_wait_for_each_other(world: World) -> None:
    await world.launch()
    gate = Gate()
    ids = [f"p{number}" for number in range(8)]
    for one in ids:
        world.fake.script(text_of(one), answer("a", before_end=(gate,)))
    await world.publish(*[event(one, user_id="ann", service_id=service(n)) for n, one in enumerate(ids)])
    await world.streaming(*ids)
    gate.open()
    await world.endings(*ids)


async def test_a_stuck_user_does_not_hold_up_the_others(world: World) -> None:
    await world.launch()
    gate = Gate()
    world.fake.script(text_of("stuck"), answer("a", before_end=(gate,)))
    behind = [f"b{number}" for number in range(30)]
    others = [f"o{number}" for number in range(30)]
    await world.publish(
        event("stuck", user_id="ann"), *[event(one, user_id="ann") for one in behind], *[event(one) for one in others]
    )
    await world.endings(*others)
    assert world.ended == set(others)
    gate.open()
    await world.endings(*behind)
    assert heard(world)[-30:] == [text_of(one) for one in behind]
