"""A publisher over a broker in memory. Each outbound is a pipe: what waits, and what is in flight, in order."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bridge.core.answer.outbound_message import OutboundMessage
from bridge.core.broker.publish_refusal import NACKED, PublishRefusal
from bridge.flow.ports.broker import Receipt
from tests.support.fakes.broker import Trace

Concerns = Callable[[OutboundMessage], bool]


@dataclass(eq=False)
class Pending:
    message: OutboundMessage
    receipt: Receipt


@dataclass(eq=False)
class PublisherChannel:
    waiting: deque[Pending] = field(default_factory=deque)
    flying: list[Pending] = field(default_factory=list)


@dataclass
class Refusal:
    times: int
    refusal: PublishRefusal
    concerns: Concerns


class FakePublisher:
    """The publisher port. `sent` is what went over the wire, repeats included, in order.

    `confirmed` is what the broker has, `refused` what it would not take, `alone` what came on a channel of its own.
    """

    def __init__(self, trace: Trace | None = None) -> None:
        self.sent: list[OutboundMessage] = []
        self.confirmed: list[OutboundMessage] = []
        self.refused: list[OutboundMessage] = []
        self.alone: list[OutboundMessage] = []
        self.connected = True
        self._confirms = True
        self._trace = trace if trace is not None else []
        self._publisher_channels: dict[int, PublisherChannel] = {}
        self._refusals: list[Refusal] = []
        self._room = asyncio.Event()
        self._room.set()

    def publish(self, messages: Sequence[OutboundMessage], receipt: Receipt, *, alone: bool = False) -> None:
        if alone:
            self.alone += messages
        for message in messages:
            self._trace.append(("handed", message))
            self._publisher_channels.setdefault(message.to.outbound, PublisherChannel()).waiting.append(
                Pending(message, receipt)
            )
        self._pump()

    def forget(self, receipt: Receipt) -> None:
        for publisher_channel in self._publisher_channels.values():
            forgotten = [pending for pending in publisher_channel.waiting if pending.receipt is receipt]
            self._trace += [("forgotten", pending.message) for pending in forgotten]
            publisher_channel.waiting = deque(
                pending for pending in publisher_channel.waiting if pending.receipt is not receipt
            )

    @property
    def full(self) -> bool:
        return not self._room.is_set()

    async def room(self) -> None:
        await self._room.wait()

    @property
    def unconfirmed(self) -> list[OutboundMessage]:
        """What was handed over and whose fate is open."""
        return [
            pending.message
            for publisher_channel in self._publisher_channels.values()
            for pending in (*publisher_channel.flying, *publisher_channel.waiting)
        ]

    def hold(self) -> None:
        """Confirm nothing by itself from now on."""
        self._confirms = False

    def release(self) -> None:
        """Confirm what is in flight, and everything from now on."""
        self._confirms = True
        for publisher_channel in self._publisher_channels.values():
            for pending in publisher_channel.flying:
                self._soon(publisher_channel, pending)

    def confirm(self, times: int = 1) -> None:
        """Confirm (or refuse, where that was told) the oldest messages in flight of each outbound."""
        for publisher_channel in self._publisher_channels.values():
            for pending in publisher_channel.flying[:times]:
                self._tell(publisher_channel, pending)

    def refuse(
        self, times: int = 1, refusal: PublishRefusal = NACKED, concerns: Concerns = lambda message: True
    ) -> None:
        """Refuse so many of the messages that it concerns, as the next ones come to be told."""
        self._refusals.append(Refusal(times, refusal, concerns))

    def take_all(self) -> None:
        """Refuse nothing any more."""
        self._refusals.clear()

    def lose(self) -> None:
        """The connection goes: what is in flight is lost to it, and waits at the front for the next one."""
        self.connected = False
        for publisher_channel in self._publisher_channels.values():
            lost, publisher_channel.flying = publisher_channel.flying, []
            publisher_channel.waiting.extendleft(reversed(lost))
            for pending in lost:
                pending.receipt.lost(pending.message)

    def reconnect(self) -> None:
        """Publish again, from the first unconfirmed message on."""
        self.connected = True
        self._pump()

    def close_room(self) -> None:
        """Too much is unconfirmed."""
        self._room.clear()

    def open_room(self) -> None:
        self._room.set()

    def _pump(self) -> None:
        for publisher_channel in self._publisher_channels.values():
            while self.connected and publisher_channel.waiting:
                pending = publisher_channel.waiting[0]
                if any(flying.message.message_id == pending.message.message_id for flying in publisher_channel.flying):
                    break  # two of one id never fly at once: returns are matched by it
                publisher_channel.flying.append(publisher_channel.waiting.popleft())
                self.sent.append(pending.message)
                if self._confirms:
                    self._soon(publisher_channel, pending)

    def _soon(self, publisher_channel: PublisherChannel, pending: Pending) -> None:
        asyncio.get_running_loop().call_soon(self._tell, publisher_channel, pending)

    def _tell(self, publisher_channel: PublisherChannel, pending: Pending) -> None:
        if pending not in publisher_channel.flying or not self.connected:
            return  # lost meanwhile: it is told about when it has been published again
        publisher_channel.flying.remove(pending)
        refusal = next((each for each in self._refusals if each.times and each.concerns(pending.message)), None)
        if refusal is None:
            self.confirmed.append(pending.message)
            self._trace.append(("confirmed", pending.message))
            pending.receipt.confirmed((pending.message,))
        else:
            refusal.times -= 1
            self.refused.append(pending.message)
            passes = refusal.refusal.kind.passes
            self._trace.append(("refused" if passes else "refused for good", pending.message))
            pending.receipt.refused(pending.message, refusal.refusal)
        self._pump()
