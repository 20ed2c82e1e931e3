"""What the broker refuses, in variants that a stranger has tried: docs/semantics.md, Refused messages."""

from tests.support.broker import Broker
from tests.support.events import body_of, event, raw
from tests.support.rabbit import AGENT, DEAD
from tests.support.waiting import until
from tests.support.world import World


async def test_refused_events_whose_headers_just_fit_do_not_stop_the_others(world: World, calm_broker: Broker) -> None:
    """A delayed copy has more headers than the event had: the publisher's go, where nothing is read of them again."""
    await world.rabbit.declare()
    ctl, vhost = world.rabbit.broker.node.ctl, world.rabbit.vhost
    ctl("set_topic_permissions", "-p", vhost, "guest", AGENT, r"^text\.", ".*")
    bad = [f"bad{number}" for number in range(12)]
    with calm_broker.limited("frame_max", calm_broker.smallest_frame):
        large = {"own": "x" * (calm_broker.smallest_frame - 250)}
        routes = [{"name": "own", "when": "'own' in headers"}, {"name": "all"}]
        await world.launch(
            amqp={"inbound": {"prefetch": 4}},
            retry={"first": "1s", "longest": "10m"},
            lanes={"park_after": "5m"},
            routes=routes,
        )
        await world.publish(*(raw(body_of(one, channel="phone"), headers=large) for one in bad))
        await world.publish(event("good", channel="sms"))
        await world.ending("good", bound_s=60)
        assert not world.ended.intersection(bad), "they were still refused"
        ctl("clear_topic_permissions", "-p", vhost, "guest")
        stories = await world.endings(*bad, bound_s=120)
    assert {story.ending.headers.get("route") for story in stories if story.ending is not None} == {"own"}
    await until(lambda: world.rabbit.ready_is(DEAD, 0), "nothing is dead")
    assert all(len(world.fake.truth.talks_of(f"canary-body of {one}")) == 1 for one in bad)
