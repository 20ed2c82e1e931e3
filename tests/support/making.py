"""Values for the tests of the core, and how much hypothesis throws at it: the same examples on every machine."""

import json
from collections.abc import Mapping
from typing import Any

from hypothesis import HealthCheck, settings

from bridge.core.answer.history import Message
from bridge.core.answer.outbound_message import EventContext, MessageFactory, Outbound, RoutingKey
from bridge.core.delivery.progress import Phase, Progress, RequestKind
from bridge.core.event.event import Event
from bridge.core.event.event_fields import EventKind, OnBusy
from bridge.core.event.inbound_message import InboundMessage
from bridge.core.event.route import RoutedEvent

MIB = 1024 * 1024
NOW_S = 1_700_000_000.9
HEX = "5f0000000000000000000001"
OTHER_HEX = "5f0000000000000000000002"
KEY = "{channel_type}.{channel}.{type}"


def thrown(examples: int) -> settings:
    """So many examples, the same ones each time; large inputs are meant, and slow machines are nobody's fault."""
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


def incoming(
    body: Any = None,
    *,
    properties: Mapping[str, Any] | None = None,
    headers: Mapping[str, Any] | None = None,
    **rest: Any,
) -> InboundMessage:
    """A message with that body: bytes as they are, anything else as JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return InboundMessage(body=raw, queue="bridge.events", properties=properties or {}, headers=headers or {}, **rest)


def routed(**fields: Any) -> RoutedEvent:
    """An event with nothing left to choose."""
    chosen: dict[str, Any] = {
        "id": "e-1",
        "kind": EventKind.EXTERNAL_EVENT,
        "message": "hello",
        "user_id": "user-1",
        "service_id": HEX,
        "channel": "sms",
        "version_set": "release",
        "conversation_id": None,
        "tags": {},
        "route": None,
        "on_busy": OnBusy.INTERACT,
        "agent_actions": "^action-too-long$",
        "response_format": "text",
    }
    return RoutedEvent(**{**chosen, **fields})


def event(**fields: Any) -> Event:
    """An event as published."""
    return Event(**{"id": "e-1", "message": "hello", "service_id": HEX, **fields})


def context(**fields: Any) -> EventContext:
    """What all messages of an event are about."""
    return EventContext(**{"event_id": "e-1", "channel": "sms", "attempt": 1, **fields})


def factory(*outbounds: Outbound) -> MessageFactory:
    """One outbound that takes everything, unless others are given."""
    return MessageFactory(outbounds or (Outbound("agent.events", RoutingKey(KEY)),), lambda: NOW_S)


def message(
    id_: str,
    interaction: str = "i-1",
    kind: str = "agent-message",
    text: str = "words",
    *,
    created_s: float | None = None,
) -> Message:
    """A message of a conversation's history."""
    return Message(id=id_, interaction_id=interaction, message_type=kind, text=text, created_s=created_s)


def unproved(
    request: RequestKind,
    conversation_id: str | None = None,
    stream: str | None = None,
    published: int = 0,
    watermark: str | None = None,
    announced: str | None = None,
    *,
    lost_stream: bool = False,
    waits: int = 0,
    asked_s: float | None = None,
) -> Progress:
    """What an earlier process asked for, as ledger and headers have it."""
    seen = (conversation_id, stream, published, watermark, announced, lost_stream, waits)
    return Progress(Phase.UNPROVED, request, *seen, asked_s=asked_s)
