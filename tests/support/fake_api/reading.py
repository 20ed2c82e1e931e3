"""Everything beside the streams: list, messages, finish, tags, services."""

import json
from typing import TYPE_CHECKING, Any

from aiohttp import web

from tests.support.fake_api import rules
from tests.support.fake_api.script import Husk
from tests.support.fake_api.truth import Call, Conversation, Message

if TYPE_CHECKING:
    from tests.support.fake_api.api import FakeApi

MISSING = "Specified organization or conversation is not found."
DEFAULT_KINDS = ["user-message", "agent-message", "external-event"]


class ReadAhead:
    def __init__(self, api: "FakeApi") -> None:
        self._api = api
        self._truth = api.truth

    async def conversations(self, request: web.Request, call: Call) -> web.StreamResponse:
        """Ignores `tag`, as a server may (docs/api-contract.md, 7.5)."""
        rules.query(request, rules.LIST_QUERY)
        limit = rules.limit(request, 150)
        rows = [one for one in self._truth.conversations.values() if self._listed(one, request, call)]
        sort_by = request.query.getall("sort_by", [])
        rules.demand(set(sort_by) <= {"created_at", "+created_at", "-created_at"}, f"sort_by {sort_by}")
        rows.sort(key=lambda one: one.created_at, reverse="-created_at" in sort_by)
        rows = [] if "conversations" in self._api.hidden else rows
        call.body = [one.id for one in rows]
        return web.json_response(page(request, "conversations", [self._row(one) for one in rows], limit))

    def _listed(self, one: Conversation, request: web.Request, call: Call) -> bool:
        wanted = request.query.get("is_finished")
        return (
            call.user in (one.user, "bridge-bot")
            and _among(one.user, request, "user_id")
            and _among(one.service, request, "service_id")
            and _among(one.id, request, "id")
            and (wanted is None or one.finished == (wanted.lower() == "true"))
        )

    def _row(self, one: Conversation) -> dict[str, Any]:
        return {
            "id": one.id,
            "user_id": one.user,
            "created_at": one.created_at,
            "is_finished": one.finished,
            "is_analyzed": False,
            "completed_post_processings": [],
            "final_message": one.messages[-1].message if one.messages and "messages" not in self._api.hidden else "",
            "service_id": one.service,
            "version_set_info": None,
            "num_messages": len(one.messages),
            "tags": one.tags,
        }

    async def messages(self, request: web.Request, call: Call) -> web.StreamResponse:
        rules.query(request, rules.MESSAGES_QUERY)
        conversation = self._named(request, call)
        if conversation is None:
            return _missing()
        kinds = request.query.getall("message_type", DEFAULT_KINDS)
        rows = [
            one
            for one in conversation.messages
            if one.message_type in kinds
            and _among(one.id, request, "id")
            and _among(one.interaction_id, request, "interaction_id")
        ]
        rows = [] if "messages" in self._api.hidden else rows
        if "-created_at" in request.query.getall("sort_by", []):
            rows.reverse()
        return web.json_response(page(request, "messages", [_message(one) for one in rows], rules.limit(request, 500)))

    async def finish(self, request: web.Request, call: Call) -> web.StreamResponse:
        conversation = self._named(request, call)
        if conversation is None:
            return _missing()
        if conversation.locked or conversation.finished:
            detail = "The specified conversation is already finished, or a related operation is in process."
            return web.json_response({"detail": detail}, status=409)
        if conversation.husk is Husk.STUCK and not conversation.interactions:
            return web.json_response({"detail": "The conversation has no interactions."}, status=400)
        if conversation.interactions:
            conversation.finished = True
        else:
            del self._truth.conversations[conversation.id]
        return web.Response(status=204)

    async def tags(self, request: web.Request, call: Call) -> web.StreamResponse:
        conversation = self._named(request, call)
        call.body = body = json.loads(await request.read())
        rules.tag_updates(body)
        if conversation is None:
            return _missing()
        tags = {**conversation.tags, **body.get("updates", {})}
        for key in body.get("deletes", []):
            tags.pop(key, None)
        if len(tags) > 20:
            return web.json_response({"detail": "The conversation cannot contain more than 20 tags."}, status=400)
        conversation.tags = tags
        return web.Response(status=204)

    async def services(self, request: web.Request, call: Call) -> web.StreamResponse:
        return web.json_response({"services": [], "has_more": False, "continuation_token": None, "filter_values": None})

    def _named(self, request: web.Request, call: Call) -> Conversation | None:
        call.conversation_id = request.path.split("/")[4]
        found = self._truth.conversations.get(call.conversation_id)
        if found is None or call.user not in (found.user, "bridge-bot"):
            return None
        return found


def page(request: web.Request, name: str, rows: list[Any], limit: int) -> dict[str, Any]:
    start = int(request.query.get("continuation_token", "0"))
    more = start + limit < len(rows)
    return {name: rows[start : start + limit], "has_more": more, "continuation_token": start + limit if more else None}


def _among(value: str, request: web.Request, name: str) -> bool:
    wanted = request.query.getall(name, [])
    return not wanted or value in wanted


def _message(one: Message) -> dict[str, Any]:
    return {
        "id": one.id,
        "interaction_id": one.interaction_id,
        "created_at": one.created_at,
        "sender": "Agent" if one.message_type == "agent-message" else "User",
        "message": one.message,
        "format": "text",
        "message_type": one.message_type,
    }


def _missing() -> web.Response:
    return web.json_response({"detail": MISSING}, status=404)
