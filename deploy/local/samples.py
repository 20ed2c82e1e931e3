"""What the demonstration's backends say: seven events, one of them rubbish, and the routes for them."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SERVICE_ID = "5f0000000000000000000001"
EMAIL = "amina.diallo@example.com"
RECIPIENT = {
    "email": "{{ data.recipient.email }}",
    "create": {"first_name": "{{ data.recipient.first_name }}", "last_name": "{{ data.recipient.last_name }}"},
}
"""The parcel service knows its customers by e-mail; one whom the agent has never met is created."""


@dataclass(frozen=True)
class Sample:
    """A message for the exchange `bridge.events`; `dead` where it is meant to end in the dead-letter queue."""

    id: str
    routing_key: str
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    dead: bool = False


def routes(service_id: str, user_id: str | None) -> list[dict[str, Any]]:
    """How the backends' own JSON becomes events, so that they need not know the agent.

    Nobody is created where all samples are in the name of one user: that API is a real one.
    """
    recipient: dict[str, Any] = {"user_id": user_id} if user_id else {"user": RECIPIENT}
    return [
        {
            "name": "payments",
            "when": "data.type == 'payment.failed'",
            "service_id": service_id,
            "channel": "sms",
            "user_id": "{{ data.customer.amigo_user_id }}",
            "message": "The payment of {{ data.amount }} by {{ data.customer.name }} failed: {{ data.reason }}.",
            "tags": {"source": "billing"},
        },
        {
            "name": "appointments",
            "when": "routing_key.startswith('clinic.appointment.')",
            "service_id": service_id,
            "channel": "phone",
            "user_id": "{{ data.patient }}",
            "message": "The appointment with {{ data.doctor }} has been moved to {{ data.moved_to }}.",
            "tags": {"source": "clinic"},
        },
        {
            "name": "parcels",
            "when": "data.parcel is defined",
            "service_id": service_id,
            "channel": "whatsapp",
            **recipient,
            "message": "Parcel {{ data.parcel }} is late by {{ data.days_late }} days: {{ data.cause }}.",
            "tags": {"source": "parcels"},
        },
    ]


def samples(user_id: str | None, service_id: str) -> list[Sample]:
    """Events of several users, or all in the name of one."""
    run = secrets.token_hex(2)
    maria, jonas, chen = (user_id or name for name in ("maria-lopez", "jonas-weber", "chen-wei"))
    amina: dict[str, object] = {"user_id": user_id} if user_id else {"user": {"email": EMAIL}}
    return [
        _json(
            f"payment-{run}",
            "billing.payment.failed",
            type="payment.failed",
            customer={"amigo_user_id": maria, "name": "Maria Lopez"},
            amount="€129.50",
            reason="the card has expired",
        ),
        _cloud_event(
            f"appointment-{run}",
            "clinic.appointment.moved",
            {"patient": jonas, "doctor": "Dr. Ines Keller", "moved_to": "Thursday at 10:30"},
        ),
        _json(
            f"parcel-{run}",
            "logistics.parcel.late",
            parcel="JD0146003",
            recipient={"email": EMAIL, "first_name": "Amina", "last_name": "Diallo"},
            days_late=2,
            cause="snow on the pass",
        ),
        _json(
            f"report-{run}",
            "lab.report.ready",
            message={"report": "blood count", "result": "all values in range", "next check": "in 12 months"},
            user_id=chen,
            service_id=service_id,
            channel="email",
            tags={"source": "lab"},
        ),
        # The same user as in the first, on another channel, while that conversation is open: it joins it, in order.
        _json(
            f"chat-{run}",
            "chat.message",
            kind="user-message",
            message="I have a new card now. Can you try the payment again?",
            user_id=maria,
            service_id=service_id,
            channel="web_chat",
        ),
        # By now the user is found by the e-mail. There is nothing left to say, so her conversation is finished.
        _json(f"received-{run}", "logistics.parcel.received", kind="finish", service_id=service_id, **amina),
        Sample(f"rubbish-{run}", "legacy.export", b"<order no='17'>not JSON</order>", dead=True),
    ]


def _json(event_id: str, routing_key: str, **fields: object) -> Sample:
    return Sample(event_id, routing_key, _bytes({"id": event_id, **fields}))


def _cloud_event(event_id: str, routing_key: str, data: Mapping[str, str]) -> Sample:
    envelope = {
        "specversion": "1.0",
        "id": event_id,
        "source": "/clinic/calendar",
        "type": "com.example.appointment.moved",
        "data": data,
    }
    return Sample(event_id, routing_key, _bytes(envelope), "application/cloudevents+json")


def _bytes(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()
