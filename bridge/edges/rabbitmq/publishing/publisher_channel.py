"""Waiting and unconfirmed messages of one publishing channel, and the search for the one that closes it.

normal        a window of messages flies; confirms settle them
closed        the broker closed the channel over one of those that flew: all of them are suspects, on a fresh channel
halves        half as many suspects fly together as when the channel was closed last; confirmed, they are cleared, and
              twice as many fly next
one by one    a suspect flies alone: confirmed, it is cleared; closing the channel again, it is refused

So one culprit among N costs some 2 log N channels and not N round trips, and stands alone before it is blamed. Where
the whole connection was closed there are no halves: each would cost another connection.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

from bridge.core.answer.outbound_message import OutboundMessage
from bridge.core.broker.publish_refusal import NACKED, PublishRefusal, RefusalKind
from bridge.edges.rabbitmq.publishing.confirms import PublishChannel
from bridge.edges.rabbitmq.publishing.frames import UNWRITABLE, FrameEncoder, Piece
from bridge.flow.ports.broker import Receipt

WINDOW = 4_096
WINDOW_BYTES = 16 * 1024 * 1024
"""Unconfirmed messages on one channel, at the most."""
BATCH_BYTES = 256 * 1024

Pending = tuple[OutboundMessage, Receipt, int]
"""A message, whom to tell, and the bytes of its body."""


class ChannelOwner(Protocol):
    """The publisher, as its pipes see it."""

    def settled(self, over: list[Pending], refusal: PublishRefusal | None, unrouted: set[str]) -> None:
        """The fate of these is known: refused, all of them or those that came back, or else confirmed."""

    def pump(self, publisher_channel: "PublisherChannel") -> None:
        """Write what waits, soon; on another channel where the pipe has none any more."""

    def cleared(self) -> None:
        """A pipe has no suspects any more."""

    def broken(self, reason: str) -> None:
        """All counting is in doubt, and so is the generation."""


@dataclass(slots=True, eq=False)
class PublisherChannel:
    """One publishing channel: what waits, and what flies, oldest first. The first that flies has tag `first_tag`.

    None stands for one whose fate was known before that of an earlier one. `ids` are those of the mandatory messages
    that fly, since no others come back, `unrouted` those of them that came back; `batches` are, for each write, the tag
    after its last and when it was (event loop time). `suspects` counts how many of those that wait or fly, from the
    front, go apart from the rest: `together` of them at once, one by one where it is 1; where it `grows`, twice as many
    each time. With `always_alone` all messages go one by one. `blame` is what the broker said as it closed the whole
    connection. `nacked`: something on the channel, which was opened at `opened_s` (event loop time), was refused by
    nack.
    """

    owner: ChannelOwner
    index: int
    always_alone: bool = False
    waiting: deque[Pending] = field(default_factory=deque)
    flying: deque[Pending | None] = field(default_factory=deque)
    ids: set[str] = field(default_factory=set)
    unrouted: set[str] = field(default_factory=set)
    batches: deque[tuple[int, float]] = field(default_factory=deque)
    first_tag: int = 1
    flying_bytes: int = 0
    suspects: int = 0
    together: int = 1
    grows: bool = False
    scheduled: bool = False
    writing: bool = False
    opening: bool = False
    channel: PublishChannel | None = None
    encoder: FrameEncoder | None = None
    blame: PublishRefusal | None = None
    opened_s: float = 0.0
    nacked: bool = False

    @property
    def one_by_one(self) -> bool:
        """True where no more than one flies, so that a close names its culprit, unless the channel goes by halves."""
        return self.always_alone or self.suspects > 0

    def opened(self, channel: PublishChannel, encoder: FrameEncoder, now_s: float) -> None:
        """Publish on this fresh channel from now on; its delivery tags count from 1."""
        self.channel, self.encoder, self.first_tag = channel, encoder, 1
        self.opened_s, self.nacked = now_s, False
        self.opening = self.writing = False

    def confirmed(self, delivery_tag: int, *, multiple: bool, acked: bool) -> None:
        """A confirm of the broker; see ConfirmListener."""
        flying = self.flying
        last = delivery_tag - self.first_tag if delivery_tag else len(flying) - 1
        if not 0 <= last < len(flying):
            self.owner.broken(f"the broker confirmed delivery tag {delivery_tag}, which was not outstanding")
            return
        if multiple:
            settled = [flying.popleft() for _ in range(last + 1)]
            self.first_tag += last + 1
        else:
            settled = [flying[last]]
            flying[last] = None
        while flying and flying[0] is None:
            flying.popleft()
            self.first_tag += 1
        while self.batches and self.batches[0][0] <= self.first_tag:
            self.batches.popleft()
        over = [pending for pending in settled if pending is not None]
        if self.ids:
            self.ids.difference_update([message.message_id for message, _, _ in over])
        self.flying_bytes -= sum([size for _, _, size in over])
        if self.suspects:
            self._cleared(len(over))
        if self.grows and not flying:
            self.together = min(2 * self.together, WINDOW)
        self.nacked |= not acked
        self.owner.settled(over, None if acked else NACKED, self.unrouted)
        self.owner.pump(self)

    def returned(self, message_id: str | None) -> None:
        """A return of the broker; see ConfirmListener."""
        if (message_id or "") in self.ids:
            self.unrouted.add(message_id or "")

    def closed(self, refusal: PublishRefusal | None, words: str) -> None:
        """The broker has closed the channel; see ConfirmListener. Nothing of it may be written or counted any more."""
        if self.channel is not None:
            self.channel.silence()
        lost = self.take_back()
        if not lost or refusal is None:
            self.waiting.extendleft(reversed(lost))
            self.owner.broken(f"publishing channel {self.index} closed: {words}")
        elif self.one_by_one and len(lost) == 1:
            self._cleared(1)
            self.owner.settled(lost, refusal, set())
            self.owner.pump(self)
        else:
            self.suspect(lost, halves=True)
            self.owner.pump(self)

    def blamed(self, refusal: PublishRefusal) -> None:
        """See ConfirmListener."""
        self.blame = refusal

    def suspect(self, lost: list[Pending], *, halves: bool = False) -> None:
        """Publish these again, first, and one by one or in halves."""
        self.waiting.extendleft(reversed(lost))
        self.suspects = max(self.suspects, len(lost))
        self.together, self.grows = max(1, len(lost) // 2) if halves else 1, halves
        for message, receipt, _ in lost:
            receipt.lost(message)

    def withdraw(self, message: OutboundMessage) -> int | None:
        """Forget a message that waits; gives the bytes of its body, None where it does not wait here."""
        for place, pending in enumerate(self.waiting):
            if pending[0] is message:
                del self.waiting[place]
                if place < self.suspects - len(self.flying):
                    self._cleared(1)
                return pending[2]
        return None

    def withdraw_all(self, meant: Callable[[OutboundMessage], bool]) -> list[Pending]:
        """Forget those that wait and are meant; returns them, in order."""
        alike = [pending for pending in self.waiting if meant(pending[0])]
        if alike:
            taken = {pending[0] for pending in alike}
            suspects = max(0, self.suspects - len(self.flying))
            among = sum(pending[0] in taken for pending in islice(self.waiting, suspects))
            self.waiting = deque(pending for pending in self.waiting if pending[0] not in taken)
            self._cleared(among)
        return alike

    def take_back(self) -> list[Pending]:
        """Give up the channel; returns what flew on it."""
        lost = [pending for pending in self.flying if pending is not None]
        self.flying.clear()
        self.ids.clear()
        self.unrouted.clear()
        self.batches.clear()
        self.channel, self.encoder, self.flying_bytes = None, None, 0
        self.writing = self.opening = False
        return lost

    def give_up(self) -> list[Pending]:
        """Forget what waits, suspects or not; returns it."""
        waiting = list(self.waiting)
        self.waiting.clear()
        self.suspects = 0
        return waiting

    def batch(self, now_s: float, refuse: Callable[[Pending, PublishRefusal], None]) -> bytes:
        """The frames of what may be written now, which flies from here on. What cannot be written is refused."""
        waiting, flying, ids, encoder = self.waiting, self.flying, self.ids, self.encoder
        if encoder is None:
            return b""
        window = WINDOW
        if self.one_by_one:
            if flying:
                return b""  # what flies together is told of before the next ones fly
            window = 1 if self.always_alone else min(self.together, self.suspects)
        room, room_bytes, batch_bytes = window - len(flying), WINDOW_BYTES - self.flying_bytes, BATCH_BYTES
        parts: list[Piece] = []
        while waiting and room > 0 and room_bytes > 0 and batch_bytes > 0:
            message, _, size = pending = waiting.popleft()
            mandatory = message.to.mandatory
            if mandatory and message.message_id in ids:
                waiting.appendleft(pending)
                break  # returns go by id: the other one of this id must have been told of first
            try:
                written = encoder.publish(message, parts)
            except UNWRITABLE as error:
                self._cleared(1)
                refuse(pending, PublishRefusal(RefusalKind.IMPOSSIBLE, f"it cannot be written as AMQP: {error}"))
                continue
            flying.append(pending)
            if mandatory:
                ids.add(message.message_id)
            room, room_bytes, batch_bytes = room - 1, room_bytes - size, batch_bytes - written
        if parts:
            self.batches.append((self.first_tag + len(flying), now_s))
        self.flying_bytes = WINDOW_BYTES - room_bytes
        return b"".join(parts)

    def _cleared(self, number: int) -> None:
        """Count suspects that are dealt with."""
        if self.suspects:
            self.suspects = max(0, self.suspects - number)
            if not self.suspects:
                self.owner.cleared()
