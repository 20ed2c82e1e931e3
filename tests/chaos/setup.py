"""How a row is set up, and the configuration of its replicas."""

from dataclasses import dataclass, field
from typing import Any

from deploy.local.node import free_port
from deploy.local.unlimited import UNLIMITED


class NotHere(Exception):
    """A fault cannot be brought about on this machine; the message says what that takes."""


@dataclass(frozen=True)
class Setup:
    """How many replicas there are, on which ledger, with what laid over the usual configuration."""

    replicas: int = 1
    postgres: bool = False
    wires: bool = False
    gateway: bool = False
    pace: float = 0.5
    limits: tuple[str, ...] = ("--limits", "off")
    """The sandbox's options."""
    config: dict[str, Any] = field(default_factory=dict)


def configuration(amqp_url: str, api_url: str, ledger_url: str) -> dict[str, Any]:
    """Short waits, so that a round takes seconds; otherwise as usual."""
    return {
        "amqp": {"url": amqp_url, "inbound": {"prefetch": 100}},
        "amigo": {
            "base_url": api_url,
            "organization_id": "acme",
            "api_key": "sandbox-secret",
            "api_key_id": "sandbox-key",
            "user_id": "bridge-bot",
            "settle": "300ms",
            "idle": "2s",
            "longest": "30s",
        },
        "limits": UNLIMITED,
        "retry": {"attempts": 20, "first": "100ms", "longest": "1s"},
        "ledger": {"url": ledger_url},
        "http": {"host": "127.0.0.1", "port": free_port()},
        "shutdown": {"grace": "1s"},
        "log": {"level": "info", "format": "json"},
    }
