"""The fake API keeps the contract: the official SDK is its judge where it can be, raw requests where it cannot."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from amigo_sdk import AsyncAmigoClient
from amigo_sdk.errors import AuthenticationError
from amigo_sdk.models import (
    ConversationCreateConversationRequest,
    CreateConversationParametersQuery,
    GetConversationMessagesParametersQuery,
    GetConversationsParametersQuery,
    InteractWithConversationParametersQuery,
)

from deploy.local.node import free_port
from tests.support.events import SERVICE
from tests.support.fake_api import (
    Answer,
    Commit,
    Cut,
    Error,
    FakeApi,
    Gate,
    Husk,
    Piece,
    Raw,
    Refusal,
    Reset,
    Stream,
    answer,
)
from tests.support.waiting import until
from tests.support.world import API_KEY, API_KEY_ID

CREATE = CreateConversationParametersQuery(response_format="text")
INTERACT = InteractWithConversationParametersQuery(request_format="text", response_format="text")


@pytest.fixture
async def fake() -> AsyncIterator[FakeApi]:
    api = FakeApi(API_KEY, API_KEY_ID, free_port())
    await api.start()
    yield api
    await api.stop()


@pytest.fixture
async def client(fake: FakeApi) -> AsyncIterator[AsyncAmigoClient]:
    settings = {"api_key": API_KEY, "api_key_id": API_KEY_ID, "organization_id": "acme", "base_url": fake.url}
    async with AsyncAmigoClient(user_id="ann", **settings) as made:
        yield made


@pytest.fixture
async def session(fake: FakeApi) -> AsyncIterator[aiohttp.ClientSession]:
    """A session that is signed in as ann."""
    headers = {"x-api-key": API_KEY, "x-api-key-id": API_KEY_ID, "x-user-id": "ann"}
    async with aiohttp.ClientSession(f"{fake.url}/v1/acme/") as made:
        async with made.post("user/signin_with_api_key", headers=headers) as response:
            made.headers["Authorization"] = f"Bearer {(await response.json())['id_token']}"
        yield made


async def start(client: AsyncAmigoClient, text: str) -> list[Any]:
    request = ConversationCreateConversationRequest(
        service_id=SERVICE, initial_message=text, initial_message_type="external-event"
    )
    return [one.root async for one in await client.conversations.create_conversation(request, CREATE)]


def create(session: aiohttp.ClientSession, text: str, **more: object) -> "aiohttp.client._RequestContextManager":
    body = {"service_id": SERVICE, "initial_message": text, "initial_message_type": "external-event", **more}
    return session.post("conversation/?response_format=text", json=body)


async def lines(session: aiohttp.ClientSession, text: str) -> list[bytes]:
    async with create(session, text) as response:
        return [line for line in (await response.read()).split(b"\n") if line]


async def test_the_official_sdk_talks_to_it(fake: FakeApi, client: AsyncAmigoClient) -> None:
    fake.script("hello", answer("Hi ", "Ann", done=False))
    begun = await start(client, "hello")
    assert [one.type for one in begun] == [
        "conversation-created",
        "new-message",
        "new-message",
        "interaction-complete",
    ]
    conversation_id = begun[0].conversation_id
    heard = [
        one.root
        async for one in await client.conversations.interact_with_conversation(
            conversation_id, INTERACT, initial_message_type="external-event", text_message="and now"
        )
    ]
    assert (heard[0].type, heard[0].user_message) == ("user-message-available", "and now")
    listed = await client.conversations.get_conversations(GetConversationsParametersQuery(user_id=["ann"]))
    assert [(one.id, one.is_finished, one.num_messages) for one in listed.conversations] == [(conversation_id, True, 4)]
    messages = await client.conversations.get_conversation_messages(
        conversation_id, GetConversationMessagesParametersQuery()
    )
    assert [one.message for one in messages.messages] == ["hello", "Hi Ann", "and now", "Good day to you."]
    assert fake.sign_ins == ["ann"]
    assert fake.violations == []


async def test_bad_credentials_are_refused(fake: FakeApi) -> None:
    settings = {"api_key": "wrong", "api_key_id": API_KEY_ID, "organization_id": "acme", "base_url": fake.url}
    async with AsyncAmigoClient(user_id="ann", **settings) as client:
        with pytest.raises(AuthenticationError):
            await start(client, "hello")


async def test_a_user_has_one_unfinished_conversation_with_a_service(
    fake: FakeApi, session: aiohttp.ClientSession
) -> None:
    fake.script("first", answer("yes", done=False))
    assert len(await lines(session, "first")) == 3
    async with create(session, "second") as response:
        assert response.status == 400
    fake.finish(fake.truth.conversation_of("first").id)
    async with create(session, "third") as response:
        assert response.status == 201


async def test_the_lock_holds_until_the_stream_has_ended(fake: FakeApi, session: aiohttp.ClientSession) -> None:
    gate = Gate()
    fake.script("slow", answer("yes", done=False, before_end=(gate,)))
    async with create(session, "slow") as response:
        created = json.loads(await response.content.readline())
        path = f"conversation/{created['conversation_id']}/finish/"
        async with session.post(path) as refused:
            assert refused.status == 409
        gate.open()
        await response.read()
    async with session.post(path) as finished:
        assert finished.status == 204


async def test_what_breaks_the_contract_is_refused_and_remembered(
    fake: FakeApi, session: aiohttp.ClientSession
) -> None:
    async with create(session, "bad tag", tags={"web-chat": "x"}) as response:
        assert response.status == 422
    async with session.get("conversation/?limit=151") as response:
        assert response.status == 422
    async with session.post("conversation/000000000000000000000000/finish") as response:
        assert response.status == 404
    assert len(fake.violations) == 3


@pytest.mark.parametrize("every", [None, 1, 7, 100_000])
@pytest.mark.parametrize("framed", [True, False])
async def test_a_stream_is_cut_as_the_script_says(
    fake: FakeApi, session: aiohttp.ClientSession, every: int | None, framed: bool
) -> None:
    odd = Raw('{"type": "odd", "text": "a\u2028b"}\n\n'.encode())
    fake.script("cut", answer("é", "✓", before_end=(odd,), cut_every=every, framed=framed, last_newline=False))
    body = await lines(session, "cut")
    assert body == fake.truth.talks_of("cut")[0].sent
    assert len(body) == 5


@pytest.mark.parametrize(
    ("reply", "status", "committed"),
    [
        (Refusal(500), 500, 0),
        (Refusal(502, commit=True), 502, 1),
        (Cut(), None, 0),
        (Cut(commit=True), None, 1),
        (Stream((Piece("a"), Reset())), None, 0),
        (Stream((Piece("a"), Commit(), Reset())), None, 1),
        (Stream((Piece("a"), Error(503))), 201, 0),
        (Stream((Piece("a"),)), 201, 0),
        (Stream((Piece("a"), Commit())), 201, 1),
    ],
)
async def test_the_truth_knows_what_a_failed_call_has_done(
    fake: FakeApi, session: aiohttp.ClientSession, reply: Answer, status: int | None, committed: int
) -> None:
    fake.script("fault", reply)
    try:
        async with create(session, "fault") as response:
            await response.read()
            assert response.status == status
    except aiohttp.ClientError:
        assert status is None
    assert len(fake.truth.committed("fault")) == committed
    assert len(fake.truth.conversations) == committed


@pytest.mark.parametrize("husk", list(Husk))
async def test_the_script_says_what_is_left_when_a_client_goes_away(
    fake: FakeApi, session: aiohttp.ClientSession, husk: Husk
) -> None:
    gate = Gate()
    fake.script("left", answer("some", before_end=(gate,), abandoned=husk))
    async with create(session, "left") as response:
        await response.content.readline()
        response.close()
    talk = fake.truth.talks_of("left")[0]
    await until(lambda: talk.ended, "the API has seen the client go")
    assert len(fake.truth.conversations) == (husk is not Husk.ROLLBACK)
    assert len(fake.truth.committed("left")) == (husk is Husk.COMMIT)
    fake.settle_late()
    assert len(fake.truth.committed("left")) == (husk in (Husk.COMMIT, Husk.LATE))


async def test_overlapping_calls_of_one_user_are_seen(fake: FakeApi, session: aiohttp.ClientSession) -> None:
    gate = Gate()
    fake.script("one", answer("yes", before_end=(gate,)))
    running = asyncio.ensure_future(lines(session, "one"))
    await until(lambda: fake.truth.talks_of("one"), "the first call runs")
    async with create(session, "two") as response:
        assert response.status == 400
    gate.open()
    await running
    assert len(fake.truth.overlaps()) == 1
