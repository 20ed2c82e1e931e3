"""The contract's validation, as strict as its words: a request that breaks it is refused and remembered."""

import re
from typing import Any

from aiohttp import web

HEX24 = re.compile(r"[a-f0-9]{24}")
TAG_KEY = re.compile(r"[\w\s_]+")
TAG_VALUE_LATER = re.compile(r"[\w\s]+")
MULTIPART = re.compile(r"multipart/form-data; boundary=.+")
FORMATS = ("text", "voice")
KINDS = ("user-message", "external-event")
CREATE_FIELDS = {
    "service_id",
    "service_version_set_name",
    "initial_message",
    "initial_message_type",
    "tags",
    "is_test",
}
CREATE_QUERY = {"response_format", "current_agent_action_type"}
INTERACT_QUERY = {"request_format", "response_format", "current_agent_action_type", "request_audio_config"}
LIST_QUERY = {"user_id", "service_id", "is_finished", "id", "limit", "continuation_token", "sort_by", "tag"}
MESSAGES_QUERY = {"id", "message_type", "interaction_id", "limit", "continuation_token", "sort_by"}
INTERACT_PARTS = {
    "initial_message_type",
    "recorded_message",
    "external_event_message_content",
    "external_event_message_timestamp",
}


class InvalidError(Exception):
    """The request breaks the contract (422)."""


def demand(truth: bool, why: str) -> None:
    if not truth:
        raise InvalidError(why)


def query(request: web.Request, known: set[str], *formats: str) -> None:
    for name in request.query:
        demand(name in known, f"unknown query parameter {name}")
    for name in formats:
        demand(request.query.get(name) in FORMATS, f"query parameter {name} must be text or voice")


def create(body: Any) -> None:
    demand(isinstance(body, dict), "the body must be an object")
    demand(body.keys() <= CREATE_FIELDS, f"unknown fields {body.keys() - CREATE_FIELDS}")
    demand(HEX24.fullmatch(str(body.get("service_id"))) is not None, "service_id")
    message, kind = body.get("initial_message"), body.get("initial_message_type")
    demand((message is None) == (kind is None), "initial_message and its type: both or neither")
    if message is not None:
        demand(isinstance(message, str) and bool(message.strip()), "initial_message")
        demand(kind in KINDS, "initial_message_type")
    tags_at_create(body.get("tags", {}))


def tags_at_create(tags: Any) -> None:
    demand(isinstance(tags, dict) and len(tags) <= 20, "at most 20 tags")
    for key, value in tags.items():
        demand(TAG_KEY.fullmatch(key) is not None, f"tag key {key!r}")
        demand(value is None or 1 <= len(value.strip()) <= 100, f"tag value {value!r}")


def tag_updates(body: Any) -> None:
    demand(isinstance(body, dict) and body.keys() <= {"updates", "deletes"}, "updates and deletes")
    updates = body.get("updates", {})
    demand(isinstance(updates, dict) and len(updates) <= 20, "at most 20 updates")
    for key, value in updates.items():
        demand(TAG_KEY.fullmatch(key) is not None, f"tag key {key!r}")
        demand(value is None or TAG_VALUE_LATER.fullmatch(value) is not None, f"tag value {value!r}")


def limit(request: web.Request, most: int) -> int:
    raw = request.query.get("limit", str(most))
    demand(raw.isdigit() and 0 < int(raw) <= most, f"limit {raw}")
    return int(raw)


def parts(found: list[tuple[str, bytes]]) -> dict[str, list[str]]:
    """The multipart body's parts by name; their order and shape are checked."""
    by_name: dict[str, list[str]] = {}
    for name, data in found:
        demand(name in INTERACT_PARTS, f"unknown part {name}")
        by_name.setdefault(name, []).append(data.decode())
    demand(by_name.get("initial_message_type", [""])[0] in KINDS, "initial_message_type")
    demand(len(by_name.get("recorded_message", [])) == 1, "exactly one recorded_message")
    demand(found[-1][0] == "recorded_message", "recorded_message must be the last part")
    contents = by_name.get("external_event_message_content", [])
    times = by_name.get("external_event_message_timestamp", [])
    demand(len(contents) == len(times), "one timestamp per external event")
    return by_name
