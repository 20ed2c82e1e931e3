"""The fakes keep the promises of the ports: what the tests of the flow rest on."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from bridge.core.answer.outbound_message import Address, CommonHeaders, OutboundMessage
from bridge.core.broker.publish_refusal import NACKED, PublishRefusal
from bridge.core.broker.republished_copy import RepublishedCopy
from bridge.core.delivery.reconcile import Finish
from bridge.core.errors import Lost, NoRoute, Refused
from bridge.core.event.event import Event
from bridge.core.event.event_fields import EventKind, OnBusy
from bridge.core.event.inbound_message import InboundMessage
from bridge.core.event.route import RoutedEvent
from bridge.flow.ports.broker import RepublishRefused
from tests.support.amigo_bench import all_of
from tests.support.fakes import (
    FakeAgent,
    FakeDelivery,
    FakeInbox,
    FakePublisher,
    FakeRepublisher,
    FakeRoutes,
    Fate,
    Stuck,
    VirtualTimeLoop,
    answered,
    complete,
    refused,
    said,
)

EVENT = RoutedEvent(
    id="e1",
    kind=EventKind.EXTERNAL_EVENT,
    message="Hear me",
    user_id="u",
    service_id="5" * 24,
    channel="sms",
    version_set="release",
    conversation_id=None,
    tags={},
    route=None,
    on_busy=OnBusy.INTERACT,
    agent_actions="^$",
    response_format="text",
)


class Told:
    """A receipt that remembers."""

    def __init__(self) -> None:
        self.what: list[tuple[str, str]] = []

    def confirmed(self, messages: Sequence[OutboundMessage]) -> None:
        self.what += [("confirmed", message.message_id) for message in messages]

    def refused(self, message: OutboundMessage, refusal: PublishRefusal) -> None:
        self.what.append((refusal.kind, message.message_id))

    def lost(self, message: OutboundMessage) -> None:
        self.what.append(("lost", message.message_id))


def message(message_id: str, outbound: int = 0) -> OutboundMessage:
    to = Address(outbound, "agent.events", "a.b.c", "new-message")
    return OutboundMessage(to, b"{}", message_id, 0, CommonHeaders("e1"))


async def test_the_virtual_clock_jumps_over_waits_and_keeps_their_order() -> None:
    loop = asyncio.get_running_loop()
    began, order = loop.time(), []

    async def after(seconds: float) -> None:
        await asyncio.sleep(seconds)
        order.append(seconds)

    await asyncio.gather(after(3600), after(0.5), after(60))
    assert order == [0.5, 60, 3600]
    assert loop.time() - began == pytest.approx(3600)


def test_the_virtual_loop_says_so_where_it_would_wait_for_ever() -> None:
    loop = VirtualTimeLoop()
    waiting = asyncio.Event().wait()
    task = loop.create_task(waiting)
    with pytest.raises(Stuck):
        loop.run_until_complete(task)
    task.cancel()
    loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
    loop.close()


async def test_a_publisher_takes_without_waiting_and_confirms_each_once_in_order() -> None:
    publisher, told = FakePublisher(), Told()
    for name in "abc":
        publisher.publish([message(name)], told)
    assert told.what == []
    await asyncio.sleep(0.001)
    assert told.what == [("confirmed", name) for name in "abc"]
    assert publisher.unconfirmed == []


async def test_a_lost_connection_is_told_and_republished_from_the_first_unconfirmed_on() -> None:
    publisher, told = FakePublisher(), Told()
    publisher.hold()
    for name in "abc":
        publisher.publish([message(name)], told)
    publisher.confirm(1)
    publisher.lose()
    publisher.publish([message("d")], told)
    assert told.what == [("confirmed", "a"), ("lost", "b"), ("lost", "c")]
    publisher.release()
    publisher.reconnect()
    await asyncio.sleep(0.001)
    assert [each.message_id for each in publisher.sent] == ["a", "b", "c", "b", "c", "d"]
    assert told.what[3:] == [("confirmed", name) for name in "bcd"]


async def test_a_confirm_that_was_under_way_when_the_connection_went_is_not_told() -> None:
    publisher, told = FakePublisher(), Told()
    publisher.publish([message("a")], told)
    publisher.lose()
    await asyncio.sleep(0.001)
    assert told.what == [("lost", "a")]
    publisher.reconnect()
    await asyncio.sleep(0.001)
    assert told.what == [("lost", "a"), ("confirmed", "a")]


async def test_a_refusal_is_told_once_and_not_repeated() -> None:
    publisher, told = FakePublisher(), Told()
    publisher.refuse(1, NACKED, lambda each: each.message_id == "b")
    for name in "abc":
        publisher.publish([message(name)], told)
    await asyncio.sleep(0.001)
    assert told.what == [("confirmed", "a"), ("nacked", "b"), ("confirmed", "c")]
    assert publisher.unconfirmed == []


async def test_two_messages_of_one_id_never_fly_on_one_outbound_at_once() -> None:
    publisher, told = FakePublisher(), Told()
    publisher.hold()
    for each in (message("a"), message("a"), message("a", outbound=1)):
        publisher.publish([each], told)
    assert [(each.to.outbound, each.message_id) for each in publisher.sent] == [(0, "a"), (1, "a")]
    publisher.confirm()
    assert len(publisher.sent) == 3


async def test_room_is_given_at_once_unless_it_is_closed() -> None:
    publisher = FakePublisher()
    await publisher.room()
    publisher.close_room()
    waiting = asyncio.create_task(publisher.room())
    await asyncio.sleep(1)
    assert not waiting.done()
    publisher.open_room()
    await waiting


async def test_a_republisher_returns_when_the_copy_is_confirmed_and_waits_through_a_reconnect() -> None:
    republisher = FakeRepublisher()
    copy = RepublishedCopy("bridge.dead", "rejected", b"{}", {}, {})
    republisher.disconnect()
    copying = asyncio.create_task(republisher.copy(copy))
    await asyncio.sleep(60)
    assert not copying.done()
    assert republisher.copies == []
    republisher.reconnect()
    await copying
    assert republisher.dead("rejected") == [copy]


async def test_a_republisher_raises_where_the_broker_refuses() -> None:
    republisher = FakeRepublisher()
    republisher.refuse()
    with pytest.raises(RepublishRefused):
        await republisher.copy(RepublishedCopy("bridge.dead", "rejected", b"{}", {}, {}))
    assert republisher.copies == []


def test_a_delivery_is_acked_once_and_not_after_its_connection() -> None:
    delivery = FakeDelivery(InboundMessage(b"{}"))
    assert delivery.ack()
    dead = FakeDelivery(InboundMessage(b"{}"))
    dead.die()
    assert not dead.ack()
    assert (delivery.acked, dead.acked) == (1, 0)


def test_an_inbox_consumes_again_when_no_reason_is_left() -> None:
    inbox = FakeInbox()
    inbox.pause("api")
    inbox.pause("stopping")
    inbox.resume("api")
    assert not inbox.consuming
    inbox.resume("stopping")
    assert inbox.consuming


def test_routes_raise_where_nothing_names_a_service() -> None:
    with pytest.raises(NoRoute):
        FakeRoutes().match(Event("e1"), InboundMessage(b"{}"))
    assert FakeRoutes().match(Event("e1", service_id="5" * 24), InboundMessage(b"{}")) is None


async def read(request: object) -> list[bytes]:
    async with request as stream:  # type: ignore[attr-defined]
        return [chunk async for chunk in stream]


async def test_a_conversation_is_in_the_history_from_its_ending_on() -> None:
    agent = FakeAgent()
    assert len(await read(agent.create(EVENT))) == 3
    rows = await all_of(agent.conversations("u", "5" * 24))
    assert [(row.is_finished, row.num_messages, row.carries(EVENT.event_tag)) for row in rows] == [(False, 2, True)]
    heard, answer = await all_of(agent.messages("u", rows[0].id))
    assert (heard.text, heard.message_type, answer.message_type) == ("Hear me", "external-event", "agent-message")
    assert heard.interaction_id == answer.interaction_id


async def test_the_api_has_one_unfinished_conversation_a_user_and_service() -> None:
    agent = FakeAgent()
    await read(agent.create(EVENT))
    with pytest.raises(Refused) as refusal:
        await read(agent.create(EVENT))
    assert refusal.value.status == 400
    await read(agent.create(replace(EVENT, user_id="another")))
    assert await agent.finish("u", agent.talks[0].id) is Finish.DONE
    await read(agent.create(EVENT))


async def test_while_a_request_runs_everything_else_is_409() -> None:
    agent = FakeAgent()
    async with agent.create(EVENT):
        talk = agent.talks[0]
        assert await agent.finish("u", talk.id) is Finish.RUNNING
        with pytest.raises(Refused) as refusal:
            await read(agent.interact(EVENT, talk.id))
        assert refusal.value.status == 409


@pytest.mark.parametrize(
    ("fate", "conversations", "messages"),
    [(Fate.ROLLED_BACK, 0, 0), (Fate.EMPTY, 1, 0), (Fate.HEARD, 1, 1), (Fate.SAVED, 1, 2)],
)
@pytest.mark.parametrize("later_s", [0.0, 5.0])
async def test_what_is_cut_is_committed_or_rolled_back_now_or_later(
    fate: Fate, conversations: int, messages: int, later_s: float
) -> None:
    agent = FakeAgent()
    agent.script(answered(said("Hel"), Lost("cut"), fate=fate, settles_s=later_s))
    with pytest.raises(Lost):
        await read(agent.create(EVENT))
    talk = agent.talks[0]
    if later_s:
        assert await agent.finish("u", talk.id) is Finish.RUNNING
        await asyncio.sleep(later_s + 0.1)
    assert len(await all_of(agent.conversations("u"))) == conversations
    assert len(await all_of(agent.messages("u", talk.id))) == messages


async def test_leaving_a_stream_is_a_cut_too() -> None:
    agent = FakeAgent()
    agent.script(answered(said("Hel"), said("lo"), complete(), fate=Fate.HEARD))
    async with agent.create(EVENT) as stream:
        await anext(stream)
    assert [each.text for each in agent.talks[0].messages] == ["Hear me"]


async def test_an_answer_that_does_not_come_leaves_what_the_play_says() -> None:
    agent = FakeAgent()
    agent.script(refused(Lost("reset"), Fate.SAVED))
    with pytest.raises(Lost):
        await read(agent.create(EVENT))
    assert agent.heard("Hear me") == 1


async def test_finishing_an_empty_conversation_deletes_it() -> None:
    agent = FakeAgent()
    talk = agent.open("u", "5" * 24)
    assert await agent.finish("u", talk.id) is Finish.DONE
    assert await all_of(agent.conversations("u")) == []
    assert await all_of(agent.messages("u", talk.id)) == []


async def test_injected_failures_come_before_anything_is_done_and_every_call_is_journalled() -> None:
    agent = FakeAgent()
    agent.fail("create", None, Lost("cut"))
    await read(agent.create(EVENT))
    with pytest.raises(Lost):
        await read(agent.create(EVENT))
    assert [call.operation for call in agent.journal] == ["create", "create"]
    assert len(agent.talks) == 1
