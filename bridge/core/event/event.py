"""The external event: bytes in, a value out, or InvalidEvent with what is wrong and where.

A body whose fields are all known, or which names a `kind` or a 24-hex `service_id`, is an event and is held to the
table of fields. Every other JSON object is a foreign one: it is `data` for the routes, and only its `id` is taken.
"""

import base64
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from bridge.core import numbers
from bridge.core.errors import InvalidEvent
from bridge.core.event import cloudevents
from bridge.core.event.event_fields import (
    CHECKS,
    HEX24,
    MAX_ID_BYTES,
    Audio,
    EventKind,
    OnBusy,
    channel_of,
    faults,
    finish_s,
    is_kind,
    json_name,
    usable_id,
)
from bridge.core.event.inbound_message import PLAIN_ENCODINGS, SOURCE, InboundMessage
from bridge.core.event.user import UserByEmail, user_of
from bridge.core.value import value

SPEAKING = (EventKind.EXTERNAL_EVENT, EventKind.USER_MESSAGE)
ANSWERED = (*SPEAKING, EventKind.AGENT_FIRST)
FIELDS = frozenset({"id", "data", *CHECKS})


@value(frozen=True, slots=True)
class Event:
    """One external event as published; None where it leaves the choice to the route or the configuration."""

    id: str
    kind: EventKind = EventKind.EXTERNAL_EVENT
    message: str | None = None
    user_id: str | None = None
    user: UserByEmail | None = None
    service_id: str | None = None
    channel: str | None = None
    version_set: str | None = None
    conversation_id: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    delete_tags: tuple[str, ...] = ()
    on_busy: OnBusy | None = None
    finish_s: float | None = None
    not_before: str | None = None
    expires_at: str | None = None
    cancels: str | None = None
    is_test: bool = False
    audio: Audio | None = None
    data: Any = None
    foreign: bool = False

    @property
    def needs_service(self) -> bool:
        """False for what concerns another event instead of an agent."""
        return self.kind is not EventKind.CANCEL

    @property
    def seeks_owner(self) -> bool:
        """True where user and service are those of the conversation that it names, if the ledger knows it."""
        return self.conversation_id is not None and self.kind in (EventKind.FINISH, EventKind.TAG)

    @property
    def must_name_service(self) -> bool:
        """True where nothing but event or route can say which service is meant."""
        return self.needs_service and not self.seeks_owner

    @property
    def asks_agent(self) -> bool:
        """True where the agent answers."""
        return self.kind in ANSWERED

    @property
    def speaks(self) -> bool:
        """True where the agent is told something in words, which a route may give."""
        return self.kind in SPEAKING and self.audio is None


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
        raise InvalidEvent(f"the body is a JSON {json_name(body)}, not an object", usable_id(incoming.message_id))
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
        user=user_of(fields.get("user")),
        service_id=fields.get("service_id"),
        channel=fields.get("channel"),
        version_set=fields.get("version_set"),
        conversation_id=fields.get("conversation_id"),
        tags={key.strip(): value.strip() for key, value in (fields.get("tags") or {}).items()},
        delete_tags=tuple(dict.fromkeys(key.strip() for key in fields.get("delete_tags") or ())),
        on_busy=None if fields.get("on_busy") is None else OnBusy(fields["on_busy"]),
        finish_s=None if fields.get("finish") is None else finish_s(fields["finish"]),
        not_before=fields.get("not_before"),
        expires_at=fields.get("expires_at"),
        cancels=fields.get("cancels"),
        is_test=fields.get("is_test") is True,
        audio=_audio(fields.get("audio")),
        data=fields.get("data"),
    )


def _check_fields(body: Mapping[str, object], event_id: str) -> None:
    wrong = faults(body)
    if wrong:
        raise InvalidEvent("; ".join(wrong), event_id, channel_of(body))


def _is_event(body: Mapping[str, object]) -> bool:
    service_id = body.get("service_id")
    return (
        body.keys() <= FIELDS
        or is_kind(body.get("kind"))
        or (isinstance(service_id, str) and HEX24.fullmatch(service_id) is not None)
    )


def _check_id(event_id: object, message_id: str | None) -> None:
    if event_id is None:
        raise InvalidEvent("no id: neither the body nor a CloudEvents attribute nor the AMQP message_id has one")
    if usable_id(event_id) is None:
        raise InvalidEvent(f"id is not a string of 1 to {MAX_ID_BYTES} bytes in UTF-8", usable_id(message_id))


def _audio(audio: Mapping[str, str] | None) -> Audio | None:
    return None if audio is None else Audio(audio["content_type"].strip(), base64.b64decode(audio["data"]))


def _message_text(message: object) -> str | None:
    """The agent's text: a string as it is, an object as compact JSON, None where there is none."""
    if isinstance(message, dict):
        return numbers.dumps(message).decode()
    return message if isinstance(message, str) else None
