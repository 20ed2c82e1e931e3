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
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter

import aio_pika

from bridge.core.outbound import Outbound, OutboundMessage
from bridge.edges.rabbitmq.confirms import PublishChannel, open_publish_channel
from bridge.edges.rabbitmq.frames import UNWRITABLE, FrameEncoder, Piece
from bridge.edges.rabbitmq.generation import Generation
from bridge.flow.ports import Receipt

WINDOW = 4_096
WINDOW_BYTES = 16 * 1024 * 1024
"""What flies on one channel at the most."""
BATCH_BYTES = 256 * 1024
MOST_UNCONFIRMED = 20_000
MOST_UNCONFIRMED_BYTES = 32 * 1024 * 1024
"""What may be handed over and unconfirmed before `room` makes the streams wait."""
NACKED = "the broker refused it (basic.nack)"
UNROUTED = "no queue takes it"


Handed = tuple[OutboundMessage, Receipt, int]
"""A message, whom to tell, and the bytes of its body."""
WHOM = itemgetter(1)


@dataclass(slots=True, eq=False)
class Pipe:
    """One outbound: what waits, and what flies, oldest first. The first that flies has delivery tag `first_tag`.

    None stands for one whose fate was known before that of an earlier one. `ids` are those of the messages that fly,
    `unrouted` those of them that came back; `batches` are, for each write, the tag after its last and when it was
    (event loop time).
    """

    owner: "BatchingPublisher"
    index: int
    waiting: deque[Handed] = field(default_factory=deque)
    flying: deque[Handed | None] = field(default_factory=deque)
    ids: set[str] = field(default_factory=set)
    unrouted: set[str] = field(default_factory=set)
    batches: deque[tuple[int, float]] = field(default_factory=deque)
    first_tag: int = 1
    flying_bytes: int = 0
    scheduled: bool = False
    writing: bool = False
    channel: PublishChannel | None = None
    encoder: FrameEncoder | None = None

    def told(self, delivery_tag: int, *, multiple: bool, acked: bool) -> None:
        """A confirm of the broker; see Teller."""
        flying = self.flying
        last = delivery_tag - self.first_tag if delivery_tag else len(flying) - 1
        if not 0 <= last < len(flying):
            self.owner.miscounted(delivery_tag)
            return
        if multiple:
            found = [flying.popleft() for _ in range(last + 1)]
            self.first_tag += last + 1
        else:
            found = [flying[last]]
            flying[last] = None
        while flying and flying[0] is None:
            flying.popleft()
            self.first_tag += 1
        while self.batches and self.batches[0][0] <= self.first_tag:
            self.batches.popleft()
        over = [handed for handed in found if handed is not None]
        self.ids.difference_update([message.message_id for message, _, _ in over])
        self.flying_bytes -= sum([size for _, _, size in over])
        self.owner.settled(over, None if acked else NACKED, self.unrouted)
        self.owner.pump(self)

    def returned(self, message_id: str | None) -> None:
        """A return of the broker; see Teller."""
        if message_id is not None and message_id in self.ids:
            self.unrouted.add(message_id)


