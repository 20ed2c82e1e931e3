"""The external event: bytes in, a value out, or InvalidEvent with what is wrong and where.

A body whose fields are all known, or which names a `kind` or a 24-hex `service_id`, is an event and is held to the
table of fields. Every other JSON object is a foreign one: it is `data` for the routes, and only its `id` is taken.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from bridge.core import numbers
from bridge.core.errors import InvalidEvent
from bridge.core.event import cloudevents, tags
from bridge.core.event.channel import CHANNELS
from bridge.core.event.inbound_message import PLAIN_ENCODINGS, SOURCE, InboundMessage

HEX24 = re.compile(r"[a-f0-9]{24}")
VERSION_SET = re.compile(r"[A-Za-z0-9_-]{1,40}")
USER_ID = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,198}[\x21-\x7e])?")
MAX_ID_CHARS = 200

FIELDS = frozenset(
    ("id", "kind", "message", "user_id", "service_id", "channel", "version_set", "conversation_id", "tags", "data")
)


class EventKind(StrEnum):
    """The kinds of request to the agent."""

    EXTERNAL_EVENT = "external-event"
    USER_MESSAGE = "user-message"
    AGENT_FIRST = "agent-first"
    FINISH = "finish"
    TAG = "tag"


KINDS = frozenset(EventKind)

# `finish` and `tag` open no stream and so have no ending yet: they are refused rather than half done.
HANDLED = (EventKind.EXTERNAL_EVENT, EventKind.USER_MESSAGE, EventKind.AGENT_FIRST)


Check = Callable[[object], str | None]
"""Looks at one field: the fault, or None."""


@dataclass(frozen=True, slots=True)
class Event:
    """One external event as published; None where it leaves the choice to the route or the configuration."""

    id: str
    kind: EventKind = EventKind.EXTERNAL_EVENT
    message: str | None = None
    user_id: str | None = None
    service_id: str | None = None
    channel: str | None = None
    version_set: str | None = None
    conversation_id: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    data: Any = None
    foreign: bool = False


def read_event(incoming: InboundMessage, max_bytes: int) -> Event:
    """The event in a message. Raises InvalidEvent; the error carries the event's id where that much could be read."""
    if incoming.unreadable:
        known = usable_id(incoming.message_id) if "message_id" not in incoming.unreadable else None
        raise InvalidEvent(f"properties that cannot be read: {', '.join(incoming.unreadable)}", known)
    if len(incoming.body) > max_bytes:
        raise InvalidEvent(
            f"the body has {len(incoming.body)} bytes, at most {max_bytes} are taken", usable_id(incoming.message_id)
        )
    encoding = incoming.properties.get("content_encoding")
    if encoding and str(encoding).strip().lower() not in PLAIN_ENCODINGS:
        raise InvalidEvent(
            f"content encoding {encoding!r:.40} is not understood: send plain UTF-8", usable_id(incoming.message_id)
        )
    if SOURCE in incoming.headers:
        return _event(_value(incoming), None, incoming.message_id, hooked=True)
    try:
        envelope = cloudevents.unwrap(incoming)
    except InvalidEvent as error:
        raise InvalidEvent(str(error), usable_id(error.event_id) or usable_id(incoming.message_id)) from None
    if envelope is None:
        return _event(_object(incoming), None, incoming.message_id)
    return _event(envelope.data, envelope.id, incoming.message_id, wrapped=True)


def check_hooked(data: object, event_id: str) -> None:
    """Check that a JSON value that came by a webhook can be read as an event. Raises InvalidEvent."""
    _check_id(event_id, event_id)
    if isinstance(data, dict) and _is_event(data):
        _check_fields(data, event_id)


def _value(incoming: InboundMessage) -> object:
    try:
        return numbers.loads(incoming.body)
    except ValueError as error:
        raise InvalidEvent(f"the body is not JSON in UTF-8: {error}", usable_id(incoming.message_id)) from None


def _object(incoming: InboundMessage) -> dict[str, object]:
    body = _value(incoming)
    if not isinstance(body, dict):
        raise InvalidEvent(f"the body is a JSON {_name(body)}, not an object", usable_id(incoming.message_id))
    return body


