"""Sign-in and users (docs/api-contract.md, 1.1, 1.13 and 1.14)."""

from collections.abc import Callable
from typing import Any

from aiohttp import web

from bridge.sandbox.http.body import read_body
from bridge.sandbox.http.call import Call
from bridge.sandbox.http.fields import email_address
from bridge.sandbox.http.query import Query, page
from bridge.sandbox.http.refusal import (
    EMAIL_TAKEN,
    NO_ROLE,
    SIGN_IN_FAILED,
    Problems,
    Refusal,
    json_response,
)
from bridge.sandbox.operations.requests import InvitedUser, Preferences
from bridge.sandbox.state.clock import iso
from bridge.sandbox.state.directory import ROLES
from bridge.sandbox.state.rows import User
from bridge.sandbox.state.tokens import Identity

_CREDENTIALS = ("x-api-key", "x-api-key-id", "x-user-id")
_MAX_PAGE = 100
_SORTABLE = ("first_name", "last_name", "email")
_SORTABLE_STATS = ("num_conversations", "num_messages", "last_message_time")
_USUAL_PREFERENCES = Preferences().model_dump()


async def sign_in(call: Call) -> web.StreamResponse:
    """POST /user/signin_with_api_key - a token for one user."""
    headers, state, problems = call.request.headers, call.state, Problems()
    for name in _CREDENTIALS:
        if name not in headers:
            problems.add("missing", ("header", name), "Field required")
    problems.settle()
    user = state.directory.user(call.org_id, headers["x-user-id"])
    fits = state.directory.key_fits(call.org_id, headers["x-api-key-id"], headers["x-api-key"], state.clock.now_ms())
    if user is None or not user.verified or not fits:
        raise Refusal(401, SIGN_IN_FAILED)
    token, expires_ms = state.tokens.issue(Identity(call.org_id, user.user_id))
    return json_response({"id_token": token, "expires_at": iso(expires_ms)})


async def create_user(call: Call) -> web.StreamResponse:
    """POST /user/ - 201; the e-mail address is unique in the organization."""
    query = Query(call.request)
    body = read_body(InvitedUser, call.body, query.problems)
    call.require("User:InviteUser")
    if body.role_name not in ROLES:
        raise Refusal(404, NO_ROLE)
    if any(user.email == body.email for user in _users(call)):
        raise Refusal(409, EMAIL_TAKEN)
    identity = (call.org_id, call.state.ids.new())
    user = User(*identity, body.first_name, body.last_name, body.email, body.role_name)
    user.verified = not call.state.options.unverified_users
    user.nonsensitive, user.sensitive_names = body.nonsensitive_user_variables, list(body.sensitive_user_variables)
    user.preferences = {} if body.user_preferences is None else body.user_preferences.model_dump()
    call.state.store.save_user(user)
    link = f"{call.request.url.origin()}/verify/{user.user_id}" if not user.verified else None
    return json_response({"user_id": user.user_id, "verify_link": link}, 201)


async def list_users(call: Call) -> web.StreamResponse:
    """GET /user/."""
    query = Query(call.request)
    ids = query.distinct("user_id")
    emails = [_email(email, query.problems) for email in query.distinct("email")]
    limit = query.number("limit", _MAX_PAGE, 0, _MAX_PAGE)
    start = query.number("continuation_token", 0)
    order = query.sort([*_SORTABLE, *(f"user_stats.{name}" for name in _SORTABLE_STATS)])
    query.settle()
    for user_id in ids:
        call.state.directory.user(call.org_id, user_id)
    rows = [
        _user(call, user)
        for user in _users(call)
        if (not ids or user.user_id in ids) and (not emails or user.email in emails) and call.may("User:GetUserInfo")
    ]
    for name, descending in reversed(order):
        rows.sort(key=_sort_key(name), reverse=descending)
    shown, more, token = page(rows, start, limit)
    return json_response({"users": shown, "has_more": more, "continuation_token": token})


def _sort_key(name: str) -> Callable[[dict[str, Any]], tuple[bool, Any]]:
    """Sorts by a field, rows without a value first."""

    def key(row: dict[str, Any]) -> tuple[bool, Any]:
        group, _, field = name.rpartition(".")
        value = row[group][field] if group else row[field]
        return value is not None, value or 0

    return key


def _users(call: Call) -> list[User]:
    return [user for user in call.state.store.users.values() if user.org_id == call.org_id]


def _user(call: Call, user: User) -> dict[str, Any]:
    rows = call.state.store.of_users(call.org_id, [user.user_id])
    last_ms = max((row.last_ms for row in rows if row.messages), default=None)
    return {
        "org_id": user.org_id,
        "user_id": user.user_id,
        "first_name": user.first_name,
        "last_name": user.last_name,
        "email": user.email,
        "user_stats": {
            "num_conversations": len(rows),
            "num_messages": sum(len(row.messages) for row in rows),
            "last_message_time": None if last_ms is None else iso(last_ms),
        },
        "role": ROLES.get(user.role_name, user.role_name),
        "preferences": {**_USUAL_PREFERENCES, **user.preferences},
        "nonsensitive_variables": user.nonsensitive,
        "sensitive_variables": user.sensitive_names,
        "enable_actions_access": False,
    }


def _email(text: str, problems: Problems) -> str:
    try:
        return email_address(text)
    except ValueError as error:
        problems.add("value_error", ("query", "email"), str(error), text)
        return text
