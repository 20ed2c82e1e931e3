"""The webhooks' corridor: who takes them from the web, whose secrets verify them, and who publishes them."""

from collections.abc import Sequence
from typing import Protocol

from bridge.core.answer.outbound_message import OutboundMessage
from bridge.core.errors import BridgeError
from bridge.core.webhook.problem import HttpAnswer, Problem
from bridge.core.webhook.signature import HttpRequest, Source


class ConfirmedPublisher(Protocol):
    """Publishes for somebody who waits: taken and confirmed, or refused, and that soon."""

    async def enqueue(self, message: OutboundMessage) -> None:
        """Return when the broker has confirmed the message. Raises NotConfirmed where it does not within a few seconds.

        Without a connection, or while the broker blocks, that is at once. What was sent already may arrive even so.
        """


class NotConfirmed(BridgeError):
    """The broker has not confirmed a message. `unrouted`: no queue would get it, until somebody changes something."""

    def __init__(self, error: str, *, unrouted: bool = False) -> None:
        super().__init__(error)
        self.unrouted = unrouted


class Keyring(Protocol):
    """The active secrets of the webhooks."""

    def keys(self, source: str) -> Sequence[bytes]:
        """Those of a source, as its scheme takes them."""


class WebhookReceiver(Protocol):
    """Takes webhooks as they come in from the web. Errors are Refusals."""

    def admit(self, name: str, method: str, request: HttpRequest) -> Source:
        """The source of this name, asked before the body is read."""

    async def take(self, source: Source, request: HttpRequest) -> HttpAnswer:
        """Take the webhook; gives the sender's answer, once it is safe to say so."""

    def refused(self, name: str, refusal: Problem, client: str) -> None:
        """To be counted and logged; `client` is the sender's address."""
