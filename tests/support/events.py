"""External events as a backend writes them."""

import hashlib
import json
from typing import Any

import pika

from tests.support.rabbit import Outgoing

CHANNELS = {
    "phone": "voice",
    "web_voice": "voice",
    "mobile_voice": "voice",
    "sms": "text",
    "whatsapp": "text",
    "web_chat": "text",
    "mobile_chat": "text",
    "email": "async",
    "api": "async",
}
SERVICE = "5f0000000000000000000001"


def service(number: int) -> str:
    return f"5f{number:022x}"


def text_of(event_id: str) -> str:
    """What an event says; the canary must never turn up in a log."""
    return f"canary-body of {event_id}"


def fields(event_id: str | None, **more: Any) -> dict[str, Any]:
    """The body of an event; a field that is None is left out."""
    usual = {"id": event_id, "user_id": f"u-{event_id}", "service_id": SERVICE, "message": text_of(str(event_id))}
    return {name: value for name, value in {**usual, **more}.items() if value is not None}


def body_of(event_id: str, **more: Any) -> bytes:
    return json.dumps(fields(event_id, **more)).encode()


def event(event_id: str, routing_key: str = "backend.event", **more: Any) -> Outgoing:
    return raw(body_of(event_id, **more), routing_key=routing_key)


def raw(body: bytes, routing_key: str = "backend.event", **properties: Any) -> Outgoing:
    given = {"content_type": "application/json", "delivery_mode": 2, **properties}
    return Outgoing(body, pika.BasicProperties(**given), routing_key)


def event_tag(event_id: str) -> str:
    return hashlib.sha256(event_id.encode()).hexdigest()[:32]