class BatchingPublisher:
    """The publisher port; see the module."""

    def __init__(self, outbounds: tuple[Outbound, ...]) -> None:
        self.blocked = False
        self._pipes = [Pipe(self, index) for index in range(len(outbounds))]
        self._generation: Generation | None = None
        self._loop: asyncio.AbstractEventLoop
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

    def publish(self, messages: Sequence[OutboundMessage], receipt: Receipt) -> None:
        """Hand over; see the port."""
        if not messages:
            return
        pipes, total = self._pipes, 0
        for message in messages:
            size = len(message.body)
            total += size
            pipes[message.to.outbound].waiting.append((message, receipt, size))
        self._handed(len(messages), total)

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
        for pipe in self._pipes:
            channel = await open_publish_channel(connection, generation, pipe.index, pipe)
            pipe.channel, pipe.encoder, pipe.first_tag = channel, FrameEncoder(channel.number, channel.frame_max), 1
        self._generation = generation
        self.resume()

    def detach(self) -> None:
        """The generation has ended: what flies is lost to it, and waits for the next one."""
        self._generation = None
        for pipe in self._pipes:
            lost = [handed for handed in pipe.flying if handed is not None]
            pipe.waiting.extendleft(reversed(lost))
            pipe.flying.clear()
            pipe.ids.clear()
            pipe.unrouted.clear()
            pipe.batches.clear()
            if pipe.channel is not None:
                pipe.channel.silence()
            pipe.channel, pipe.encoder, pipe.flying_bytes, pipe.writing = None, None, 0, False
            for message, receipt, _ in lost:
                receipt.lost(message)

    def resume(self) -> None:
        """Go on with what waits."""
        for pipe in self._pipes:
            self.pump(pipe)

    def oldest_s(self) -> float | None:
        """Since when (event loop time) the message that has flown longest waits for its confirm; None for none."""
        return min((pipe.batches[0][1] for pipe in self._pipes if pipe.batches), default=None)

    def pump(self, pipe: Pipe) -> None:
        """Write what waits at the end of this turn of the loop, together with what else comes by then."""
        if pipe.waiting and not pipe.scheduled and not pipe.writing and self._generation is not None:
            pipe.scheduled = True
            self._loop.call_soon(self._write, pipe)

    def settled(self, over: list[Handed], refusal: str | None, unrouted: set[str]) -> None:
        """The fate of these is known: refused, all of them or those that came back, or else confirmed."""
        self._unconfirmed -= len(over)
        self._unconfirmed_bytes -= sum([size for _, _, size in over])
        if self._unconfirmed <= MOST_UNCONFIRMED and self._unconfirmed_bytes <= MOST_UNCONFIRMED_BYTES:
            self._roomy.set()
        if not self._unconfirmed:
            self._empty.set()
        if refusal is None and not unrouted:
            for receipt, handed in groupby(over, WHOM):
                receipt.confirmed([message for message, _, _ in handed])
            return
        for message, receipt, _ in over:
            if message.message_id in unrouted:
                unrouted.remove(message.message_id)
                receipt.refused(message, refusal or UNROUTED)
            elif refusal is None:
                receipt.confirmed((message,))
            else:
                receipt.refused(message, refusal)

    def _handed(self, count: int, size: int) -> None:
        """So many more messages wait, of so many bytes together."""
        if not self._unconfirmed:
            self._empty.clear()
        self._unconfirmed += count
        self._unconfirmed_bytes += size
        if self._unconfirmed > MOST_UNCONFIRMED or self._unconfirmed_bytes > MOST_UNCONFIRMED_BYTES:
            self._roomy.clear()
        self.resume()

    def miscounted(self, delivery_tag: int) -> None:
        """A confirm of something that is not on its way: all counting is in doubt, and so is the generation."""
        if self._generation is not None:
            self._generation.end(f"the broker confirmed delivery tag {delivery_tag}, which was not outstanding")

    def _write(self, pipe: Pipe) -> None:
        pipe.scheduled = False
        generation = self._generation
        if generation is None or not generation.alive or pipe.writing or self.blocked:
            return
        if pipe.channel is None or pipe.encoder is None:
            return
        payload = self._batch(pipe, pipe.encoder)
        if not payload:
            return
        try:
            written = pipe.channel.send(payload)
        except (asyncio.QueueFull, RuntimeError) as error:
            generation.end(f"publishing failed: {type(error).__name__}: {error}")
            return
        pipe.writing = True
        written.add_done_callback(lambda _: self._written(pipe, generation))

    def _written(self, pipe: Pipe, generation: Generation) -> None:
        """The socket has taken the last batch. Until then the next one grows: that is what makes batches."""
        if generation is self._generation:
            pipe.writing = False
            self.pump(pipe)

    def _batch(self, pipe: Pipe, encoder: FrameEncoder) -> bytes:
        waiting, flying, ids = pipe.waiting, pipe.flying, pipe.ids
        room, room_bytes, batch_bytes = WINDOW - len(flying), WINDOW_BYTES - pipe.flying_bytes, BATCH_BYTES
        parts: list[Piece] = []
        while waiting and room > 0 and room_bytes > 0 and batch_bytes > 0:
            message, _, size = handed = waiting.popleft()
            if message.message_id in ids:
                waiting.appendleft(handed)
                break  # returns go by id: the other one of this id must have been told of first
            try:
                written = encoder.publish(message, parts)
            except UNWRITABLE as error:
                self._loop.call_soon(self.settled, [handed], f"it cannot be written as AMQP: {error}", set())
                continue
            flying.append(handed)
            ids.add(message.message_id)
            room, room_bytes, batch_bytes = room - 1, room_bytes - size, batch_bytes - written
        if parts:
            pipe.batches.append((pipe.first_tag + len(flying), self._loop.time()))
        pipe.flying_bytes = WINDOW_BYTES - room_bytes
        return b"".join(parts)
