"""The messages of one event on their way out: which are unconfirmed, which were refused, when all is safe."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from bridge.core.answer.ending import COMPLETE
from bridge.core.answer.outbound_message import OutboundMessage
from bridge.core.broker.publish_refusal import PublishRefusal
from bridge.core.delivery.retry import Backoff
from bridge.core.errors import BridgeError
from bridge.flow.ports.broker import Publisher
from bridge.flow.settling.refusal_log import RefusalLog

PATIENT_TRIES = 4
"""After so many refusals a message is sent alone, where that costs the others nothing and a fresh channel may help."""


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


@dataclass(frozen=True, slots=True)
class LeftMessages:
    """Messages that the broker refuses for now, in order, and since when it has refused any (event loop time)."""

    messages: tuple[OutboundMessage, ...]
    since_s: float


class Outbox:
    """Hands an event's messages to the publisher and keeps account. It is the publisher's receipt for them.

    `ended` are the outbounds to which `interaction-complete` was handed over: a queue of theirs may have it even where
    another refused it. `refusal` is the broker's last refusal, `hopeless`: one of them is for good.
    """

    def __init__(self, publisher: Publisher, backoff: Backoff, log: RefusalLog) -> None:
        self.counts = Counts()
        self.ended: set[int] = set()
        self.refusal = ""
        self.hopeless = False
        self._publisher = publisher
        self._backoff = backoff
        self._log = log
        self._tries: dict[OutboundMessage, Refusals] = {}
        self._retries: dict[OutboundMessage, asyncio.TimerHandle] = {}
        """Those that were refused and wait for another try."""
        self._since_s: float | None = None
        self._given_up: set[str] = set()
        self._unconfirmed = 0
        self._error: str | None = None
        self._forgotten = False
        self._changed: asyncio.Event | None = None

    @property
    def waiting(self) -> int:
        """How many messages were refused, and wait for another try."""
        return len(self._retries)

    def put(self, messages: Sequence[OutboundMessage]) -> None:
        """Hand messages over, in order, without waiting."""
        self._unconfirmed += len(messages)
        self.counts.published += len(messages)
        self.ended.update([message.to.outbound for message in messages if message.to.type == COMPLETE])
        self._publisher.publish(messages, self)

    def refused_since(self, since_s: float) -> None:
        """Reckon all that is refused from now on as refused since then (event loop time)."""
        self._since_s = since_s

    async def all_confirmed(self) -> None:
        """Return when the broker has confirmed everything that was put. Raises Undeliverable where it will not."""
        await self._until(0)

    async def resolved(self) -> None:
        """Return when everything is confirmed, but for what was refused and waits for another try.

        Raises Undeliverable where there is none.
        """
        await self._until(None)

    async def _until(self, left: int | None) -> None:
        while self._error is None and self._unconfirmed > (len(self._retries) if left is None else left):
            # Made only where somebody waits: `confirmed` runs for every line of every stream, and must cost nothing.
            self._changed = asyncio.Event()
            await self._changed.wait()
        if self._error is not None:
            raise Undeliverable(self._error)

    def forgive(self) -> None:
        """Raise no more for what was refused for good so far."""
        self._error = None

    def gave_up(self, message_id: str) -> bool:
        """True where this one was refused for good."""
        return message_id in self._given_up

    def leave(self) -> LeftMessages:
        """Publish no more here of what was refused and waits for another try; returns that."""
        left = tuple(message for message in self._tries if message in self._retries)
        since_s = min((self._tries[message].since_s for message in left), default=asyncio.get_running_loop().time())
        for message in left:
            self._retries.pop(message).cancel()
            del self._tries[message]
        self._unconfirmed -= len(left)
        return LeftMessages(left, since_s)

    def confirmed(self, messages: Sequence[OutboundMessage]) -> None:
        if self._tries:
            for message in messages:
                self._tries.pop(message, None)
        self._unconfirmed -= len(messages)
        if self._changed is not None and self._unconfirmed <= len(self._retries):
            self._changed.set()

    def refused(self, message: OutboundMessage, refusal: PublishRefusal) -> None:
        self.counts.refused += 1
        self.refusal = f"{message.exchange} refused {message.routing_key}: {refusal.error}"
        wait_s = self._wait_s(message) if refusal.kind.passes else None
        self._log.warning(
            "publish.refused",
            message.exchange,
            message.routing_key,
            refusal.kind,
            message_id=message.message_id,
            error=refusal.error,
            again_in_s=wait_s,
        )
        if wait_s is None:
            self._give_up(message, refusal)
        else:
            alone = refusal.kind.closes or self._tries[message].times >= PATIENT_TRIES
            self._retries[message] = asyncio.get_running_loop().call_later(wait_s, self._again, message, alone)
        if self._changed is not None:
            self._changed.set()

    def lost(self, message: OutboundMessage) -> None:
        self.counts.lost += 1

    def forget(self) -> None:
        """Publish no more of this event here: somebody else sees to it."""
        self._forgotten = True
        self._publisher.forget(self)

    def _give_up(self, message: OutboundMessage, refusal: PublishRefusal) -> None:
        self._tries.pop(message, None)
        self._given_up.add(message.message_id)
        self._error = self.refusal
        self.hopeless |= not refusal.kind.passes
        self._unconfirmed -= 1  # it never will be: who waits for the others must not wait for it

    def _again(self, message: OutboundMessage, alone: bool) -> None:
        del self._retries[message]
        if not self._forgotten:
            self._publisher.publish((message,), self, alone=alone)

    def _wait_s(self, message: OutboundMessage) -> float | None:
        """How long a message that was refused waits; None once it has been for too long."""
        now_s = asyncio.get_running_loop().time()
        tries = self._tries.setdefault(message, Refusals(now_s if self._since_s is None else self._since_s))
        tries.times += 1
        return self._backoff.republish(tries.times, now_s - tries.since_s)
