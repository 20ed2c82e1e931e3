"""The messages of one event on their way out: which are unconfirmed, which were refused, when all is safe."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from bridge.core.answer.answer_stream import COMPLETE
from bridge.core.answer.outbound_message import OutboundMessage
from bridge.core.broker.publish_refusal import PublishRefusal
from bridge.core.delivery.retry import Backoff
from bridge.core.errors import BridgeError
from bridge.flow.ports.broker import Publisher
from bridge.flow.ports.runtime import Log


class Undeliverable(BridgeError):
    """The broker refused a message until patience was out, or will never take it."""


@dataclass(slots=True)
class Counts:
    """Counts of the messages of one event."""

    published: int = 0
    refused: int = 0
    lost: int = 0


@dataclass(slots=True)
class Refusals:
    """How often a message was refused, and when for the first time (event loop time)."""

    since_s: float
    times: int = 0


class Outbox:
    """Hands an event's messages to the publisher and keeps account. It is the publisher's receipt for them.

    `ended` are the outbounds to which `interaction-complete` was handed over: a queue of theirs may have it even where
    another refused it.
    """

    def __init__(self, publisher: Publisher, backoff: Backoff, log: Log) -> None:
        self.counts = Counts()
        self.ended: set[int] = set()
        self._publisher = publisher
        self._backoff = backoff
        self._log = log
        self._tries: dict[OutboundMessage, Refusals] = {}
        self._unconfirmed = 0
        self._error: str | None = None
        self._forgotten = False
        self._changed: asyncio.Event | None = None

    def put(self, messages: Sequence[OutboundMessage]) -> None:
        """Hand messages over, in order, without waiting."""
        self._unconfirmed += len(messages)
        self.counts.published += len(messages)
        self.ended.update([message.to.outbound for message in messages if message.to.type == COMPLETE])
        self._publisher.publish(messages, self)

    async def all_confirmed(self) -> None:
        """Return when the broker has confirmed everything that was put. Raises Undeliverable where it will not."""
        while self._unconfirmed and self._error is None:
            self._changed = asyncio.Event()
            await self._changed.wait()
        if self._error is not None:
            raise Undeliverable(self._error)

    async def all_told(self) -> None:
        """Return when the fate of everything is known, and forgive what was refused for good."""
        while self._unconfirmed:
            self._changed = asyncio.Event()
            await self._changed.wait()
        self._error = None

    def confirmed(self, messages: Sequence[OutboundMessage]) -> None:
        if self._tries:
            for message in messages:
                self._tries.pop(message, None)
        self._unconfirmed -= len(messages)
        if not self._unconfirmed and self._changed is not None:
            self._changed.set()

    def refused(self, message: OutboundMessage, refusal: PublishRefusal) -> None:
        self.counts.refused += 1
        wait_s = self._wait_s(message) if refusal.kind.passes else None
        self._log.warning(
            "publish.refused",
            message_id=message.message_id,
            exchange=message.exchange,
            kind=refusal.kind,
            error=refusal.error,
            again_in_s=wait_s,
        )
        if wait_s is None:
            self._tries.pop(message, None)
            self._error = f"{message.exchange} refused {message.routing_key}: {refusal.error}"
            self._unconfirmed -= 1
            if self._changed is not None:
                self._changed.set()
        else:
            asyncio.get_running_loop().call_later(wait_s, self._again, message, refusal.kind.closes)

    def lost(self, message: OutboundMessage) -> None:
        self.counts.lost += 1

    def forget(self) -> None:
        """Publish no more of this event here: somebody else sees to it."""
        self._forgotten = True
        self._publisher.forget(self)

    def _again(self, message: OutboundMessage, alone: bool) -> None:
        if not self._forgotten:
            self._publisher.publish((message,), self, alone=alone)

    def _wait_s(self, message: OutboundMessage) -> float | None:
        """How long a message that was refused waits; None once it has been for too long."""
        now_s = asyncio.get_running_loop().time()
        tries = self._tries.setdefault(message, Refusals(now_s))
        tries.times += 1
        return self._backoff.republish(tries.times, now_s - tries.since_s)
