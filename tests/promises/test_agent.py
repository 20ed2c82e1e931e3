"""The agent port: the fake of the flow's tests, and our client against the sandbox."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from bridge.core.delivery.reconcile import Finish
from bridge.core.errors import ApiError, Refused
from bridge.core.event.event_fields import EventKind
from bridge.core.event.route import RoutedEvent
from bridge.flow.ports.api import Agent
from tests.support.amigo import agent_at, routed
from tests.support.amigo_bench import all_of
from tests.support.fakes import FakeAgent
from tests.support.observed_sandbox import observed_sandbox
from tests.support.waiting import until

NOBODY = "f" * 24


@pytest.fixture(params=["fake", "real"])
async def agent(request: pytest.FixtureRequest) -> AsyncIterator[Agent]:
    if request.param == "fake":
        yield FakeAgent()
        return
    async with observed_sandbox(pace=0.05) as sandbox, agent_at(sandbox.base_url, idle_s=5) as made:
        yield made


async def lines(request: Any) -> list[dict[str, Any]]:
    """All lines of a stream, read to its end."""
    async with request as stream:
        body = b"".join([piece async for piece in stream])
    return [orjson.loads(line) for line in body.splitlines()]


async def started(agent: Agent, event: RoutedEvent) -> str:
    """The id of the conversation that the event starts."""
    return str((await lines(agent.create(event)))[0]["conversation_id"])


async def test_a_stream_begins_with_the_conversation_and_ends_with_the_answer(agent: Agent) -> None:
    said = await lines(agent.create(routed()))
    assert said[0]["type"] == "conversation-created"
    assert said[-1]["type"] == "interaction-complete"
    assert {"message_id", "interaction_id", "full_message", "conversation_completed"} <= said[-1].keys()


async def test_what_is_gathered_of_a_stream_is_part_of_it(agent: Agent) -> None:
    async with agent.create(routed()) as stream:
        body = await anext(stream)
        for _ in range(3):
            body += await stream.gathered(asyncio.sleep(0.05))
        body += b"".join([piece async for piece in stream])
        assert await stream.gathered(asyncio.sleep(0)) == b""
    first, *between, last = [orjson.loads(line)["type"] for line in body.splitlines()]
    assert (first, set(between), last) == ("conversation-created", {"new-message"}, "interaction-complete")


async def test_a_conversation_is_listed_with_its_tags_until_and_after_it_is_finished(agent: Agent) -> None:
    event = routed(tags={"source": "payments"})
    conversation_id = await started(agent, event)
    (row,) = await all_of(agent.conversations("user-1", event.service_id))
    assert (row.id, row.user_id, row.service_id, row.is_finished) == (
        conversation_id,
        "user-1",
        event.service_id,
        False,
    )
    assert row.carries(event.event_tag)
    assert dict(row.tags) == dict(event.conversation_tags)
    assert row.num_messages == 2
    assert await agent.finish("user-1", conversation_id) is Finish.DONE
    (row,) = await all_of(agent.conversations("user-1", conversation_id=conversation_id))
    assert row.is_finished


async def test_lists_hold_only_what_was_asked_for_the_newest_first(agent: Agent) -> None:
    first = await started(agent, routed(id="1"))
    await agent.finish("user-1", first)
    second = await started(agent, routed(id="2"))
    await started(agent, routed(id="3", user_id="user-2"))
    other = await started(agent, routed(id="4", service_id="5f0000000000000000000002"))
    assert [row.id for row in await all_of(agent.conversations("user-1"))] == [other, second, first]
    assert [row.id for row in await all_of(agent.conversations("user-1", routed().service_id))] == [second, first]
    assert [row.id for row in await all_of(agent.conversations("user-1", conversation_id=first))] == [first]
    assert (await all_of(agent.conversations("user-1", conversation_id=NOBODY))) == []
    assert (await all_of(agent.conversations("somebody else"))) == []


async def test_messages_are_listed_oldest_first(agent: Agent) -> None:
    conversation_id = await started(agent, routed(message="first"))
    await lines(agent.interact(routed(id="event-2", message="second", kind=EventKind.USER_MESSAGE), conversation_id))
    messages = await all_of(agent.messages("user-1", conversation_id))
    assert [message.message_type for message in messages] == [
        "external-event",
        "agent-message",
        "user-message",
        "agent-message",
    ]
    assert [messages[0].text, messages[2].text] == ["first", "second"]
    assert messages[0].interaction_id == messages[1].interaction_id != messages[2].interaction_id
    assert len({message.id for message in messages}) == 4


async def test_lists_are_asked_for_by_event_tag_and_for_unfinished_ones(agent: Agent) -> None:
    first, second = routed(id="1"), routed(id="2")
    over = await started(agent, first)
    await agent.finish("user-1", over)
    open_ = await started(agent, second)
    assert [row.id for row in await all_of(agent.conversations("user-1", first.service_id, unfinished=True))] == [open_]
    for event, conversation_id in ((first, over), (second, open_)):
        (row,) = await all_of(agent.conversations("user-1", event.service_id, event_tag=event.event_tag))
        assert (row.id, row.carries(event.event_tag)) == (conversation_id, True)
    assert await all_of(agent.conversations("user-1", first.service_id, event_tag="f" * 32)) == []


async def test_messages_are_listed_newest_first_page_by_page(agent: Agent) -> None:
    conversation_id = await started(agent, routed(message="first"))
    for number in range(3):
        await lines(agent.interact(routed(id=f"more-{number}", message=f"more {number}"), conversation_id))
    oldest_first = await all_of(agent.messages("user-1", conversation_id, page=3))
    newest_first = await all_of(agent.messages("user-1", conversation_id, newest_first=True, page=3))
    assert len(oldest_first) == 8
    assert newest_first == oldest_first[::-1]
    assert await agent.newest("user-1", conversation_id) == oldest_first[-1]
    times = [message.created_s for message in oldest_first]
    assert None not in times
    assert times == sorted(times)


async def test_the_ending_names_the_message_that_is_then_the_newest(agent: Agent) -> None:
    said = await lines(agent.create(routed()))
    newest = await agent.newest("user-1", said[0]["conversation_id"])
    assert newest is not None
    assert newest.id == said[-1]["message_id"]


async def test_there_is_no_newest_message_in_no_conversation(agent: Agent) -> None:
    assert await agent.newest("user-1", NOBODY) is None


async def test_what_is_said_bears_no_earlier_time_than_the_apis_own_before_it(agent: Agent) -> None:
    before_s = await agent.time_s("user-1")
    conversation_id = await started(agent, routed())
    assert before_s is not None
    for message in await all_of(agent.messages("user-1", conversation_id)):
        assert message.created_s is not None
        assert message.created_s >= before_s


async def test_the_messages_of_no_conversation_are_none(agent: Agent) -> None:
    assert (await all_of(agent.messages("user-1", NOBODY))) == []


async def test_an_interact_announces_the_users_message_by_the_id_that_is_listed(agent: Agent) -> None:
    conversation_id = await started(agent, routed())
    said = await lines(agent.interact(routed(id="event-2", message="and now?"), conversation_id))
    assert said[0]["type"] == "user-message-available"
    heard = next(one for one in await all_of(agent.messages("user-1", conversation_id)) if one.text == "and now?")
    assert heard.id == said[0]["message_id"]
    assert said[-1]["type"] == "interaction-complete"


async def test_the_agent_can_be_asked_to_speak_first(agent: Agent) -> None:
    conversation_id = await started(agent, routed(kind=EventKind.AGENT_FIRST, message=None))
    (message,) = await all_of(agent.messages("user-1", conversation_id))
    assert message.message_type == "agent-message"


async def test_a_second_conversation_of_a_user_with_a_service_is_refused_as_busy(agent: Agent) -> None:
    await started(agent, routed())
    with pytest.raises(Refused) as refused:
        await lines(agent.create(routed(id="event-2")))
    assert (refused.value.status, refused.value.operation) == (400, "create-conversation")


async def test_while_a_stream_is_open_its_conversation_is_locked(agent: Agent) -> None:
    conversation_id = await started(agent, routed())
    slowly = routed(id="event-2", message="[[reply:slow=0.5]]")  # still open when the next calls come
    async with agent.interact(slowly, conversation_id) as stream:
        await anext(stream)
        assert await agent.finish("user-1", conversation_id) is Finish.RUNNING
        with pytest.raises(Refused) as refused:
            await lines(agent.interact(routed(id="event-3"), conversation_id))
        assert refused.value.status == 409
        async for _ in stream:
            pass
    assert await agent.finish("user-1", conversation_id) is Finish.DONE


async def test_an_interact_with_a_finished_or_unknown_conversation_is_refused(agent: Agent) -> None:
    conversation_id = await started(agent, routed())
    await agent.finish("user-1", conversation_id)
    for gone, status in ((conversation_id, 409), (NOBODY, 404)):
        with pytest.raises(Refused) as refused:
            await lines(agent.interact(routed(id="event-2"), gone))
        assert refused.value.status == status


async def test_finishing_what_is_gone_says_so(agent: Agent) -> None:
    assert await agent.finish("user-1", NOBODY) is Finish.GONE


async def test_tags_can_be_changed(agent: Agent) -> None:
    conversation_id = await started(agent, routed(tags={"source": "payments"}))
    await agent.modify_tags("user-1", conversation_id, {"channel": "email", "channel_type": "async"})
    (row,) = await all_of(agent.conversations("user-1"))
    assert (row.tags["channel"], row.tags["channel_type"], row.tags["source"]) == ("email", "async", "payments")
    with pytest.raises(Refused) as refused:
        await agent.modify_tags("user-1", conversation_id, {f"tag {number}": "x" for number in range(18)})
    assert refused.value.status == 400
    with pytest.raises(Refused) as refused:
        await agent.modify_tags("user-1", NOBODY, {"channel": "sms"})
    assert refused.value.status == 404


async def test_leaving_a_stream_early_ends_the_request(agent: Agent) -> None:
    async with agent.create(routed()) as stream:
        await anext(stream)

    async def unlocked() -> bool:
        rows = await all_of(agent.conversations("user-1"))
        return all([await agent.finish("user-1", row.id) is not Finish.RUNNING for row in rows])

    await until(unlocked, "no conversation is locked any more", 5)


async def test_different_users_speak_at_the_same_time(agent: Agent) -> None:
    async with agent.create(routed(user_id="user-1")) as one, agent.create(routed(user_id="user-2")) as other:
        first, second = await anext(one), await anext(other)
        assert b"conversation-created" in first
        assert b"conversation-created" in second


async def test_a_probe_of_a_living_api_raises_nothing(agent: Agent) -> None:
    await agent.probe(credentials=False)
    await agent.probe(credentials=True)


async def test_entering_raises_and_leaves_nothing_to_close(agent: Agent) -> None:
    with pytest.raises(ApiError):
        async with agent.interact(routed(), NOBODY):
            pytest.fail("there is no such conversation")
    assert (await all_of(agent.conversations("user-1"))) == []
