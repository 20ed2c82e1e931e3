"""Conversations end: a service that is killed at random finishes each when it is due, once, and says so once."""

import json
from collections import Counter
from typing import Any

from tests.support.events import event
from tests.support.fake_api import answer
from tests.support.rabbit import ReceivedMessage
from tests.support.waiting import until
from tests.support.world import World

USERS = 20


def finishes(world: World) -> list[ReceivedMessage]:
    """What was said of finished conversations, without repeats."""
    messages = {record.properties.message_id: record for record in world.records}
    return [record for record in messages.values() if record.type == "conversation-finished"]


def body(record: ReceivedMessage) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(record.body)
    return found


def finished(world: World) -> set[str]:
    return {one.id for one in world.fake.truth.conversations.values() if one.finished}


async def all_finished(world: World, count: int, bound_s: float = 60) -> None:
    await until(lambda: len(finished(world)) == count and len(finishes(world)) == count, f"{count} are over", bound_s)


async def test_a_conversation_is_finished_after_its_silence_and_the_next_event_starts_another(world: World) -> None:
    world.fake.default = answer("some", done=False)
    await world.launch(conversations={"finish": "1s"})
    await world.publish(event("one", user_id="user-1"))
    await world.ending("one")
    await all_finished(world, 1)
    (said,) = finishes(world)
    assert (body(said)["by"], body(said)["already"], body(said)["event_id"]) == ("bridge", False, "one")
    assert said.properties.message_id == f"{body(said)['conversation_id']}:conversation-finished"
    await world.publish(event("two", user_id="user-1"))
    await world.ending("two")
    assert len(world.fake.truth.conversations) == 2


async def test_steering_events_finish_tag_and_cancel(world: World) -> None:
    world.fake.default = answer("some", done=False)
    await world.launch()
    await world.publish(event("cancel-1", kind="cancel", cancels="late", message=None, user_id=None, service_id=None))
    await until(lambda: any(record.type == "cancel-settled" for record in world.records), "it is cancelled")
    await world.publish(event("talks", user_id="user-1"))
    await world.ending("talks")
    await world.publish(
        event("tags", kind="tag", message=None, tags={"state": "paid"}, user_id="user-1"), event("late")
    )
    await world.publish(event("bye", kind="finish", message=None, user_id="user-1"))
    await until(lambda: finishes(world), "it is finished")
    types = Counter(record.type for record in world.records)
    assert (types["conversation-tagged"], types["bridge-cancelled"], types["cancel-settled"]) == (1, 1, 1)
    (conversation,) = world.fake.truth.conversations.values()
    assert conversation.finished
    assert conversation.tags["state"] == "paid"
    assert body(finishes(world)[0])["by"] == "event"


async def test_after_a_kill_what_is_due_is_finished_once(world: World) -> None:
    world.fake.default = answer("some", done=False)
    bridge = await world.launch(conversations={"finish": "1s"})
    ids = [f"k{number}" for number in range(USERS)]
    await world.publish(*[event(one, user_id=f"user-{one}") for one in ids])
    await world.endings(*ids)
    for _ in range(4):
        await until(lambda: len(finished(world)) > 0, "some are finished")
        await bridge.kill()
        bridge.start()
        await bridge.ready()
        if len(finished(world)) == USERS:
            break
    await all_finished(world, USERS)
    assert Counter(body(record)["conversation_id"] for record in finishes(world)) == dict.fromkeys(finished(world), 1)
    said = [
        (record.properties.message_id, record.body)
        for record in world.records
        if record.type == "conversation-finished"
    ]
    assert len(set(said)) == USERS
