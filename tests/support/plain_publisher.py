"""The publisher that the fast one is compared with: plain aiormq calls, a task a message, one channel an outbound.

Each outbound is a pipe: what waits, and what is in flight, in order. When a generation ends, what was in flight goes
back to the front of its pipe, so that the next generation publishes from the first unconfirmed message on.
"""

import asyncio
import struct
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import aio_pika
from aiormq import Channel as Underlay
from aiormq.exceptions import DeliveryError, PublishError

from bridge.core.answer.outbound_message import Outbound, OutboundMessage
from bridge.core.broker.publish_refusal import NACKED, UNROUTED, PublishRefusal, RefusalKind
from bridge.edges.rabbitmq.generation import Generation, describe, open_channel
from bridge.edges.rabbitmq.properties import of_outbound
from bridge.edges.rabbitmq.publishing.batching import MAX_UNCONFIRMED, MAX_UNCONFIRMED_BYTES
from bridge.flow.ports.broker import Receipt

WINDOW = 256
"""Messages in flight on one channel: aiormq walks through all of them at every multiple confirm."""


@dataclass(slots=True, eq=False)
class Pending:
    """A message that was handed over, and who wants to know what becomes of it."""

    message: OutboundMessage
    receipt: Receipt
    sent_s: float = 0.0


@dataclass(slots=True, eq=False)
class PublisherChannel:
    """The messages of one outbound, in order: those in flight, keyed by message id, then those that wait."""

    channel: Underlay | None = None
    waiting: deque[Pending] = field(default_factory=deque)
    flying: OrderedDict[str, Pending] = field(default_factory=OrderedDict)


class PlainPublisher:
    """The publisher port over aiormq's own `basic_publish`."""

    def __init__(self, outbounds: tuple[Outbound, ...]) -> None:
        self.blocked = False
        self._pipes = [PublisherChannel() for _ in outbounds]
        self._generation: Generation | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._unconfirmed = 0
        self._unconfirmed_bytes = 0
        self._roomy = asyncio.Event()
        self._roomy.set()
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def unconfirmed(self) -> int:
        """Messages handed over whose fate is open."""
        return self._unconfirmed

    def publish(self, messages: Sequence[OutboundMessage], receipt: Receipt, *, alone: bool = False) -> None:
        """Hand over; see the port."""
        for message in messages:
            self._count(1, message)
            self._pipes[message.to.outbound].waiting.append(Pending(message, receipt))
        self.resume()

    def forget(self, receipt: Receipt) -> None:
        """See the port."""
        for pipe in self._pipes:
            for handed in [handed for handed in pipe.waiting if handed.receipt is receipt]:
                pipe.waiting.remove(handed)
                self._count(-1, handed.message)

    @property
    def full(self) -> bool:
        """See the port."""
        return not self._roomy.is_set()

    async def room(self) -> None:
        """Return once little enough is unconfirmed."""
        await self._roomy.wait()

    async def drained(self) -> None:
        """Return once nothing is unconfirmed."""
        await self._empty.wait()

    async def attach(self, connection: aio_pika.abc.AbstractConnection, generation: Generation) -> None:
        """Publish through this connection from now on, beginning with what is unconfirmed."""
        for index, pipe in enumerate(self._pipes):
            _, pipe.channel, _ = await open_channel(connection, generation, f"publishing channel {index}")
        self._generation = generation
        self.resume()

    def detach(self) -> None:
        """The generation has ended: what is in flight is lost to it, and waits for the next one."""
        self._generation = None
        self.blocked = False
        for pipe in self._pipes:
            pipe.channel = None
            flying = list(pipe.flying.values())
            pipe.flying.clear()
            pipe.waiting.extendleft(reversed(flying))
            for handed in flying:
                handed.receipt.lost(handed.message)

    def block(self) -> None:
        """Send nothing for now."""
        self.blocked = True

    def unblock(self) -> None:
        """Go on with what waits."""
        self.blocked = False
        self.resume()

    def resume(self) -> None:
        """Go on with what waits."""
        for pipe in self._pipes:
            self._pump(pipe)

    def oldest_s(self) -> float | None:
        """Since when (event loop time) the message that has flown longest waits for its confirm; None for none."""
        oldest = [next(iter(pipe.flying.values())).sent_s for pipe in self._pipes if pipe.flying]
        return min(oldest, default=None)

    def _pump(self, pipe: PublisherChannel) -> None:
        """Send what waits, as far as the window goes. Two of the same id never fly on one channel: returns go by id."""
        generation = self._generation
        while (
            generation is not None
            and generation.alive
            and pipe.waiting
            and len(pipe.flying) < WINDOW
            and not self.blocked
        ):
            handed = pipe.waiting[0]
            if handed.message.message_id in pipe.flying or pipe.channel is None:
                return
            pipe.flying[handed.message.message_id] = pipe.waiting.popleft()
            handed.sent_s = asyncio.get_running_loop().time()
            task = asyncio.get_running_loop().create_task(self._send(pipe.channel, pipe, handed, generation))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _send(self, channel: Underlay, pipe: PublisherChannel, handed: Pending, generation: Generation) -> None:
        message = handed.message
        try:
            await channel.basic_publish(
                message.body,
                exchange=message.exchange,
                routing_key=message.routing_key,
                properties=of_outbound(message),
                mandatory=message.mandatory,
                wait=False,
            )
        except PublishError:
            self._told(pipe, handed, generation, UNROUTED)
        except DeliveryError:
            self._told(pipe, handed, generation, NACKED)
        except (TypeError, ValueError, OverflowError, struct.error) as error:
            self._told(pipe, handed, generation, PublishRefusal(RefusalKind.IMPOSSIBLE, f"as AMQP: {error}"))
        except (Exception, asyncio.CancelledError) as error:
            generation.end(f"publishing failed: {describe(error)}")  # unknown: it flies on until `detach`
        else:
            self._told(pipe, handed, generation, None)

    def _told(
        self, pipe: PublisherChannel, handed: Pending, generation: Generation, refusal: PublishRefusal | None
    ) -> None:
        if generation is not self._generation:
            return  # already back in its pipe, to be published again
        del pipe.flying[handed.message.message_id]
        self._count(-1, handed.message)
        if refusal is None:
            handed.receipt.confirmed((handed.message,))
        else:
            handed.receipt.refused(handed.message, refusal)
        self._pump(pipe)

    def _count(self, change: int, message: OutboundMessage) -> None:
        self._unconfirmed += change
        self._unconfirmed_bytes += change * len(message.body)
        full = self._unconfirmed > MAX_UNCONFIRMED or self._unconfirmed_bytes > MAX_UNCONFIRMED_BYTES
        _set(self._roomy, not full)
        _set(self._empty, not self._unconfirmed)


def _set(event: asyncio.Event, value: bool) -> None:
    if value:
        event.set()
    else:
        event.clear()
