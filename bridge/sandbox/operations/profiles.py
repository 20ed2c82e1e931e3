"""Changing, deleting and describing a user: not in the contract, but the official SDK's integration tests do it.

Paths, statuses and texts are those of the API's own specification, as the SDK 2.5.0 carries it.
"""

from typing import Any

from aiohttp import web

from bridge.sandbox.http.body import Body
from bridge.sandbox.http.call import Call
from bridge.sandbox.http.query import Query
from bridge.sandbox.http.refusal import NO_USER, Refusal, json_response
from bridge.sandbox.script import reply
from bridge.sandbox.state.rows import User

_SWITCHES = ("enable_response_recommendation", "conversations_visible_to_admins", "user_model_visible_to_admins")
_ERASABLE = ("preferred_language", "timezone")


async def update_user(call: Call) -> web.StreamResponse:
    """POST /user/{id} - 204; what is not named stays as it is."""
    query = Query(call.request)
    body = Body(call.body, query.problems)
    first_name, last_name = body.text("first_name"), body.text("last_name")
    preferences = _preferences(body)
    context = body.texts("additional_context") if body.get("additional_context") is not None else None
    query.settle()
    user = _found(call)
    call.require("User:UpdateUserInfo")
    user.first_name, user.last_name = first_name or user.first_name, last_name or user.last_name
    user.preferences = {**user.preferences, **preferences}
    user.additional_context = user.additional_context if context is None else context
    call.state.store.save_user(user)
    return web.Response(status=204)


async def delete_user(call: Call) -> web.StreamResponse:
    """DELETE /user/{id} - 204."""
    Query(call.request).settle()
    user = _found(call)
    call.require("User:DeleteUser")
    call.state.store.drop_user(user)
    return web.Response(status=204)


async def user_model(call: Call) -> web.StreamResponse:
    """GET /user/{id}/user_model - what the finished conversations taught the agent about the user."""
    Query(call.request).settle()
    user = _found(call)
    call.require("User:GetUserModel")
    topics = [
        reply.topic(row.interactions[-1].inbound)
        for row in call.state.store.of_users(call.org_id, [user.user_id])
        if "generate-user-models" in row.post_processed and row.interactions
    ]
    models = [{"content": f"Has heard about {topic}.", "insight_ids": [], "dimensions": []} for topic in topics[-1:]]
    return json_response({"user_models": models, "additional_context": user.additional_context})


def _preferences(body: Body) -> dict[str, Any]:
    """The changes; an empty object leaves a setting as it is, null takes it away."""
    changed: dict[str, Any] = {name: body.flag(name) for name in _SWITCHES if body.get(name) is not None}
    changed |= {name: body.text(name) for name in _ERASABLE if body.get(name, {}) != {}}
    if body.get("audio_keyterms") is not None:
        changed["audio_keyterms"] = body.texts("audio_keyterms")
    return changed


def _found(call: Call) -> User:
    """A user who has been seen: nobody is invented in order to be changed."""
    user = call.state.store.users.get((call.org_id, call.request.match_info["requested_user"]))
    if user is None:
        raise Refusal(404, NO_USER)
    return user
