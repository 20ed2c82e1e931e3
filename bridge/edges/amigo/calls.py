"""Requests of the operations that read, as values (docs/api-contract.md, 1.5 to 1.14).

Parameters stand in the order of the API's specification, and only those that are given are sent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bridge.core.event.user import NewUser
from bridge.edges.amigo.client import JSON, Call
from bridge.edges.amigo.outgoing import json_body, part
from bridge.edges.amigo.query import flag, given


@dataclass(frozen=True, slots=True)
class Slice:
    """The part of a list that is asked for: `limit` rows from `offset` on, in the order of `sort_by`.

    Without a limit the API chooses one. A sort is a field after `+` or `-`; without one the order is not specified.
    """

    limit: int | None = None
    offset: int | None = None
    sort_by: Sequence[str] = ()

    def params(self) -> dict[str, str]:
        """Limit and offset; a limit is never without an offset."""
        offset = 0 if self.offset is None and self.limit is not None else self.offset
        given = {"limit": self.limit, "continuation_token": offset}
        return {name: str(value) for name, value in given.items() if value is not None}


EVERYTHING = Slice()


@dataclass(frozen=True, slots=True)
class ConversationFilter:
    """Conversations of these users and services, finished or not, with these tags (`key:value`); empty means any."""

    user_ids: Sequence[str] = ()
    service_ids: Sequence[str] = ()
    ids: Sequence[str] = ()
    is_finished: bool | None = None
    tags: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class MessageFilter:
    """Messages with these ids, of these types and interactions; without types all but the inner thoughts."""

    ids: Sequence[str] = ()
    types: Sequence[str] = ()
    interaction_ids: Sequence[str] = ()


def conversations_call(user_id: str, fits: ConversationFilter, rows: Slice = EVERYTHING) -> Call:
    """GET the conversations that fit."""
    params = given(
        user_id=fits.user_ids,
        service_id=fits.service_ids,
        is_finished=flag(fits.is_finished),
        id=fits.ids,
        **rows.params(),
        sort_by=rows.sort_by,
        tag=fits.tags,
    )
    return Call("list", "GET", "/conversation/", user_id, params)


def messages_call(user_id: str, conversation_id: str, fits: MessageFilter, rows: Slice = EVERYTHING) -> Call:
    """GET the messages of a conversation that fit."""
    params = given(
        id=fits.ids,
        message_type=fits.types,
        interaction_id=fits.interaction_ids,
        **rows.params(),
        sort_by=rows.sort_by,
    )
    return Call("messages", "GET", f"/conversation/{part(conversation_id)}/messages/", user_id, params)


def source_call(user_id: str, conversation_id: str, message_id: str, *, long_lived: bool = False) -> Call:
    """GET the address of a voice message's audio."""
    path = f"/conversation/{part(conversation_id)}/messages/{part(message_id)}/source"
    return Call("message-source", "GET", path, user_id, {"long_lived": "true"} if long_lived else None)


def insights_call(user_id: str, conversation_id: str, interaction_id: str) -> Call:
    """GET the agent's reasoning in an interaction."""
    path = f"/conversation/{part(conversation_id)}/interaction/{part(interaction_id)}/insights"
    return Call("insights", "GET", path, user_id)


def recommend_call(user_id: str, conversation_id: str, interaction_id: str, context: str | None = None) -> Call:
    """POST for answers that the user might give to the latest interaction."""
    operation = "recommend-responses"
    path = f"/conversation/{part(conversation_id)}/interaction/{part(interaction_id)}/recommend_responses"
    if context is None:
        return Call(operation, "POST", path, user_id)
    return Call(operation, "POST", path, user_id, headers=JSON, body=json_body(operation, {"context": context}))


def tags_call(
    user_id: str, conversation_id: str, updates: Mapping[str, str | None], deletes: Sequence[str] = ()
) -> Call:
    """POST to write and delete tags of a conversation; others stay."""
    body = json_body("tags", {"updates": dict(updates), "deletes": list(deletes)})
    return Call("tags", "POST", f"/conversation/{part(conversation_id)}/tags/", user_id, headers=JSON, body=body)


def finish_call(user_id: str, conversation_id: str) -> Call:
    """POST to finish a conversation."""
    return Call("finish", "POST", f"/conversation/{part(conversation_id)}/finish/", user_id)


def services_call(
    user_id: str,
    *,
    ids: Sequence[str] = (),
    is_active: bool | None = None,
    tags: Sequence[str] = (),
    rows: Slice = EVERYTHING,
) -> Call:
    """GET the services that fit. Here the filter is called `tags`, on conversations `tag`."""
    params = given(id=ids, is_active=flag(is_active), sort_by=rows.sort_by, tags=tags, **rows.params())
    return Call("services", "GET", "/service/", user_id, params)


def users_call(user_id: str, *, ids: Sequence[str] = (), emails: Sequence[str] = ()) -> Call:
    """GET the users with these ids or e-mails."""
    return Call("users", "GET", "/user/", user_id, given(user_id=ids, email=emails))


def create_user_call(user_id: str, new: NewUser) -> Call:
    """POST to invite a user."""
    operation = "create-user"
    content: dict[str, object] = {
        "first_name": new.first_name,
        "last_name": new.last_name,
        "email": new.email,
        "role_name": new.role_name,
    }
    preferences = {"timezone": new.timezone, "preferred_language": new.preferred_language}
    given_preferences = {name: value for name, value in preferences.items() if value is not None}
    if given_preferences:
        content["user_preferences"] = given_preferences
    return Call(operation, "POST", "/user/", user_id, headers=JSON, body=json_body(operation, content))
