"""The enrichments of an answer as the API has them, object by object (docs/api-contract.md, 1.6 to 1.10)."""

from collections.abc import Sequence

from bridge.core.errors import Unreadable
from bridge.core.ledger.owed_enrichments import JsonObject
from bridge.edges.amigo.authorized import SignedClient
from bridge.edges.amigo.calls import MessageFilter, Slice, insights_call, messages_call, recommend_call, source_call
from bridge.edges.amigo.client import Call
from bridge.flow.ports.api import MAX_MESSAGES_A_PAGE

OLDEST_FIRST = Slice(sort_by=("+created_at",))


class AmigoEnrichments:
    """See the port: nothing of what the API says is left out, and only what is used is looked at."""

    def __init__(self, client: SignedClient) -> None:
        self._client = client

    async def insights(self, user_id: str, conversation_id: str, interaction_id: str) -> JsonObject:
        """The agent's reasoning, as it came."""
        return await self._object(insights_call(user_id, conversation_id, interaction_id))

    async def recommended_responses(
        self, user_id: str, conversation_id: str, interaction_id: str, context: str | None
    ) -> JsonObject:
        """A blank context is none: the API takes one of at least a character."""
        given = context if context is not None and context.strip() else None
        return await self._object(recommend_call(user_id, conversation_id, interaction_id, given))

    async def interaction_messages(
        self, user_id: str, conversation_id: str, interaction_id: str
    ) -> Sequence[JsonObject]:
        """Every page; rows of other interactions are dropped, whatever the server filtered."""
        call = messages_call(user_id, conversation_id, MessageFilter(interaction_ids=(interaction_id,)), OLDEST_FIRST)
        rows = self._client.rows(call, "messages", MAX_MESSAGES_A_PAGE)
        return [row async for row in rows if row.get("interaction_id") == interaction_id]

    async def message_source(self, user_id: str, conversation_id: str, message_id: str) -> JsonObject:
        """The address that holds for twelve hours: a subscriber may read its queue later than in one."""
        return await self._object(source_call(user_id, conversation_id, message_id, long_lived=True))

    async def _object(self, call: Call) -> JsonObject:
        content = await self._client.send(call)
        if not isinstance(content, dict):
            raise Unreadable(f"{call.operation}: the answer is no object")
        return content
