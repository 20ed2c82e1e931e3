"""The operations around services, typed (docs/api-contract.md, 1.11 and 1.12)."""

from collections.abc import AsyncIterator, Mapping, Sequence

from bridge.edges.amigo.authorized import SignedClient
from bridge.edges.amigo.calls import Slice, services_call
from bridge.edges.amigo.client import JSON, Call
from bridge.edges.amigo.outgoing import json_body
from bridge.edges.amigo.query import tag_filter
from bridge.edges.amigo.results import ConversationStarters, Prompt, Service

SERVICES_A_PAGE = 20


class ServicesApi:
    """The services that there are to talk to, as `user_id`. Errors are those of `core.errors`."""

    def __init__(self, client: SignedClient) -> None:
        self._client = client

    async def starters(
        self,
        user_id: str,
        service_id: str,
        *,
        facets: Sequence[str],
        instructions: str,
        counts: tuple[int, int] = (1, 10),
        version_set: str = "release",
    ) -> tuple[Prompt, ...]:
        """Between `counts` prompts (1 to 10) about the facets, of which there must be one."""
        body = {
            "service_id": service_id,
            "service_version_set_name": version_set,
            "facets": list(facets),
            "min_count": counts[0],
            "max_count": counts[1],
            "generation_instructions": instructions,
        }
        path = "/conversation/conversation_starter"
        written = json_body("conversation-starters", body)
        call = Call("conversation-starters", "POST", path, user_id, headers=JSON, body=written)
        return ConversationStarters.read(call.operation, await self._client.send(call)).prompts

    async def list(
        self,
        user_id: str,
        *,
        ids: Sequence[str] = (),
        is_active: bool | None = None,
        tags: Mapping[str, str | None] | None = None,
        sort_by: Sequence[str] = ("+name",),
        page_size: int = SERVICES_A_PAGE,
    ) -> AsyncIterator[Service]:
        """All services that fit and that the user may see, with their version sets."""
        rows = Slice(sort_by=sort_by)
        call = services_call(user_id, ids=ids, is_active=is_active, tags=tag_filter(tags), rows=rows)
        async for row in self._client.rows(call, "services", page_size):
            yield Service.read(call.operation, row)
