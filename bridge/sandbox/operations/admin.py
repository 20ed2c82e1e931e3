"""The sandbox's own endpoints under ``/_sandbox``: what tests read and pull. They need no token."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
from aiohttp import web

from bridge.sandbox.http.refusal import json_response
from bridge.sandbox.operations.messages import audio_of
from bridge.sandbox.script.fault import UnknownFault, parse_fault
from bridge.sandbox.script.fault_rules import Rule
from bridge.sandbox.state.rows import Interaction
from bridge.sandbox.state.state import WORLD, State
from bridge.sandbox.webhooks.webhook_sender import PROCESSED

_Handler = Callable[[State, web.Request], Awaitable[web.Response]]


def routes() -> list[web.RouteDef]:
    """All of them, with what they take."""
    return [
        web.get("/_sandbox/journal", _handler(_journal)),
        web.get("/_sandbox/interactions", _handler(_interactions)),
        web.get("/_sandbox/faults", _handler(_list_faults)),
        web.post("/_sandbox/faults", _handler(_add_faults)),
        web.delete("/_sandbox/faults", _handler(_clear_faults)),
        web.post("/_sandbox/reset", _handler(_reset)),
        web.post("/_sandbox/clock", _handler(_advance)),
        web.post("/_sandbox/users", _handler(_change_user)),
        web.post("/_sandbox/services", _handler(_change_service)),
        web.post("/_sandbox/tokens/revoke", _handler(_revoke)),
        web.post("/_sandbox/webhooks", _handler(_send_webhook)),
        web.post("/_sandbox/door", _handler(_shut_door)),
        web.get("/_sandbox/audio/{organization}/{message_id}", _handler(_audio)),
    ]


def _handler(work: _Handler) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        try:
            return await work(request.app[WORLD], request)
        except (UnknownFault, KeyError, TypeError, ValueError) as error:
            return json_response({"detail": str(error)}, 400)

    return handle


async def _body(request: web.Request) -> dict[str, Any]:
    raw = await request.read()
    content = orjson.loads(raw) if raw else {}
    if not isinstance(content, dict):
        raise UnknownFault("a JSON object is wanted")
    return content


async def _journal(state: State, request: web.Request) -> web.Response:
    """``?operation=&user_id=&after=NUMBER``."""
    query = request.query
    entries = state.journal.entries(query.get("operation"), query.get("user_id"), int(query.get("after", "0")))
    return json_response({"entries": entries})


async def _interactions(state: State, request: web.Request) -> web.Response:
    """Every committed interaction in the order of the commits, with its conversation's tags now."""
    rows = [_interaction(state, row) for row in state.store.interactions]
    return json_response({"interactions": rows, "count": len(rows)})


def _interaction(state: State, row: Interaction) -> dict[str, Any]:
    conversation = state.store.conversations[row.conversation_id]
    return {
        "interaction_id": row.id,
        "conversation_id": row.conversation_id,
        "org_id": conversation.org_id,
        "user_id": conversation.user_id,
        "service_id": conversation.service_id,
        "version_set": conversation.version_set,
        "tags": conversation.tags,
        "is_test": conversation.is_test,
        "type": row.inbound_type,
        "message": row.inbound,
        "external_events": row.external_events,
        "user_message_id": row.user_message_id,
        "agent_message_id": row.agent_message_id,
        "full_message": row.full_message,
        "conversation_completed": row.completed,
        "committed_ms": row.committed_ms,
    }


async def _list_faults(state: State, request: web.Request) -> web.Response:
    return json_response({"faults": state.faults.rules()})


async def _add_faults(state: State, request: web.Request) -> web.Response:
    """``{kind, match: {operation, user, service, text, tag, header}, count, probability, ...settings}``."""
    rule: Rule = state.faults.add(await _body(request))
    return json_response({"number": rule.number}, 201)


async def _clear_faults(state: State, request: web.Request) -> web.Response:
    state.faults.clear()
    return web.Response(status=204)


async def _reset(state: State, request: web.Request) -> web.Response:
    state.reset()
    return web.Response(status=204)


async def _advance(state: State, request: web.Request) -> web.Response:
    """``{advance_s}``: moves the sandbox's time."""
    state.clock.advance(float((await _body(request)).get("advance_s", 0)))
    return json_response({"now_ms": state.clock.now_ms()})


async def _change_user(state: State, request: web.Request) -> web.Response:
    """``{organization, user_id, denied: [permission], own_only, verified}``: what a user may."""
    body = await _body(request)
    user = state.directory.user(body["organization"], body["user_id"])
    if user is None:
        return json_response({"detail": "no such user"}, 404)
    _change(user, body, denied=list, own_only=bool, verified=bool)
    state.store.save_user(user)
    return web.Response(status=204)


async def _change_service(state: State, request: web.Request) -> web.Response:
    """``{organization, service_id, is_active, tags, name}``."""
    body = await _body(request)
    service = state.directory.service(body["organization"], body["service_id"])
    if service is None:
        return json_response({"detail": "no such service"}, 404)
    _change(service, body, is_active=bool, tags=dict, name=str)
    return web.Response(status=204)


def _change(row: object, body: Mapping[str, object], **types: Callable[[Any], object]) -> None:
    """Set the fields of a row that the body names; all are of their types, or none is set."""
    changes = {name: type_(body[name]) for name, type_ in types.items() if name in body}
    for name, value in changes.items():
        setattr(row, name, value)


async def _revoke(state: State, request: web.Request) -> web.Response:
    """``{user_id}``, or nothing for everybody's tokens."""
    state.tokens.revoke((await _body(request)).get("user_id"))
    return web.Response(status=204)


async def _send_webhook(state: State, request: web.Request) -> web.Response:
    """``{organization, type, content, fault}``: sends it to every destination that accepts the type."""
    body = await _body(request)
    kind = str(body.get("type", PROCESSED))
    fault = parse_fault(body["fault"])[0] if body.get("fault") else None
    content = {"type": kind, "org_id": body["organization"], **body.get("content", {})}
    deliveries = state.webhook_sender.emit(body["organization"], kind, content, fault)
    return json_response({"deliveries": [delivery.id for delivery in deliveries]}, 202)


async def _shut_door(state: State, request: web.Request) -> web.Response:
    """``{closed_s}``: refuses connections for so long."""
    if state.door is None:
        return json_response({"detail": "this sandbox has no door of its own"}, 409)
    state.door.shut(float((await _body(request)).get("closed_s", 1)))
    return web.Response(status=204)


async def _audio(state: State, request: web.Request) -> web.Response:
    """The audio that message sources point to."""
    wanted = request.match_info["message_id"]
    rows = (row for c in state.store.of_users(request.match_info["organization"], []) for row in c.messages)
    message = next((row for row in rows if row.id == wanted and row.format == "voice"), None)
    if message is None:
        return json_response({"detail": "no such audio"}, 404)
    return web.Response(body=audio_of(message.message), content_type="audio/wav")
