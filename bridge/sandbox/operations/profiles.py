"""Changing, deleting and describing a user: not in the contract, but the official SDK's integration tests do it.

Paths, statuses and texts are those of the API's own specification, as the SDK 2.5.0 carries it.
"""

from typing import Any

from aiohttp import web

from bridge.sandbox.http.body import read_body
from bridge.sandbox.http.call import Call
from bridge.sandbox.http.query import Query
from bridge.sandbox.http.refusal import NO_USER, Refusal, json_response
from bridge.sandbox.operations.requests import Unchanged, UserChanges
from bridge.sandbox.operations.rows_of_path import delete
from bridge.sandbox.script import reply
from bridge.sandbox.state.rows import User

_KEPT_BY_NULL = (
    *("enable_response_recommendation", "conversations_visible_to_admins", "user_model_visible_to_admins"),
    "audio_keyterms",
)
_TAKEN_AWAY_BY_NULL = ("preferred_language", "timezone")


async def update_user(call: Call) -> web.StreamResponse:
    """POST /user/{id} - 204; what is not named stays as it is."""
    query = Query(call.request)
    body = read_body(UserChanges, call.body, query.problems)
    user = _found(call)
    call.require("User:UpdateUserInfo")
    user.first_name, user.last_name = body.first_name or user.first_name, body.last_name or user.last_name
    user.preferences = {**user.preferences, **_preferences(body)}
    user.additional_context = user.additional_context if body.additional_context is None else body.additional_context
    call.state.store.save_user(user)
    return web.Response(status=204)


async def delete_user(call: Call) -> web.StreamResponse:
    """DELETE /user/{id} - 204."""
    return delete(call, _found, "User:DeleteUser", call.state.store.drop_user)


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


def _preferences(body: UserChanges) -> dict[str, Any]:
    """The changes of the user's preferences."""
    given: dict[str, Any] = {name: getattr(body, name) for name in (*_KEPT_BY_NULL, *_TAKEN_AWAY_BY_NULL)}
    return {
        name: value
        for name, value in given.items()
        if not isinstance(value, Unchanged) and (value is not None or name in _TAKEN_AWAY_BY_NULL)
    }


def _found(call: Call) -> User:
    """A user who has been seen: nobody is invented in order to be changed."""
    user = call.state.store.users.get((call.org_id, call.request.match_info["requested_user"]))
    if user is None:
        raise Refusal(404, NO_USER)
    return user