def _event(
    body: object, envelope_id: str | None, message_id: str | None, *, wrapped: bool = False, hooked: bool = False
) -> Event:
    """`hooked`: it came by a webhook, whose sender does not choose among the ids of others: `message_id` is the id."""
    fields = body if isinstance(body, dict) and _is_event(body) else None
    own_id = body.get("id") if isinstance(body, dict) else None
    if hooked or (fields is None and (wrapped or not isinstance(own_id, str))):
        own_id = None
    event_id = own_id if own_id is not None else envelope_id or message_id
    _check_id(event_id, message_id)
    if fields is None:
        return Event(id=str(event_id), data=body, foreign=True)
    _check_fields(fields, str(event_id))
    kind = fields.get("kind")
    return Event(
        id=str(event_id),
        kind=EventKind.EXTERNAL_EVENT if kind is None else EventKind(kind),
        message=_message_text(fields.get("message")),
        user_id=fields.get("user_id"),
        service_id=fields.get("service_id"),
        channel=fields.get("channel"),
        version_set=fields.get("version_set"),
        conversation_id=fields.get("conversation_id"),
        tags={key.strip(): value.strip() for key, value in (fields.get("tags") or {}).items()},
        data=fields.get("data"),
    )


def _check_fields(body: Mapping[str, object], event_id: str) -> None:
    found = [fault for name, value in body.items() if name in CHECKS and (fault := CHECKS[name](value))]
    found = found or _wrong_together(body)
    if found:
        channel = body.get("channel")
        known = channel if isinstance(channel, str) and channel in CHANNELS else None
        raise InvalidEvent("; ".join(found), event_id, known)


def _is_event(body: Mapping[str, object]) -> bool:
    service_id = body.get("service_id")
    return (
        body.keys() <= FIELDS
        or _is_kind(body.get("kind"))
        or (isinstance(service_id, str) and HEX24.fullmatch(service_id) is not None)
    )


def _check_id(event_id: object, message_id: str | None) -> None:
    if event_id is None:
        raise InvalidEvent("no id: neither the body nor a CloudEvents attribute nor the AMQP message_id has one")
    if usable_id(event_id) is None:
        raise InvalidEvent(f"id is not a string of 1 to {MAX_ID_CHARS} bytes in UTF-8", usable_id(message_id))


def usable_id(event_id: object) -> str | None:
    """The value where it can be an event's id, else None."""
    if not isinstance(event_id, str) or not event_id:
        return None
    return event_id if len(event_id.encode("utf-8", "surrogatepass")) <= MAX_ID_CHARS else None


def _wrong_together(body: Mapping[str, object]) -> list[str]:
    kind = body.get("kind") or EventKind.EXTERNAL_EVENT
    if kind not in HANDLED:
        return [f"kind {kind} is not handled by this version"]
    if kind == EventKind.AGENT_FIRST and body.get("message") is not None:
        return ["kind agent-first takes no message"]
    return []


def _message_text(message: object) -> str | None:
    """The agent's text: a string as it is, an object as compact JSON, None where there is none."""
    if isinstance(message, dict):
        return numbers.dumps(message).decode()
    return message if isinstance(message, str) else None


def _shown(value: object) -> str:
    """A value in an error: text as it is, anything else by its kind (it may be nested without end)."""
    return repr(value[:60]) if isinstance(value, str) else f"(a JSON {_name(value)})"


def _name(value: object) -> str:
    return {list: "array", dict: "object", str: "string", bool: "boolean", type(None): "null"}.get(
        type(value), "number"
    )


def _check_kind(value: object) -> str | None:
    return None if value is None or _is_kind(value) else f"kind {_shown(value)} is none of {', '.join(EventKind)}"


def _is_kind(value: object) -> bool:
    return isinstance(value, str) and value in KINDS


def _check_message(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, dict):
        return _check_object(value)
    if not isinstance(value, str):
        return "message is neither a string nor an object"
    return None if value.strip() else "message is blank"


def _check_object(value: dict[str, object]) -> str | None:
    try:
        numbers.dumps(value)
    except ValueError as error:
        return f"message cannot be written as JSON: {error}"
    return None


def _check_channel(value: object) -> str | None:
    known = value is None or (isinstance(value, str) and value in CHANNELS)
    return None if known else f"channel {_shown(value)} is none of {', '.join(CHANNELS)}"


def _check_tags(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        return "tags is not an object"
    return "; ".join(tags.faults(value)) or None


def _check_form(name: str, form: re.Pattern[str], said: str) -> Check:
    def check(value: object) -> str | None:
        good = value is None or (isinstance(value, str) and form.fullmatch(value) is not None)
        return None if good else f"{name} is not {said}"

    return check


CHECKS: Mapping[str, Check] = {
    "kind": _check_kind,
    "message": _check_message,
    "channel": _check_channel,
    "tags": _check_tags,
    "user_id": _check_form("user_id", USER_ID, "a string of 1 to 200 printable ASCII characters"),
    "service_id": _check_form("service_id", HEX24, "24 digits of lower-case hex"),
    "conversation_id": _check_form("conversation_id", HEX24, "24 digits of lower-case hex"),
    "version_set": _check_form("version_set", VERSION_SET, "of the form [A-Za-z0-9_-]{1,40}"),
}
