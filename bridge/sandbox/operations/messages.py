"""Operations on messages: the history and the audio behind it (docs/api-contract.md, 1.6 and 1.7)."""

from operator import attrgetter

from aiohttp import web

from bridge.sandbox.http.call import Call
from bridge.sandbox.http.query import Query, page
from bridge.sandbox.http.refusal import NO_MESSAGE, TEXT_HAS_NO_SOURCE, Refusal, json_response
from bridge.sandbox.operations.rows_of_path import named
from bridge.sandbox.script.actions import wav
from bridge.sandbox.state.clock import iso
from bridge.sandbox.state.rows import Message

_TYPES = ("user-message", "agent-message", "agent-inner-thought", "external-event")
_SHOWN_TYPES = ("agent-message", "external-event", "user-message")
_MAX_PAGE = 500
_SHORT_LIVED_S, _LONG_LIVED_S = 3600, 12 * 3600
_PCM_PER_CHARACTER = 640


async def list_messages(call: Call) -> web.StreamResponse:
    """GET /conversation/{id}/messages/ - what was committed, and nothing else."""
    query = Query(call.request)
    ids, interaction_ids = query.distinct_ids("id"), query.distinct_ids("interaction_id")
    kinds = query.choices("message_type", _TYPES, _SHOWN_TYPES)
    limit = query.number("limit", _MAX_PAGE, 1, _MAX_PAGE)
    start = query.number("continuation_token", 0)
    order = query.sort(["interaction_id", "created_at"])
    query.settle()
    rows = [
        row
        for row in call.conversation().messages
        if (not ids or row.id in ids)
        and (not interaction_ids or row.interaction_id in interaction_ids)
        and row.message_type in kinds
        and call.may("Conversation:GetMessage")
    ]
    for name, descending in reversed(order):
        rows.sort(key=attrgetter("interaction_id" if name == "interaction_id" else "created_ms"), reverse=descending)
    shown, more, token = page(rows, start, limit)
    content = [_message(row) for row in shown]
    return json_response({"messages": content, "has_more": more, "continuation_token": token})


async def message_source(call: Call) -> web.StreamResponse:
    """GET .../messages/{id}/source - where the audio of a voice message is, for an hour or for twelve."""
    query = Query(call.request)
    lifetime_s = _LONG_LIVED_S if query.flag("long_lived") else _SHORT_LIVED_S
    query.settle()
    row = _find(call)
    call.require("Conversation:GetMessage")
    if row.format == "text":
        raise Refusal(400, TEXT_HAS_NO_SOURCE)
    expires_ms = call.state.clock.now_ms() + lifetime_s * 1000
    address = call.request.url.origin() / "_sandbox" / "audio" / call.org_id / row.id
    return json_response({"url": str(address), "expires_at": iso(expires_ms), "content_type": "audio/wav"})


def audio_of(text: str) -> bytes:
    """The audio behind a voice message: silence as long as its words."""
    return wav(b"\0" * (_PCM_PER_CHARACTER * len(text)))


def _find(call: Call) -> Message:
    return named(call, "message_id", call.conversation(NO_MESSAGE).messages, NO_MESSAGE)


def _message(row: Message) -> dict[str, object]:
    return {
        "id": row.id,
        "interaction_id": row.interaction_id,
        "created_at": iso(row.created_ms),
        "sender": row.sender,
        "message": row.message,
        "format": row.format,
        "message_type": row.message_type,
    }
