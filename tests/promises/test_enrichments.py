"""The API's objects beside an answer: the fake of the flow's tests, and our client against the sandbox."""

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import orjson
import pytest

from bridge.core.errors import Refused
from bridge.core.event.event_fields import EventKind
from bridge.edges.amigo.agent import AmigoAgent
from bridge.edges.amigo.authorized import ONE_ATTEMPT, SignedClient
from bridge.edges.amigo.client import HttpClient
from bridge.edges.amigo.enrichments import AmigoEnrichments
from bridge.flow.ports.api import Agent, EnrichmentSource
from tests.support.amigo import credentials, routed
from tests.support.fakes import FakeAgent, FakeEnrichments
from tests.support.observed_sandbox import observed_sandbox

USER = "user-1"
NOBODY = "f" * 24


class Api(NamedTuple):
    """The agent and what is to be had beside its answers."""

    agent: Agent
    source: EnrichmentSource


@pytest.fixture(params=["fake", "real"])
async def api(request: pytest.FixtureRequest) -> AsyncIterator[Api]:
    if request.param == "fake":
        agent = FakeAgent()
        yield Api(agent, FakeEnrichments(agent))
        return
    async with observed_sandbox(pace=0.05) as sandbox:
        who = credentials(sandbox.base_url)
        async with HttpClient(who, 5.0) as client:
            signed = SignedClient(client, who, ONE_ATTEMPT, lambda: 0.0)
            yield Api(AmigoAgent(signed), AmigoEnrichments(signed))


async def lines(request: Any) -> list[dict[str, Any]]:
    """All lines of a stream, read to its end."""
    async with request as stream:
        body = b"".join([piece async for piece in stream])
    return [orjson.loads(line) for line in body.splitlines()]


async def answered(api: Api, **event: Any) -> tuple[str, str]:
    """The conversation that an event starts, and the interaction that answers it."""
    first, *_, last = await lines(api.agent.create(routed(**event)))
    return first["conversation_id"], last["interaction_id"]


async def test_insights_are_an_object_with_the_state(api: Api) -> None:
    assert "current_state_name" in await api.source.insights(USER, *await answered(api))


@pytest.mark.parametrize("context", [None, "", "The user is Ada."])
async def test_responses_are_recommended_with_and_without_a_context(api: Api, context: str | None) -> None:
    result = await api.source.recommended_responses(USER, *await answered(api), context)
    assert isinstance(result["recommended_responses"], list)


async def test_responses_are_recommended_for_the_latest_interaction_alone(api: Api) -> None:
    conversation_id, interaction_id = await answered(api)
    more = routed(id="event-2", message="more", kind=EventKind.USER_MESSAGE)
    await lines(api.agent.interact(more, conversation_id))
    with pytest.raises(Refused) as refused:
        await api.source.recommended_responses(USER, conversation_id, interaction_id, None)
    assert refused.value.status == 400


async def test_responses_are_not_recommended_once_the_conversation_is_finished(api: Api) -> None:
    conversation_id, interaction_id = await answered(api)
    await api.agent.finish(USER, conversation_id)
    with pytest.raises(Refused) as refused:
        await api.source.recommended_responses(USER, conversation_id, interaction_id, None)
    assert refused.value.status == 400


async def test_messages_are_those_of_the_interaction_oldest_first(api: Api) -> None:
    conversation_id, first = await answered(api, message="first")
    more = routed(id="event-2", message="second", kind=EventKind.USER_MESSAGE)
    second = (await lines(api.agent.interact(more, conversation_id)))[-1]["interaction_id"]
    for interaction_id, text in ((first, "first"), (second, "second")):
        rows = await api.source.interaction_messages(USER, conversation_id, interaction_id)
        assert [row["interaction_id"] for row in rows] == [interaction_id] * 2
        assert rows[0]["message"] == text
        assert all(row["format"] == "text" for row in rows)


async def test_a_text_message_has_no_source(api: Api) -> None:
    conversation_id, interaction_id = await answered(api)
    rows = await api.source.interaction_messages(USER, conversation_id, interaction_id)
    with pytest.raises(Refused) as refused:
        await api.source.message_source(USER, conversation_id, str(rows[-1]["id"]))
    assert refused.value.status == 400


async def test_a_voice_message_has_one(api: Api) -> None:
    conversation_id, interaction_id = await answered(api, response_format="voice")
    row = (await api.source.interaction_messages(USER, conversation_id, interaction_id))[-1]
    if isinstance(api.source, FakeEnrichments):
        api.source.voice.add(str(row["id"]))
        (*_, row) = await api.source.interaction_messages(USER, conversation_id, interaction_id)
    assert row["format"] == "voice"
    assert str((await api.source.message_source(USER, conversation_id, str(row["id"])))["url"]).startswith("http")


@pytest.mark.parametrize("of", ["conversation", "interaction"])
async def test_of_what_is_not_there_nothing_is_to_be_had(api: Api, of: str) -> None:
    conversation_id, interaction_id = await answered(api)
    where = (NOBODY, interaction_id) if of == "conversation" else (conversation_id, NOBODY)
    with pytest.raises(Refused) as refused:
        await api.source.insights(USER, *where)
    assert refused.value.status == 404
