"""The bridge's client for the Amigo API, pointed at a server of the test."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from bridge.core.event.event_fields import EventKind, OnBusy
from bridge.core.event.route import RoutedEvent
from bridge.edges.amigo.agent import AmigoAgent
from bridge.edges.amigo.authorized import ONE_ATTEMPT, SignedClient
from bridge.edges.amigo.client import USUAL_LIMITS, CallLimits, Credentials, HttpClient
from bridge.edges.amigo.tokens import MAX_USERS

API_KEY = "canary-key-5e1f0c"
SERVICE = "5f0000000000000000000001"
CONVERSATION = "6a0000000000000000000001"
IDLE_S = 0.2
"""For servers that fall silent: where one does not, a busy machine must not look as if it did."""
PATIENT_S = 60.0


def credentials(base_url: str, user_id: str | None = "bridge-user", **more: str) -> Credentials:
    return Credentials(base_url, "acme", "key-id-1", API_KEY, user_id, **more)


def routed(**changes: Any) -> RoutedEvent:
    """An event with nothing left to choose."""
    fields: dict[str, Any] = {
        "id": "event-1",
        "kind": EventKind.EXTERNAL_EVENT,
        "message": "the boiler is cold",
        "user_id": "user-1",
        "service_id": SERVICE,
        "channel": "sms",
        "version_set": "release",
        "conversation_id": None,
        "tags": {},
        "route": None,
        "on_busy": OnBusy.INTERACT,
        "agent_actions": "^$",
        "response_format": "text",
    }
    return RoutedEvent(**{**fields, **changes})


@asynccontextmanager
async def agent_at(
    base_url: str,
    *,
    idle_s: float = PATIENT_S,
    user_id: str | None = "bridge-user",
    limits: CallLimits = USUAL_LIMITS,
    max_users: int = MAX_USERS,
) -> AsyncIterator[Any]:
    """An agent that tries everything once, as in the bridge."""
    who = credentials(base_url, user_id)
    async with HttpClient(who, idle_s, limits=limits) as client:
        yield AmigoAgent(SignedClient(client, who, ONE_ATTEMPT, lambda: 0.0, max_users=max_users))


async def read(stream: AsyncIterator[bytes], into: list[bytes] | None = None) -> bytes:
    """All of a stream; what came before an error is in `into`."""
    pieces = into if into is not None else []
    async for piece in stream:
        pieces.append(piece)
    return b"".join(pieces)
