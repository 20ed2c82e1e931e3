"""The publisher of the hot path: all that is handed over in one turn of the loop leaves in one write.

    publish ▸ waiting ▸ encode ▸ one write a turn ▸ RabbitMQ ▸ confirms, also multiple ones, by counting ▸ receipts

**What it bypasses.** `aio_pika.Exchange.publish` and `aiormq.Channel.basic_publish`: a task, three futures, a lock,
some reflection and a drain for each message, which is nearly all of a bridge's CPU. Frames are encoded here
(`frames.py`) and put into aiormq's own write queue; confirms and returns come from aiormq's reader (`confirms.py`).

**What it does not.** Connecting, authentication, TLS, heartbeats, flow of frames, topology and consuming are aiormq's.

**What keeps it right.** The delivery tag of a message is its number on the channel, for only this class publishes
there. A multiple confirm settles all up to its tag. A return names its message by id and comes before that message's
confirm; two messages of one id never fly at once. When the generation ends, what has no confirm goes back to the front,
in order. The promise suite runs the same tests against a publisher of plain library calls and this one, property tests
compare the frames with pamqp's, and the versions of aio-pika, aiormq and pamqp are locked: a new one meets both first.

**One message that the broker will not have** closes the channel, and others flew beside it: `publisher_channel.py` says
how it is found. What may be taken later (403) is published again on a channel of its own, where nobody waits for it.
From then on, what goes to the same exchange under the same routing key goes there at first try: `suspicion.py`.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from itertools import groupby
from operator import itemgetter
from typing import ClassVar

import aio_pika

from bridge.core.answer.outbound_message import Outbound, OutboundMessage
from bridge.core.broker.publish_refusal import UNROUTED, PublishRefusal
from bridge.edges.rabbitmq.generation import BrokerTrouble, Generation, limited
from bridge.edges.rabbitmq.publishing.confirms import PublishChannel, open_publish_channel
from bridge.edges.rabbitmq.publishing.frames import FrameEncoder
from bridge.edges.rabbitmq.publishing.publisher_channel import Pending, PublisherChannel
from bridge.edges.rabbitmq.publishing.suspicion import Suspicion
from bridge.flow.ports.broker import Receipt

MAX_UNCONFIRMED = 20_000
MAX_UNCONFIRMED_BYTES = 32 * 1024 * 1024
"""Messages that may be handed over and unconfirmed before `room` makes the streams wait."""
ALONE_INDEX = 800
"""The first channel for what may close it again, beyond those of the outbounds, which count from 0."""
ALONES = 8
"""The number of those, one message on each: a round trip or three to a far broker is a long time. An event has one."""
BEHIND_S = 0.005
FRESH_AFTER_S = 5.0
"""How long a channel is used once something on it was refused by nack; then a fresh one, for RabbitMQ remembers of
each channel that a queue was full, also where its limit is gone."""
DRAIN_S = 1.0
"""How long what flies may keep a channel from being replaced: nobody waits for a slow confirm longer than that."""
WHOM = itemgetter(1)


class BatchingPublisher:
    """The publisher port; see the module."""

    new_encoder: ClassVar[type[FrameEncoder]] = FrameEncoder

    def __init__(self, outbounds: tuple[Outbound, ...]) -> None:
        self._blocked = False
        self._publisher_channels = [PublisherChannel(self, index) for index in range(len(outbounds))]
        self._alones = [PublisherChannel(self, ALONE_INDEX + number, always_alone=True) for number in range(ALONES)]
        self._suspicion = Suspicion()
        self._connection: aio_pika.abc.AbstractConnection
        self._generation: Generation | None = None
        self._loop: asyncio.AbstractEventLoop
        self._openings: set[asyncio.Task[None]] = set()
        self._in_turns = False
        """True where the connection was closed over a message: then one publisher channel's suspects at a time."""
        self._unconfirmed = 0
        self._unconfirmed_bytes = 0
        self._roomy = asyncio.Event()
        self._roomy.set()
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def blocked(self) -> bool:
        """True while the broker takes nothing from this connection (a resource alarm)."""
        return self._blocked

    def block(self) -> None:
        """The broker takes nothing from this connection for now."""
        self._blocked = True

    def unblock(self) -> None:
        """The broker takes messages again: go on with what waits."""
        self._blocked = False
        self.resume()

    @property
    def unconfirmed(self) -> int:
        """Messages handed over whose fate is open."""
        return self._unconfirmed

    def publish(self, messages: Sequence[OutboundMessage], receipt: Receipt, *, alone: bool = False) -> None:
        """Hand over; see the port."""
        if not messages:
            return
        if alone or self._suspicion.active:
            self._publish_warily(messages, receipt, alone=alone)
            return
        publisher_channels, total = self._publisher_channels, 0
        for message in messages:
            size = len(message.body)
            total += size
            publisher_channels[message.to.outbound].waiting.append((message, receipt, size))
        self._pending(len(messages), total)

    def _publish_warily(self, messages: Sequence[OutboundMessage], receipt: Receipt, *, alone: bool) -> None:
        """Hand over beside the others what may close the channel; see `suspicion.py`."""
        suspicion, loop, total = self._suspicion, asyncio.get_running_loop(), 0
        for message in messages:
            size = len(message.body)
            total += size
            pending = (message, receipt, size)
            if (refusal := suspicion.refusal_of(message, loop.time(), self._aside)) is not None:
                loop.call_soon(self._tell, [pending], refusal, set())
            elif alone or suspicion.is_aside(message, receipt):
                suspicion.goes_aside(message, receipt)
                self._alones[(id(receipt) >> 4) % len(self._alones)].waiting.append(pending)
            else:
                self._publisher_channels[message.to.outbound].waiting.append(pending)
        self._pending(len(messages), total)

    def withdraw(self, message: OutboundMessage) -> None:
        """Forget a message of which nobody wants to hear any more, if it has not been written yet."""
        for publisher_channel in self._all:
            size = publisher_channel.withdraw(message)
            if size is not None:
                self._suspicion.settled(message)
                self._forget(1, size)

    def forget(self, receipt: Receipt) -> None:
        """See the port."""
        for publisher_channel in self._all:
            for message in [message for message, whom, _ in publisher_channel.waiting if whom is receipt]:
                self.withdraw(message)

    @property
    def full(self) -> bool:
        """See the port."""
        return not self._roomy.is_set()

    async def room(self) -> None:
        """See the port."""
        await self._roomy.wait()

    async def drained(self) -> None:
        """Return once nothing is unconfirmed."""
        await self._empty.wait()

    async def attach(self, connection: aio_pika.abc.AbstractConnection, generation: Generation) -> None:
        """Publish through this connection from now on, beginning with what is unconfirmed."""
        self._loop = asyncio.get_running_loop()  # a system call each time in Python 3.11
        self._connection = connection
        for publisher_channel in self._publisher_channels:
            await self._open(publisher_channel, generation)
        self._generation = generation
        self.resume()

    def detach(self) -> None:
        """The generation has ended: what flies is lost to it, and waits for the next one."""
        self._generation = None
        self._blocked = False
        for opening in self._openings:
            opening.cancel()
        self._in_turns = False
        for publisher_channel in self._all:
            if publisher_channel.channel is not None:
                publisher_channel.channel.silence()
            alone, lost = publisher_channel.one_by_one, publisher_channel.take_back()
            refusal, publisher_channel.blame = publisher_channel.blame, None
            if refusal is None:
                self._keep(publisher_channel, lost)
            elif alone and len(lost) == 1:
                publisher_channel.suspects = max(0, publisher_channel.suspects - 1)
                self.settled(lost, refusal, set())
            else:
                publisher_channel.suspect(lost)
            self._in_turns |= refusal is not None

    def resume(self) -> None:
        """Go on with what waits."""
        for publisher_channel in self._all:
            self.pump(publisher_channel)

    def oldest_s(self) -> float | None:
        """Since when (event loop time) the message that has flown longest waits for its confirm; None for none."""
        return min(
            (publisher_channel.batches[0][1] for publisher_channel in self._all if publisher_channel.batches),
            default=None,
        )

    def pump(self, publisher_channel: PublisherChannel) -> None:
        """Write what waits at the end of this turn of the loop, together with what else comes by then."""
        if (
            publisher_channel.waiting
            and not publisher_channel.scheduled
            and not publisher_channel.writing
            and self._generation is not None
        ):
            publisher_channel.scheduled = True
            self._loop.call_soon(self._write, publisher_channel)

    def settled(self, over: list[Pending], refusal: PublishRefusal | None, unrouted: set[str]) -> None:
        """See ChannelOwner."""
        if self._suspicion.active or refusal is not None:
            self._learn(over, refusal)
        self._tell(over, refusal, unrouted)

    def _learn(self, over: list[Pending], refusal: PublishRefusal | None) -> None:
        """See what this fate says of the routing keys; others of a key that is refused as such are so with it."""
        suspicion, now_s = self._suspicion, asyncio.get_running_loop().time()
        for message, _, _ in over:
            suspicion.settled(message)
            if refusal is None:
                suspicion.taken(message)
            elif suspicion.refused(message, refusal, now_s):
                self._refuse_alike(suspicion.falling(message, now_s), refusal)

    def _is_renewed(self, publisher_channel: PublisherChannel, channel: PublishChannel, generation: Generation) -> bool:
        """True where nothing is to be written just now: a fresh channel takes the place of one that met a full queue.

        In order: not before all that flies is confirmed.
        """
        now_s = self._loop.time()
        if not publisher_channel.nacked or now_s - publisher_channel.opened_s < FRESH_AFTER_S:
            return False
        if publisher_channel.flying:
            if now_s - publisher_channel.batches[0][1] > DRAIN_S:
                return False
            self._loop.call_later(BEHIND_S, self.pump, publisher_channel)
            return True
        publisher_channel.take_back()
        publisher_channel.opening = True
        channel.retire()
        self._see_to(self._replaced(publisher_channel, channel, generation))
        return True

    async def _replaced(
        self, publisher_channel: PublisherChannel, channel: PublishChannel, generation: Generation
    ) -> None:
        try:
            await limited(channel.close(), "closing a publishing channel")
        except BrokerTrouble as trouble:
            generation.end(str(trouble))
        else:
            await self._open_again(publisher_channel, generation)

    def _see_to(self, opening: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(opening)
        self._openings.add(task)
        task.add_done_callback(self._openings.discard)

    def _refuse_alike(self, falls: Callable[[OutboundMessage], bool], refusal: PublishRefusal) -> None:
        for publisher_channel in self._all:
            alike = publisher_channel.withdraw_all(falls)
            for other, _, _ in alike:
                self._suspicion.settled(other)
            if alike:
                self._loop.call_soon(self._tell, alike, refusal, set())

    def _tell(self, over: list[Pending], refusal: PublishRefusal | None, unrouted: set[str]) -> None:
        """Tell the receipts."""
        self._forget(len(over), sum([size for _, _, size in over]))
        if refusal is None and not unrouted:
            for receipt, pending in groupby(over, WHOM):
                receipt.confirmed([message for message, _, _ in pending])
            return
        for message, receipt, _ in over:
            if message.message_id in unrouted:
                unrouted.remove(message.message_id)
                receipt.refused(message, refusal or UNROUTED)
            elif refusal is None:
                receipt.confirmed((message,))
            else:
                receipt.refused(message, refusal)

    def cleared(self) -> None:
        """See ChannelOwner."""
        if self._in_turns:
            self._in_turns = any(publisher_channel.suspects for publisher_channel in self._all)
            self.resume()

    def broken(self, reason: str) -> None:
        """See ChannelOwner."""
        if self._generation is not None:
            self._generation.end(reason)

    @property
    def _all(self) -> list[PublisherChannel]:
        return [*self._publisher_channels, *self._alones]

    @property
    def _aside(self) -> int:
        """How many messages wait beside the others."""
        return sum(len(alone.waiting) for alone in self._alones)

    def _keep(self, publisher_channel: PublisherChannel, lost: list[Pending]) -> None:
        """Publish again, in order, what a lost connection has left open."""
        publisher_channel.waiting.extendleft(reversed(lost))
        for message, receipt, _ in lost:
            receipt.lost(message)

    def _pending(self, count: int, size: int) -> None:
        """Count so many more messages that wait, of so many bytes together."""
        if not self._unconfirmed:
            self._empty.clear()
        self._unconfirmed += count
        self._unconfirmed_bytes += size
        if self._unconfirmed > MAX_UNCONFIRMED or self._unconfirmed_bytes > MAX_UNCONFIRMED_BYTES:
            self._roomy.clear()
        self.resume()

    def _forget(self, count: int, size: int) -> None:
        """Count so many fewer that are unconfirmed, of so many bytes together."""
        self._unconfirmed -= count
        self._unconfirmed_bytes -= size
        if self._unconfirmed <= MAX_UNCONFIRMED and self._unconfirmed_bytes <= MAX_UNCONFIRMED_BYTES:
            self._roomy.set()
        if not self._unconfirmed:
            self._empty.set()

    def _write(self, publisher_channel: PublisherChannel) -> None:
        publisher_channel.scheduled = False
        generation, channel = self._generation, publisher_channel.channel
        if (
            generation is None
            or not generation.alive
            or publisher_channel.writing
            or self._blocked
            or self._waits_its_turn(publisher_channel)
        ):
            return
        if channel is None:
            self._open_soon(publisher_channel, generation)
            return
        if channel.behind:
            self._loop.call_later(BEHIND_S, self.pump, publisher_channel)
            return
        if publisher_channel.nacked and self._is_renewed(publisher_channel, channel, generation):
            return
        payload = publisher_channel.batch(self._loop.time(), self._unwritable)
        if not payload:
            return
        try:
            written = channel.send(payload)
        except (asyncio.QueueFull, RuntimeError) as error:
            generation.end(f"publishing failed: {type(error).__name__}: {error}")
            return
        publisher_channel.writing = True
        written.add_done_callback(lambda _: self._written(publisher_channel, channel))

    def _written(self, publisher_channel: PublisherChannel, channel: object) -> None:
        """The socket has taken the last batch. Until then the next one grows: that is what makes batches."""
        if channel is publisher_channel.channel:
            publisher_channel.writing = False
            self.pump(publisher_channel)

    def _unwritable(self, pending: Pending, refusal: PublishRefusal) -> None:
        self._loop.call_soon(self.settled, [pending], refusal, set())

    def _waits_its_turn(self, publisher_channel: PublisherChannel) -> bool:
        """True where another publisher channel is one by one: the next connection that is closed names its culprit."""
        if not self._in_turns or not publisher_channel.one_by_one:
            return False
        return any(
            other.suspects and other is not publisher_channel
            for other in self._all[: self._all.index(publisher_channel)]
        )

    def _open_soon(self, publisher_channel: PublisherChannel, generation: Generation) -> None:
        """Open another channel for what waits."""
        if not publisher_channel.opening:
            publisher_channel.opening = True
            self._see_to(self._open_again(publisher_channel, generation))

    async def _open_again(self, publisher_channel: PublisherChannel, generation: Generation) -> None:
        try:
            await self._open(publisher_channel, generation)
        except BrokerTrouble as trouble:
            generation.end(str(trouble))
            return
        self.pump(publisher_channel)

    async def _open(self, publisher_channel: PublisherChannel, generation: Generation) -> None:
        channel = await open_publish_channel(self._connection, generation, publisher_channel.index, publisher_channel)
        encoder = self.new_encoder(channel.number, channel.frame_max)
        publisher_channel.opened(channel, encoder, self._loop.time())
