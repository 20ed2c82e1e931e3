"""Where nothing can be proved the event is `uncertain`, and /readyz says which permission is missing."""

import json

from tests.support.events import event, text_of
from tests.support.fake_api import Cut
from tests.support.waiting import until
from tests.support.world import World


async def assert_uncertain(world: World, event_id: str) -> None:
    told = await world.ending(event_id, bound_s=30)
    assert json.loads(told.ending.body)["reason"] == "uncertain"
    (letter,) = await world.dead(1)
    assert letter.routing_key == "uncertain"
    assert len(world.fake.truth.talks_of(text_of(event_id))) == 1


async def test_an_answer_that_may_not_be_read_cannot_be_proved(world: World) -> None:
    bridge = await world.launch()
    world.fake.hidden.add("messages")
    world.fake.script(text_of("blind"), Cut(commit=True))
    await world.publish(event("blind"))
    await assert_uncertain(world, "blind")
    body = await bridge.not_ready(10)
    assert any("GetMessage" in str(row["reason"]) for row in body["components"] if not row["ok"])


async def test_where_nothing_is_ever_listed_nothing_is_started_again(world: World) -> None:
    """The user has had a conversation, yet the list is empty: the role may not list, so absence proves nothing."""
    bridge = await world.launch()
    world.fake.hidden.add("conversations")
    await world.publish(event("seen", user_id="ann"))
    await world.ending("seen")
    world.fake.script(text_of("unseen"), Cut(commit=True))
    await world.publish(event("unseen", user_id="ann"))
    await assert_uncertain(world, "unseen")
    body = await bridge.not_ready(10)
    assert any("GetConversation" in str(row["reason"]) for row in body["components"] if not row["ok"])
    await until(lambda: bridge.running, "it runs on")
