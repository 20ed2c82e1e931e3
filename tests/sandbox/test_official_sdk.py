"""The official SDK, unmodified, as the independent judge of the sandbox: blocking and async."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from amigo_sdk import AmigoClient, AsyncAmigoClient
from amigo_sdk.errors import AuthenticationError, BadRequestError, ConflictError, NotFoundError
from amigo_sdk.generated import model

from .caller import SERVICE, Caller, until
from .conftest import Start

TEXT = model.Format.text


def credentials(caller: Caller) -> dict[str, str]:
    names = {"api_key": "secret", "api_key_id": "key-1", "user_id": "sdk-user", "organization_id": "acme"}
    return {**names, "base_url": caller.base_url}


def create_body(message: str | None = None) -> Any:
    kind = None if message is None else "external-event"
    return model.ConversationCreateConversationRequest(
        service_id=SERVICE, service_version_set_name="release", initial_message=message, initial_message_type=kind
    )


def in_a_moment() -> datetime:
    """Later than any message so far, and within what the server forgives."""
    return datetime.now(UTC) + timedelta(seconds=1)


VOICE = model.CreateConversationParametersQuery(response_format=model.Format.voice)
CREATE = model.CreateConversationParametersQuery(response_format=TEXT)
INTERACT = model.InteractWithConversationParametersQuery(request_format=TEXT, response_format=TEXT)
STARTER = model.ConversationGenerateConversationStarterRequest(
    service_id=SERVICE, facets=["billing"], min_count=1, max_count=3, generation_instructions="Be brief"
)


def new_user(number: int) -> Any:
    return model.UserCreateInvitedUserRequest(
        first_name="Ada", last_name="L", email=f"ada{number}@example.com", role_name="DefaultUserRole"
    )


async def test_the_async_client_holds_a_conversation(caller: Caller) -> None:
    async with AsyncAmigoClient(**credentials(caller)) as sdk:
        created = [event.root async for event in await sdk.conversations.create(create_body("Invoice 7"), CREATE)]
        conversation_id = created[0].conversation_id
        answer = [
            event.root
            async for event in await sdk.conversations.interact(
                conversation_id,
                INTERACT,
                text_message="And now?",
                external_event_message_content=["the bill was paid"],
                external_event_message_timestamp=[in_a_moment()],
            )
        ]
        messages = await sdk.conversations.messages(conversation_id, model.GetConversationMessagesParametersQuery())
        await sdk.conversations.finish(conversation_id)
        rows = await sdk.conversations.list(model.GetConversationsParametersQuery(user_id=["sdk-user"]))
    assert type(answer[0]).__name__ == "UserMessageAvailableEvent"
    assert type(answer[-1]).__name__ == "InteractionCompleteEvent"
    assert [message.message for message in messages.messages][2:4] == ["the bill was paid", "And now?"]
    assert rows.conversations[0].is_finished


async def test_the_async_client_reads_everything_else(caller: Caller) -> None:
    async with AsyncAmigoClient(**credentials(caller)) as sdk:
        created = [event.root async for event in await sdk.conversations.create(create_body(), CREATE)]
        ids = (created[0].conversation_id, created[-1].interaction_id)
        insights = await sdk.conversations.get_interaction_insights(*ids)
        recommended = await sdk.conversations.recommend_responses_for_interaction(*ids)
        starters = await sdk.conversations.generate_conversation_starters(STARTER)
        services = await sdk.services.get_services()
        organization = await sdk.organizations.get()
        user = await sdk.users.create(new_user(1))
        users = await sdk.users.list(model.GetUsersParametersQuery(email=["ada1@example.com"]))
    assert insights.current_state_name
    assert recommended.recommended_responses
    assert starters.prompts[0].facets == ["billing"]
    assert SERVICE in [service.id for service in services.services]
    assert organization.org_id == "acme"
    assert users.users[0].user_id == user.user_id


async def test_the_async_client_hears_voice_and_finds_its_source(caller: Caller) -> None:
    async with AsyncAmigoClient(**credentials(caller)) as sdk:
        created = [event.root async for event in await sdk.conversations.create(create_body(), VOICE)]
        source = await sdk.conversations.get_message_source(created[0].conversation_id, created[-1].message_id)
    assert source.content_type == "audio/wav"


async def test_the_errors_arrive_as_the_sdks_own(caller: Caller) -> None:
    async with AsyncAmigoClient(**credentials(caller)) as sdk:
        created = [event.root async for event in await sdk.conversations.create(create_body(), CREATE)]
        with pytest.raises(BadRequestError):
            [event async for event in await sdk.conversations.create(create_body(), CREATE)]
        with pytest.raises(NotFoundError):
            await sdk.conversations.finish("a" * 24)
        await sdk.conversations.finish(created[0].conversation_id)
        with pytest.raises(ConflictError):
            await sdk.conversations.finish(created[0].conversation_id)


async def test_the_sdk_gets_a_new_token_when_its_own_is_refused(start: Start) -> None:
    caller = await start()
    async with AsyncAmigoClient(**credentials(caller)) as sdk:
        await sdk.services.get_services()
        await caller.ask("POST", "/_sandbox/tokens/revoke", {})
        await sdk.services.get_services()
    signed_in = await Caller(caller.session, caller.base_url).sign_in()
    journal = (await signed_in.get("/_sandbox/journal", user_id="sdk-user"))["entries"]
    assert [entry["status"] for entry in journal] == [200, 200, 401, 200, 200]


async def test_every_event_and_every_action_parses_in_its_models(caller: Caller) -> None:
    """What the SDK refuses (unknown types, a skip) it cannot judge; of the rest nothing is left out."""
    message = "hello [[reply:all-actions]]"
    async with AsyncAmigoClient(**credentials(caller)) as sdk:
        created = [event.root async for event in await sdk.conversations.create(create_body(message), CREATE)]
        stream = await sdk.conversations.interact(created[0].conversation_id, INTERACT, text_message=message)
        asked = [event.root async for event in stream]
    for events in (created, asked):
        actions = [event.action.model_dump()["type"] for event in events if hasattr(event, "action")]
        assert len(set(actions)) == 24
    kinds = {type(event).__name__ for event in (*created, *asked)}
    assert kinds == {
        *("ConversationCreatedEvent", "UserMessageAvailableEvent", "CurrentAgentActionEvent"),
        *("NewMessageEvent", "InteractionCompleteEvent"),
    }


async def test_the_async_client_speaks_and_pages(caller: Caller) -> None:
    spoken = model.InteractWithConversationParametersQuery(
        request_format="voice", response_format="voice", request_audio_config={"type": "mp3"}
    )
    async with AsyncAmigoClient(**credentials(caller)) as sdk:
        created = [event.root async for event in await sdk.conversations.create(create_body(), CREATE)]
        conversation_id = created[0].conversation_id
        stream = await sdk.conversations.interact(
            conversation_id, spoken, audio_bytes=b"ID3" + bytes(100), audio_content_type="audio/mpeg"
        )
        assert type([event.root async for event in stream][-1]).__name__ == "InteractionCompleteEvent"
        found: list[str] = []
        token: int | None = 0
        while token is not None:
            query = model.GetConversationMessagesParametersQuery(
                limit=1, continuation_token=token, sort_by=["+created_at"]
            )
            page = await sdk.conversations.messages(conversation_id, query)
            found += [message.message_type.value for message in page.messages]
            token = page.continuation_token
        only = await sdk.conversations.list(model.GetConversationsParametersQuery(id=[conversation_id]))
    assert found == ["agent-message", "user-message", "agent-message"]
    assert [row.id for row in only.conversations] == [conversation_id]


async def test_the_async_client_keeps_users(caller: Caller) -> None:
    changes = model.UserUpdateUserInfoRequest(
        first_name="Grace", preferred_language={}, timezone="Europe/Berlin", additional_context=["prefers tea"]
    )
    async with AsyncAmigoClient(**credentials(caller)) as sdk:
        user_id = (await sdk.users.create(new_user(3))).user_id
        await sdk.users.update(user_id, changes)
        (row,) = (await sdk.users.list(model.GetUsersParametersQuery(user_id=[user_id]))).users
        known = await sdk.users.get_model(user_id)
        await sdk.users.delete(user_id)
        with pytest.raises(NotFoundError):
            await sdk.users.get_model(user_id)
        with pytest.raises(NotFoundError):
            await sdk.users.delete("non-existent-id")
    assert (row.first_name, row.last_name, row.preferences.timezone) == ("Grace", "L", "Europe/Berlin")
    assert (known.user_models, known.additional_context) == ([], ["prefers tea"])


async def test_the_agent_remembers_a_user_whose_conversation_was_processed(start: Start) -> None:
    caller = await start(post_processing_s=0)
    async with AsyncAmigoClient(**credentials(caller)) as sdk:
        created = [event.root async for event in await sdk.conversations.create(create_body("Invoice 7"), CREATE)]
        await sdk.conversations.finish(created[0].conversation_id)

        async def analyzed() -> bool:
            rows = await sdk.conversations.list(model.GetConversationsParametersQuery())
            return bool(rows.conversations[0].is_analyzed)

        await until(analyzed)
        assert "Invoice 7" in (await sdk.users.get_model("sdk-user")).user_models[0].content


@pytest.mark.parametrize("wrong", [{"api_key": "invalid_key"}, {"organization_id": "invalid-org-id-123"}])
async def test_wrong_credentials_are_an_authentication_error(caller: Caller, wrong: dict[str, str]) -> None:
    async with AsyncAmigoClient(**{**credentials(caller), **wrong}) as sdk:
        with pytest.raises(AuthenticationError):
            await sdk.services.get_services()


def hold(sdk: AmigoClient) -> Iterator[Any]:
    """The whole conversation again, blocking."""
    created = [event.root for event in sdk.conversations.create(create_body("Invoice 7"), CREATE)]
    ids = (created[0].conversation_id, created[-1].interaction_id)
    yield sdk.conversations.get_interaction_insights(*ids).current_state_name
    yield sdk.conversations.recommend_responses_for_interaction(*ids).recommended_responses
    yield list(
        sdk.conversations.interact(
            ids[0],
            INTERACT,
            initial_message_type="external-event",
            text_message="a reminder was sent",
            external_event_message_content=["the bill was paid"],
            external_event_message_timestamp=[in_a_moment()],
        )
    )
    yield sdk.conversations.messages(ids[0], model.GetConversationMessagesParametersQuery(limit=2)).has_more
    sdk.conversations.finish(ids[0])
    yield sdk.conversations.list(model.GetConversationsParametersQuery(is_finished=True)).conversations
    yield sdk.conversations.generate_conversation_starters(STARTER).prompts
    yield sdk.services.get_services(model.GetServicesParametersQuery(is_active=True)).services
    yield sdk.organizations.get().org_name
    yield sdk.users.create(new_user(2)).user_id
    yield sdk.users.list().users
    with pytest.raises(NotFoundError):
        sdk.users.get_model("non-existent-id")
    spoken = [event.root for event in sdk.conversations.create(create_body(), VOICE)]
    yield sdk.conversations.get_message_source(spoken[0].conversation_id, spoken[-1].message_id).url


async def test_the_blocking_client_does_all_of_it(caller: Caller) -> None:
    def use() -> list[Any]:
        with AmigoClient(**credentials(caller)) as sdk:
            return list(hold(sdk))

    assert all(await asyncio.to_thread(use))
