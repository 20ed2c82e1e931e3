"""Every operation of the typed client against the sandbox: what is asked for, and what comes back."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bridge.core.errors import Refused, SignInRefused
from bridge.edges.amigo.multipart import Earlier, Recording
from bridge.edges.amigo.results import ConversationResult, Service
from tests.support.amigo import API_KEY, SERVICE
from tests.support.amigo_bench import HOOK, OPERATIONS, PROCESSED, USER, Bench, Operation, all_of, bench, said, services

MP3 = b"ID3" + bytes(100)
OTHER_SERVICE = "5f0000000000000000000002"
ACTIONS = 24


async def ended(b: Bench, message: str = "", **more: Any) -> Any:
    return (await said(b.conversations.interact(USER, b.conversation_id, message=message, **more)))[-1]


def types(events: list[Any]) -> list[str]:
    return [event.type for event in events]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
async def test_every_operation_works(operation: Operation, outcomes: Any) -> None:
    async with bench() as b:
        await b.talk()
        await operation.ask(b)
        outcomes.note(operation.name, "ok", "ok")
        assert b.asked(operation.id) > 0


async def test_the_agent_speaks_first_where_nothing_is_said() -> None:
    async with bench() as b:
        events = await said(b.conversations.create(USER, SERVICE))
        assert types(events)[0] == "conversation-created"
        assert (events[-1].conversation_completed, bool(events[-1].full_message)) == (False, True)
        pieces = [event for event in events if event.type == "new-message"]
        assert "".join(piece.message for piece in pieces) == events[-1].full_message
        assert [piece.stop for piece in pieces].count(True) == 1


@pytest.mark.parametrize("kind", ["user-message", "external-event"])
async def test_a_conversation_starts_with_a_message_tags_and_a_version_set(kind: str) -> None:
    async with bench() as b:
        tags = {"channel": "sms", "urgent": None}
        stream = b.conversations.create(USER, SERVICE, message="Invoice 7", kind=kind, version_set="voice", tags=tags)
        events = await said(stream)
        (row,) = await all_of(b.conversations.list(USER))
        assert (row.id, row.tags, row.service_id) == (events[0].conversation_id, tags, SERVICE)
        assert (row.version_set_info.name, row.num_messages, row.user_id) == ("voice", 2, USER)
        assert (row.final_message, row.is_finished) == (events[-1].full_message, False)
        (first, _) = await all_of(b.conversations.messages(USER, row.id))
        assert (first.message, first.message_type) == ("Invoice 7", kind)


async def test_a_test_conversation_is_marked_and_others_do_not_mention_it() -> None:
    async with bench() as b:
        await said(b.conversations.create(USER, SERVICE, is_test=True))
        await said(b.conversations.create(USER, OTHER_SERVICE))
        assert [row.is_test for row in b.state.store.conversations.values()] == [True, False]


async def test_an_interact_has_three_shapes() -> None:
    async with bench() as b:
        await b.talk()
        at = datetime.now(UTC) + timedelta(seconds=1)
        earlier = [Earlier("the bill was paid", at), Earlier("a receipt was sent", at + timedelta(milliseconds=5))]
        events = await said(b.conversations.interact(USER, b.conversation_id, message="And now?", earlier=earlier))
        assert (events[0].type, events[0].user_message) == ("user-message-available", "And now?")
        await ended(b, "a reminder was sent", kind="external-event")
        await ended(b, kind="skip")
        kinds = [message.message_type for message in await all_of(b.conversations.messages(USER, b.conversation_id))]
        assert kinds[1:] == [
            *("external-event", "external-event", "user-message", "agent-message"),
            *("external-event", "agent-message"),
            "agent-message",
        ]
        found = await all_of(b.conversations.messages(USER, b.conversation_id, ids=[events[0].message_id]))
        assert [message.message for message in found] == ["And now?"]


@pytest.mark.parametrize("recording", [Recording(MP3), Recording(b"RIFF" + bytes(80), frame_rate=16_000)])
async def test_spoken_words_are_transcribed_and_answered_by_voice(recording: Recording) -> None:
    async with bench() as b:
        await b.talk()
        stream = b.conversations.interact(USER, b.conversation_id, message=recording, response_format="voice")
        events = await said(stream)
        assert str(len(recording.audio)) in events[0].user_message
        assert all(event.transcript_alignment for event in events if event.type == "new-message")
        for long_lived in (True, False):
            source = await b.conversations.message_source(
                USER, b.conversation_id, events[0].message_id, long_lived=long_lived
            )
            assert source.url.startswith("http")
            assert source.expires_at is not None
            left = source.expires_at - datetime.now(UTC)
            assert (left > timedelta(hours=2)) is long_lived


@pytest.mark.parametrize(("pattern", "count"), [("^.*$", ACTIONS), ("^action-too-long$", 1), ("^$", 0)])
async def test_the_agents_actions_come_as_far_as_they_are_asked_for(pattern: str, count: int) -> None:
    async with bench() as b:
        message = "[[reply:all-actions]]"
        stream = b.conversations.create(USER, SERVICE, message=message, kind="user-message", agent_actions=pattern)
        actions = [event.action for event in await said(stream) if event.type == "current-agent-action"]
        assert len({action["type"] for action in actions}) == len(actions) == count
        assert all(re.match(pattern, action["type"]) for action in actions)


async def conversations(b: Bench, **filters: Any) -> list[str]:
    return [row.id for row in await all_of(b.conversations.list(USER, **filters))]


async def test_the_list_filters_sorts_and_pages() -> None:
    async with bench() as b:
        for number in range(7):
            tags = {"number": str(number), "odd" if number % 2 else "even": None}
            service = SERVICE if number < 4 else OTHER_SERVICE
            events = await said(b.conversations.create(f"user-{number % 2}", service, tags=tags))
            await b.conversations.finish(f"user-{number % 2}", events[0].conversation_id)
        await said(b.conversations.create(USER, SERVICE))
        every = await conversations(b, sort_by=["+created_at"])
        assert len(every) == 8
        assert await conversations(b) == every[::-1]
        assert await conversations(b, sort_by=["+created_at"], page_size=3) == every
        assert await conversations(b, is_finished=False) == every[7:]
        assert await conversations(b, is_finished=True, sort_by=["+created_at"]) == every[:7]
        assert await conversations(b, service_ids=[OTHER_SERVICE, "a" * 24]) == every[6:3:-1]
        assert await conversations(b, user_ids=["user-0"]) == every[6::-2]
        assert await conversations(b, ids=every[2:4]) == every[3:1:-1]
        assert await conversations(b, tags={"number": "4"}) == [every[4]]
        assert await conversations(b, tags={"number": "*", "odd": None}) == every[5::-2]


async def test_messages_filter_sort_and_page() -> None:
    async with bench() as b:
        await b.talk()
        ending = await ended(b, "And now?")
        every = await all_of(b.conversations.messages(USER, b.conversation_id))
        assert [message.message_type for message in every] == ["agent-message", "user-message", "agent-message"]
        paged = await all_of(b.conversations.messages(USER, b.conversation_id, page_size=1))
        assert paged == every
        newest = await all_of(b.conversations.messages(USER, b.conversation_id, sort_by=["-created_at"]))
        assert newest == every[::-1]
        of_one = b.conversations.messages(
            USER, b.conversation_id, interaction_ids=[ending.interaction_id], message_types=["user-message"]
        )
        assert await all_of(of_one) == [every[1]]
        assert every[1].created_at is not None
        assert (every[1].message, every[1].interaction_id, every[1].sender) == (
            "And now?",
            ending.interaction_id,
            "Sam",
        )


async def test_tags_are_written_and_deleted() -> None:
    async with bench() as b:
        await b.talk()
        await b.conversations.modify_tags(USER, b.conversation_id, {"channel": "sms", "urgent": None})
        await b.conversations.modify_tags(USER, b.conversation_id, {"channel": "email"}, deletes=["urgent"])
        (row,) = await all_of(b.conversations.list(USER))
        assert row.tags == {"channel": "email"}


@pytest.mark.parametrize("context", [None, "You are the tenant."])
async def test_responses_are_recommended_with_and_without_context(context: str | None) -> None:
    async with bench() as b:
        await b.talk()
        ids = b.conversation_id, b.interaction_id
        assert len(await b.conversations.recommended_responses(USER, *ids, context)) == 3


async def test_insights_tell_what_the_agent_thought() -> None:
    async with bench() as b:
        await b.talk()
        found = await b.conversations.insights(USER, b.conversation_id, b.interaction_id)
        assert found.current_state_name == "inform"
        assert {log["type"] for log in found.state_transition_logs} == {"action", "tool-call"}
        assert found.engage_user_tool_call_logs[0][0].tool_name == "lookup"
        assert found.working_memory[0].context == "agent-first"


async def test_services_filter_and_page() -> None:
    async with bench() as b:
        every = await services(b, page_size=1)
        assert [service["name"] for service in every] == ["Customer Care", "Front Desk", "Payment Alerts"]
        assert await services(b, tags=["channel:phone", "pilot:"]) == [every[1]]
        assert await services(b, ids=[SERVICE], is_active=True) == [every[0]]
        assert await services(b, is_active=False) == []
        versions = Service.read("services", every[0]).version_sets
        assert {"release", "edge"} <= set(versions)
        assert versions["edge"].agent_version_number is None


async def test_webhook_destinations_from_first_to_last() -> None:
    async with bench() as b:
        made = await b.destinations.create(USER, HOOK, [PROCESSED], retry_attempts=2)
        assert made.secret not in repr(made)
        destination_id = made.webhook_destination_id
        await b.destinations.update(USER, destination_id, retry_attempts=5)
        await b.destinations.update(USER, destination_id, accepted_types=["api-key-expiration-soon"])
        (row,) = await b.destinations.list(USER, ids=[destination_id])
        assert (row.url, row.retry_attempts, row.accepted_types) == (HOOK, 5, ("api-key-expiration-soon",))
        rotated = await b.destinations.rotate_secret(USER, destination_id)
        assert rotated.secret not in repr(rotated)
        assert (rotated.secret != made.secret, rotated.dual_signing_stops_at is not None) == (True, True)
        with pytest.raises(Refused, match="once per hour"):
            await b.destinations.rotate_secret(USER, destination_id)
        await b.destinations.delete(USER, destination_id)
        assert await b.destinations.list(USER) == ()


async def test_deliveries_filter_and_page() -> None:
    async with bench() as b:
        await b.talk()
        for _ in range(3):
            b.state.webhook_sender.emit("acme", PROCESSED, {"type": PROCESSED, "org_id": "acme"}, None)
        every = await all_of(b.destinations.deliveries(USER, b.destination_id, page_size=2))
        assert len(every) == 3
        assert (every[0].type, every[0].webhook_content["org_id"]) == (PROCESSED, "acme")
        now = datetime.now(UTC)
        hour = timedelta(hours=1)

        async def count(**filters: Any) -> int:
            return len(await all_of(b.destinations.deliveries(USER, b.destination_id, **filters)))

        assert await count(kind=PROCESSED, after=now - hour, before=now + hour) == 3
        assert (await count(kind="api-key-expiration-soon"), await count(after=now + hour)) == (0, 0)
        assert (await count(before=now - hour), await count(status="success")) == (0, 0)


async def test_a_token_of_another_organization_is_announced() -> None:
    async with bench(credentials={"token_organization_id": "umbrella"}) as b:
        await all_of(b.conversations.list(USER))
        entries = b.state.journal.entries(None, None, 0)
        assert [(entry.org_id, entry.status) for entry in entries] == [("umbrella", 200), ("acme", 200)]


async def test_a_dedicated_cluster_is_named_in_every_call() -> None:
    async with bench(credentials={"mongo_cluster": "eu-7"}) as b:
        for operation, error in (("get-conversations", Refused), ("sign-in-with-api-key", SignInRefused)):
            b.fault("http-418", operation, match={"operation": operation, "header": "x-mongo-cluster-name:eu-7"})
            with pytest.raises(error, match="418"):
                await all_of(b.conversations.list(operation))


async def test_what_nobody_may_see_is_an_empty_list_and_no_error() -> None:
    async with bench() as b:
        await b.talk()
        b.state.store.users["acme", USER].denied = ["Conversation:GetConversation", "Conversation:GetMessage"]
        assert await all_of(b.conversations.list(USER)) == []
        assert await all_of(b.conversations.messages(USER, b.conversation_id)) == []


def test_a_row_shows_nothing_that_its_fields_do_not_say() -> None:
    row = ConversationResult.read("list", {"id": "a", "tags": {"x": 5}, "num_messages": "many", "future": API_KEY})
    assert (row.tags, row.num_messages, API_KEY in repr(row)) == ({}, 0, False)
