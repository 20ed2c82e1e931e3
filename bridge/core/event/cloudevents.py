"""CloudEvents 1.0 over AMQP: structured mode and binary mode (cloudevents.io, AMQP protocol binding, section 3)."""

import base64
from dataclasses import dataclass

from bridge.core import numbers
from bridge.core.errors import InvalidEvent
from bridge.core.event.inbound_message import Headers, InboundMessage

STRUCTURED = "application/cloudevents+json"
PREFIXES = ("cloudEvents:", "cloudEvents_")


@dataclass(frozen=True, slots=True)
class CloudEvent:
    """The two things the bridge needs of a CloudEvent: its `id` and its `data`, any JSON value (None where absent)."""

    id: str | None
    data: object


def unwrap(incoming: InboundMessage) -> CloudEvent | None:
    """The CloudEvent that a message carries, or None where it carries none. Raises InvalidEvent for a broken one."""
    content_type = incoming.content_type
    if content_type == STRUCTURED:
        return _structured(_json(incoming.body))
    if content_type.startswith("application/cloudevents"):
        raise InvalidEvent(f"content type {content_type} is not understood: send {STRUCTURED}")
    attributes = _attributes(incoming.headers)
    if "specversion" not in attributes:
        return None
    event_id = _id(attributes)
    return CloudEvent(event_id, _json(incoming.body, event_id) if incoming.body else None)


def _structured(envelope: object) -> CloudEvent:
    if not isinstance(envelope, dict):
        raise InvalidEvent("a structured CloudEvent is a JSON object")
    event_id = _id(envelope)
    encoded = envelope.get("data_base64")
    if encoded is not None:  # null is no member (cloudevents.io, JSON format, section 2.2)
        return CloudEvent(event_id, _json(decoded(encoded, event_id), event_id))
    return CloudEvent(event_id, envelope.get("data"))


def _id(attributes: Headers) -> str | None:
    version, event_id = attributes.get("specversion"), attributes.get("id")
    if version != "1.0":
        known = event_id if isinstance(event_id, str) else None
        given = repr(version[:40]) if isinstance(version, str) else "not a string"
        raise InvalidEvent(f"CloudEvents specversion is {given}, understood is 1.0", known)
    if event_id is not None and not isinstance(event_id, str):
        raise InvalidEvent("the CloudEvents id is not a string")
    return event_id or None


def _attributes(headers: Headers) -> dict[str, object]:
    return {
        name.removeprefix(prefix): value.decode("utf-8", "replace") if isinstance(value, bytes | bytearray) else value
        for name, value in headers.items()
        for prefix in PREFIXES
        if name.startswith(prefix)
    }


def decoded(text: object, event_id: str | None) -> bytes:
    """The bytes of a `data_base64`. Raises InvalidEvent."""
    try:
        if isinstance(text, str):
            return base64.b64decode(text, validate=True)
    except ValueError:
        pass
    raise InvalidEvent("data_base64 is not base64", event_id)


def _json(body: bytes, event_id: str | None = None) -> object:
    try:
        return numbers.loads(body)
    except ValueError as error:
        raise InvalidEvent(f"the data of the CloudEvent is not JSON in UTF-8: {error}", event_id) from None
