"""The operations of the API around conversations, typed (docs/api-contract.md, 1.2 to 1.10).

Every operation runs as `user_id`. Errors are those of `core.errors`: what may be sent again at once has been.
"""

import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager

from bridge.edges.amigo.authorized import SignedClient
from bridge.edges.amigo.calls import (
    ConversationFilter,
    MessageFilter,
    Slice,
    conversations_call,
    finish_call,
    insights_call,
    messages_call,
    recommend_call,
    source_call,
    tags_call,
)
from bridge.edges.amigo.client import JSON, Call, Chunks
from bridge.edges.amigo.multipart import Earlier, Recording, interact_body
from bridge.edges.amigo.outgoing import json_body, part
from bridge.edges.amigo.query import tag_filter
from bridge.edges.amigo.results import (
    ConversationResult,
    Insights,
    MessageResult,
    MessageSource,
    RecommendedResponses,
)

NDJSON = {"Accept": "application/x-ndjson"}
CONVERSATIONS_A_PAGE = 100
MESSAGES_A_PAGE = 500
Stream = AbstractAsyncContextManager[Chunks]
"""Entering sends the request; inside, chunks of NDJSON until the server's clean end."""


class ConversationsApi:
    """Conversations and what was said in them."""

    def __init__(self, client: SignedClient) -> None:
        self._client = client

    def create(
        self,
        user_id: str,
        service_id: str,
        *,
        message: str | None = None,
        kind: str | None = None,
        version_set: str = "release",
        tags: Mapping[str, str | None] | None = None,
        is_test: bool = False,
        response_format: str = "text",
        agent_actions: str = "^$",
    ) -> Stream:
        """Start a conversation: the agent speaks first, or `message` of the `kind` user-message or external-event.

        `agent_actions` is a regular expression over the types of `current-agent-action`; they show inner reasoning.
        """
        body: dict[str, object] = {
            "service_id": service_id,
            "service_version_set_name": version_set,
            "tags": dict(tags or {}),
        }
        if message is not None:
            body |= {"initial_message": message, "initial_message_type": kind}
        if is_test:  # not every build of the API knows it (docs/api-contract.md, 7.28)
            body["is_test"] = True
        params = _formats(response_format, agent_actions)
        headers = {**JSON, **NDJSON}
        return self._client.stream(
            Call(
                "create-conversation",
                "POST",
                "/conversation/",
                user_id,
                params,
                headers,
                json_body("create-conversation", body),
                stream=True,
            )
        )

    def interact(
        self,
        user_id: str,
        conversation_id: str,
        *,
        message: str | Recording = "",
        kind: str = "user-message",
        earlier: Sequence[Earlier] = (),
        response_format: str = "text",
        agent_actions: str = "^$",
    ) -> Stream:
        """Say something in a conversation. With the `kind` skip and no message the agent is asked to go on."""
        body, content_type = interact_body(kind, message, secrets.token_hex(16), earlier)
        params = {"request_format": "text", **_formats(response_format, agent_actions)}
        if isinstance(message, Recording):
            params |= {"request_format": "voice", "request_audio_config": message.config}
        headers = {"Content-Type": content_type, **NDJSON}
        path = f"/conversation/{part(conversation_id)}/interact"
        return self._client.stream(Call("interact", "POST", path, user_id, params, headers, body, stream=True))

    async def finish(self, user_id: str, conversation_id: str) -> None:
        """Finish a conversation. Refused with 409 while something runs in it or when it is finished already."""
        await self._client.send(finish_call(user_id, conversation_id))

    async def list(
        self,
        user_id: str,
        *,
        ids: Sequence[str] = (),
        user_ids: Sequence[str] = (),
        service_ids: Sequence[str] = (),
        is_finished: bool | None = None,
        tags: Mapping[str, str | None] | None = None,
        sort_by: Sequence[str] = ("-created_at",),
        page_size: int = CONVERSATIONS_A_PAGE,
    ) -> AsyncIterator[ConversationResult]:
        """All conversations that fit and that the user may see. A tag's value may be `*` (any) or None (null)."""
        fits = ConversationFilter(user_ids, service_ids, ids, is_finished, tag_filter(tags))
        call = conversations_call(user_id, fits, Slice(sort_by=sort_by))
        async for row in self._client.rows(call, "conversations", page_size):
            yield ConversationResult.read(call.operation, row)

    async def messages(
        self,
        user_id: str,
        conversation_id: str,
        *,
        ids: Sequence[str] = (),
        interaction_ids: Sequence[str] = (),
        message_types: Sequence[str] = (),
        sort_by: Sequence[str] = ("+created_at",),
        page_size: int = MESSAGES_A_PAGE,
    ) -> AsyncIterator[MessageResult]:
        """All messages that fit and that the user may see; without `message_types` all but the inner thoughts."""
        fits = MessageFilter(ids, message_types, interaction_ids)
        call = messages_call(user_id, conversation_id, fits, Slice(sort_by=sort_by))
        async for row in self._client.rows(call, "messages", page_size):
            yield MessageResult.read(call.operation, row)

    async def message_source(
        self, user_id: str, conversation_id: str, message_id: str, *, long_lived: bool = False
    ) -> MessageSource:
        """The address of a voice message's audio; `long_lived` for twelve hours."""
        call = source_call(user_id, conversation_id, message_id, long_lived=long_lived)
        return MessageSource.read(call.operation, await self._client.send(call))

    async def modify_tags(
        self, user_id: str, conversation_id: str, updates: Mapping[str, str | None], deletes: Sequence[str] = ()
    ) -> None:
        """Write and delete tags of a conversation; others stay."""
        await self._client.send(tags_call(user_id, conversation_id, updates, deletes))

    async def recommended_responses(
        self, user_id: str, conversation_id: str, interaction_id: str, context: str | None = None
    ) -> tuple[str, ...]:
        """Answers that the user might give to the latest interaction."""
        call = recommend_call(user_id, conversation_id, interaction_id, context)
        return RecommendedResponses.read(call.operation, await self._client.send(call)).recommended_responses

    async def insights(self, user_id: str, conversation_id: str, interaction_id: str) -> Insights:
        """The agent's reasoning in an interaction."""
        call = insights_call(user_id, conversation_id, interaction_id)
        return Insights.read(call.operation, await self._client.send(call))


def _formats(response_format: str, agent_actions: str) -> dict[str, str]:
    return {"response_format": response_format, "current_agent_action_type": agent_actions}
