"""docs/semantics.md, Reads are bounded: the calls of a real service, counted at the API, and tags in routing keys."""

from collections import Counter
from typing import Any

import pytest

from tests.support.events import SERVICE, event, event_tag, text_of
from tests.support.fake_api import Conversation, Cut, answer
from tests.support.fake_api.truth import Message, new_id, now
from tests.support.process import BridgeProcess
from tests.support.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")

API: dict[str, str | None] = {"channel": "api", "channel_type": "async"}
SIZES = {"small": (2, 0), "many-messages": (10_000, 0), "many-conversations": (2, 1_000)}


@pytest.fixture(scope="module")
def settings() -> dict[str, Any]:
    by_tag = {"exchange": "agent.events", "routing_key": "{topic}.{team}.{type}"}
    return {"amqp": {"outbound": [by_tag]}}


@pytest.fixture(autouse=True)
def stays_open(shared: World) -> None:
    """No answer ends its conversation."""
    shared.fake.default = answer("Good ", "day.", done=False)


def past(shared: World, user: str, messages: int, conversations: int) -> Conversation:
    """The user's open conversation, with so much in it, after so many others that are over."""
    truth = shared.fake.truth
    for _ in range(conversations):
        truth.open(user, SERVICE, API).finished = True
    mine = truth.open(user, SERVICE, {**API, "topic": "bill", "team": "north"})
    interaction_id, made = new_id(), now()
    mine.messages = [Message(new_id(), interaction_id, "agent-message", "Earlier.", made) for _ in range(messages)]
    return mine


def calls(shared: World, user: str, since: int = 0) -> Counter[str]:
    return Counter(call.op for call in shared.fake.truth.calls[since:] if call.user == user and call.op != "sign-in")


@pytest.mark.parametrize("size", SIZES)
async def test_joining_costs_one_call_and_a_cold_start_four(shared: World, bridge: BridgeProcess, size: str) -> None:
    user = f"u-{size}"
    past(shared, user, *SIZES[size])
    await shared.publish(event(f"cold-{size}", user_id=user))
    await shared.ending(f"cold-{size}")
    assert calls(shared, user) == {"create": 1, "list": 1, "messages": 1, "interact": 1}
    since = len(shared.fake.truth.calls)
    for number in range(3):
        await shared.publish(event(f"steady-{size}-{number}", user_id=user))
        await shared.ending(f"steady-{size}-{number}")
    assert calls(shared, user, since) == {"interact": 3}


async def test_tags_that_differ_cost_one_call_more(shared: World, bridge: BridgeProcess) -> None:
    past(shared, "u-tags", 2, 0)
    await shared.publish(event("tags-1", user_id="u-tags", channel="sms"))
    await shared.ending("tags-1")
    assert calls(shared, "u-tags") == {"create": 1, "list": 1, "messages": 1, "tags": 1, "interact": 1}
    since = len(shared.fake.truth.calls)
    await shared.publish(event("tags-2", user_id="u-tags", channel="phone"))
    await shared.ending("tags-2")
    assert calls(shared, "u-tags", since) == {"tags": 1, "interact": 1}


@pytest.mark.parametrize("size", SIZES)
async def test_a_lost_interact_is_found_in_a_page(shared: World, bridge: BridgeProcess, size: str) -> None:
    user = f"u-lost-{size}"
    past(shared, user, *SIZES[size])
    shared.fake.script(text_of(f"lost-{size}"), Cut(commit=True))
    await shared.publish(event(f"lost-{size}", user_id=user))
    told = await shared.ending(f"lost-{size}")
    assert told.recovered
    assert calls(shared, user) == {"create": 1, "list": 1, "messages": 2, "interact": 1}
    newest, back = shared.fake.truth.calls_of("messages", user=user)
    assert (newest.param("limit"), newest.param("sort_by")) == (["1"], ["-created_at"])
    assert (back.param("limit"), back.param("sort_by")) == (["50"], ["-created_at"])


async def test_a_routing_key_has_the_tags_of_the_conversation_that_was_joined(
    shared: World, bridge: BridgeProcess
) -> None:
    mine = past(shared, "u-keys", 2, 0)
    await shared.publish(event("keys-1", user_id="u-keys", tags={"topic": "loan"}))
    told = await shared.ending("keys-1")
    assert {one.routing_key for one in told.pieces} == {f"loan.north.{one.type}" for one in told.pieces}
    await shared.publish(event("keys-2", user_id="u-keys"))
    assert (await shared.ending("keys-2")).ending.routing_key == "loan.north.interaction-complete"
    await shared.publish(event("keys-3"))
    assert (await shared.ending("keys-3")).ending.routing_key == "_._.interaction-complete"
    assert mine.tags["topic"] == "loan"


async def test_a_recovered_ending_has_the_tags_of_the_conversation_too(shared: World, bridge: BridgeProcess) -> None:
    mine = past(shared, "u-again", 2, 0)
    shared.fake.script(text_of("again"), Cut(commit=True))
    await shared.publish(event("again", user_id="u-again"))
    told = await shared.ending("again")
    assert (told.recovered, told.ending.routing_key) == (True, "bill.north.interaction-complete")
    assert mine.tags.get("bridge_event") != event_tag("again")
