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
class Handed:
    message: OutboundMessage
    receipt: Receipt


@dataclass(eq=False)
class Pipe:
    waiting: deque[Handed] = field(default_factory=deque)
    flying: list[Handed] = field(default_factory=list)


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
        self._pipes: dict[int, Pipe] = {}
        self._refusals: list[Refusal] = []
        self._room = asyncio.Event()
        self._room.set()

    def publish(self, messages: Sequence[OutboundMessage], receipt: Receipt, *, alone: bool = False) -> None:
        if alone:
            self.alone += messages
        for message in messages:
            self._trace.append(("handed", message))
            self._pipes.setdefault(message.to.outbound, Pipe()).waiting.append(Handed(message, receipt))
        self._pump()

    def forget(self, receipt: Receipt) -> None:
        for pipe in self._pipes.values():
            forgotten = [handed for handed in pipe.waiting if handed.receipt is receipt]
            self._trace += [("forgotten", handed.message) for handed in forgotten]
            pipe.waiting = deque(handed for handed in pipe.waiting if handed.receipt is not receipt)

    @property
    def full(self) -> bool:
        return not self._room.is_set()

    async def room(self) -> None:
        await self._room.wait()

    @property
    def unconfirmed(self) -> list[OutboundMessage]:
        """What was handed over and whose fate is open."""
        return [handed.message for pipe in self._pipes.values() for handed in (*pipe.flying, *pipe.waiting)]

    def hold(self) -> None:
        """Confirm nothing by itself from now on."""
        self._confirms = False

    def release(self) -> None:
        """Confirm what is in flight, and everything from now on."""
        self._confirms = True
        for pipe in self._pipes.values():
            for handed in pipe.flying:
                self._soon(pipe, handed)

    def confirm(self, times: int = 1) -> None:
        """Confirm (or refuse, where that was told) the oldest messages in flight of each outbound."""
        for pipe in self._pipes.values():
            for handed in pipe.flying[:times]:
                self._tell(pipe, handed)

    def refuse(
        self, times: int = 1, refusal: PublishRefusal = NACKED, concerns: Concerns = lambda message: True
    ) -> None:
        """Refuse so many of the messages that it concerns, as the next ones come to be told."""
        self._refusals.append(Refusal(times, refusal, concerns))

    def lose(self) -> None:
        """The connection goes: what is in flight is lost to it, and waits at the front for the next one."""
        self.connected = False
        for pipe in self._pipes.values():
            lost, pipe.flying = pipe.flying, []
            pipe.waiting.extendleft(reversed(lost))
            for handed in lost:
                handed.receipt.lost(handed.message)

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
        for pipe in self._pipes.values():
            while self.connected and pipe.waiting:
                handed = pipe.waiting[0]
                if any(flying.message.message_id == handed.message.message_id for flying in pipe.flying):
                    break  # two of one id never fly at once: returns are matched by it
                pipe.flying.append(pipe.waiting.popleft())
                self.sent.append(handed.message)
                if self._confirms:
                    self._soon(pipe, handed)

    def _soon(self, pipe: Pipe, handed: Handed) -> None:
        asyncio.get_running_loop().call_soon(self._tell, pipe, handed)

    def _tell(self, pipe: Pipe, handed: Handed) -> None:
        if handed not in pipe.flying or not self.connected:
            return  # lost meanwhile: it is told about when it has been published again
        pipe.flying.remove(handed)
        refusal = next((each for each in self._refusals if each.times and each.concerns(handed.message)), None)
        if refusal is None:
            self.confirmed.append(handed.message)
            self._trace.append(("confirmed", handed.message))
            handed.receipt.confirmed((handed.message,))
        else:
            refusal.times -= 1
            self.refused.append(handed.message)
            passes = refusal.refusal.kind.passes
            self._trace.append(("refused" if passes else "refused for good", handed.message))
            handed.receipt.refused(handed.message, refusal.refusal)
        self._pump()
