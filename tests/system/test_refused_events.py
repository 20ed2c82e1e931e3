"""Events whose messages the broker refuses, as many as one likes: nobody else waits for them."""

import json
from collections import Counter

from tests.support.events import event
from tests.support.fake_api import answer
from tests.support.process import BridgeProcess
from tests.support.rabbit import AGENT, DEAD, QUORUM
from tests.support.waiting import until
from tests.support.world import World

PREFETCH = 20
RETRY = {"first": "1s", "longest": "10m"}


def only(world: World, keys: str, exchange: str = AGENT) -> None:
    """The bridge may write these routing keys to the exchange, and no others."""
    world.rabbit.broker.permit_keys(world.rabbit.vhost, exchange, keys)


def acked(bridge: BridgeProcess) -> set[str]:
    """The events of which everything is confirmed."""
    return {str(line["event_id"]) for line in bridge.log_lines() if line.get("settlement") == "ack"}


async def test_as_many_refused_events_as_the_prefetch_do_not_stop_the_others(world: World) -> None:
    await world.rabbit.declare()
    only(world, r"^text\.")
    bridge = await world.launch(amqp={"inbound": {"prefetch": PREFETCH}}, retry=RETRY, lanes={"park_after": "5m"})
    bad = [f"bad{number}" for number in range(5 * PREFETCH)]
    await world.publish(*(event(event_id, user_id=event_id, channel="phone") for event_id in bad))
    await world.publish(event("good", channel="sms"))
    await world.ending("good", bound_s=60)
    assert not world.ended.intersection(bad), "they were still refused"
    only(world, ".*")
    stories = await world.endings(*bad, bound_s=120)
    assert {story.ending.type for story in stories if story.ending is not None} == {"interaction-complete"}
    complete = [each for each in world.records if each.type == "interaction-complete"]
    assert max(Counter(each.message_id for each in complete).values()) <= 2, "repeats have one id, and are few"
    assert await world.rabbit.ready_count(DEAD) == 0
    await until(
        lambda: acked(bridge) == {*bad, "good"}, "those whose lines came after their ending are settled too", 120
    )


async def test_dead_letters_that_are_not_taken_do_not_stop_the_others(world: World) -> None:
    await world.rabbit.declare()
    only(world, "^none$", DEAD)
    await world.launch(amqp={"inbound": {"prefetch": PREFETCH}}, lanes={"park_after": "5m"}, retry=RETRY)
    bad = [f"bad{number}" for number in range(3 * PREFETCH)]
    await world.publish(*(event(event_id, user_id=event_id, channel="fax") for event_id in bad))
    await world.publish(event("good", channel="sms"))
    await world.ending("good", bound_s=60)
    only(world, ".*", DEAD)
    await world.dead(len(bad), bound_s=120)
    await world.endings(*bad)
    assert len(world.dead_letters) == len(bad), "each has one letter"


async def test_a_refused_conversation_finished_does_not_hold_up_the_users_next_event(world: World) -> None:
    await world.rabbit.declare()
    only(world, r"\.(interaction-complete|new-message|user-message-available|conversation-created)$")
    world.fake.default = answer("stays open", done=False)
    bridge = await world.launch(conversations={"finish": "1s"}, retry=RETRY)
    await world.publish(event("first", user_id="ada"))
    await world.ending("first")
    await until(lambda: '"finish.unsaid"' in bridge.log, "it is refused")
    await world.publish(event("second", user_id="ada"))
    await world.ending("second", bound_s=60)
    await bridge.kill()
    only(world, ".*")
    await world.launch(conversations={"finish": "1h"}, retry=RETRY)
    await until(lambda: any(each.type == "conversation-finished" for each in world.records), "it is said", 60)


async def test_users_with_many_events_behind_a_refused_one_do_not_stop_the_others(world: World) -> None:
    await world.rabbit.declare()
    only(world, r"^text\.")
    await world.launch(amqp={"inbound": {"prefetch": PREFETCH}}, retry=RETRY, lanes={"park_after": "5m"})
    bad = [f"bad{number}" for number in range(5 * PREFETCH)]
    await world.publish(*(event(bad_id, user_id=f"u{place % 10}", channel="phone") for place, bad_id in enumerate(bad)))
    await world.publish(event("good", channel="sms"))
    await world.ending("good", bound_s=60)
    only(world, ".*")
    await world.endings(*bad, bound_s=180)
    for user in range(10):
        own = bad[user::10]
        told = [each.properties.correlation_id for each in world.records if each.type == "interaction-complete"]
        assert [each for each in dict.fromkeys(told) if each in own] == own, "each user's in order"


async def test_answers_are_taken_again_once_a_full_queue_has_room(world: World) -> None:
    """More than may be held: most are tried once each time they come back."""
    await world.rabbit.declare()
    await world.rabbit.make_queue("slow", QUORUM, "#")
    ctl, vhost = world.rabbit.broker.node.ctl, world.rabbit.vhost
    full = json.dumps({"max-length": 1, "overflow": "reject-publish"})
    ctl("set_policy", "-p", vhost, "full", "^slow$", full, "--apply-to", "queues")
    bridge = await world.launch(amqp={"inbound": {"prefetch": 8}}, retry={"first": "1s", "longest": "4s"})
    ids = [f"e{number}" for number in range(30)]
    await world.publish(*(event(event_id) for event_id in ids))
    await until(lambda: bridge.log.count('"untaken"') > len(ids), "each has been tried", 60)
    ctl("clear_policy", "-p", vhost, "full")
    await until(lambda: acked(bridge) == set(ids), "everything of each is confirmed", 120)
    assert await world.rabbit.ready_count(DEAD) == 0
