"""The broker as the flow sees it: deliveries, the consumer that can be held back, copies."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bridge.core.broker.publish_refusal import UNROUTED, PublishRefusal
from bridge.core.broker.republished_copy import RepublishedCopy
from bridge.core.event.inbound_message import InboundMessage
from bridge.flow.ports.broker import Delivery, RepublishRefused

DELAY = "bridge.delay"

Trace = list[tuple[str, Any]]
"""What happened at the fakes that share it, in order.

`handed`, `confirmed`, `refused`, `forgotten`, `copied`, `acked`
"""


@dataclass(eq=False)
class FakeDelivery:
    """The delivery port. `acked` counts acks that went through, `asked` the calls."""

    incoming: InboundMessage
    alive: bool = True
    acked: int = 0
    asked: int = 0
    trace: Trace = field(default_factory=list)

    def ack(self) -> bool:
        self.asked += 1
        if not self.alive or self.acked:
            return False
        self.acked += 1
        self.trace.append(("acked", self))
        return True

    def die(self) -> None:
        """The connection is gone, and the right to ack with it."""
        self.alive = False


class FakeInbox:
    """The inbox port: who holds it back, and what was asked of it."""

    def __init__(self) -> None:
        self.reasons: set[str] = set()
        self.changes: list[tuple[str, str]] = []
        self.paused_queues: frozenset[str] = frozenset()
        self.resumed: Callable[[], None] = lambda: None
        self.began = asyncio.Event()
        """Whether something has been consumed from; cleared for a while by a test."""
        self.began.set()

    @property
    def consuming(self) -> bool:
        return not self.reasons and not self.paused_queues

    def pause(self, reason: str) -> None:
        self.reasons.add(reason)
        self.changes.append(("pause", reason))

    def resume(self, reason: str) -> None:
        self.reasons.discard(reason)
        self.changes.append(("resume", reason))
        if not self.reasons:
            self.resumed()

    def pause_queues(self, queues: frozenset[str]) -> None:
        self.paused_queues = queues
        if self.consuming:
            self.resumed()

    def isolate(self, settlements: int) -> None:
        self.changes.append(("isolate", str(settlements)))

    async def begun(self) -> None:
        await self.began.wait()


def returned(copy: RepublishedCopy, queue: str) -> InboundMessage:
    """The copy as it is delivered, back from the delay exchange."""
    return InboundMessage(copy.body, queue, DELAY, queue, False, copy.properties, copy.headers)


class FakeHeldQueues:
    """The port of held queues; both functions are the test's."""

    def __init__(self, pass_on: Callable[[], int], take: Callable[[], bool]) -> None:
        self._pass_on = pass_on
        self._take = take

    async def take(self, queue: str, receive: Callable[[Delivery], None]) -> bool:
        await asyncio.sleep(0)
        return self._take()

    async def pass_on(self, queue: str, receive: Callable[[Delivery], None]) -> int:
        await asyncio.sleep(0)
        return self._pass_on()


class FakeRepublisher:
    """The republisher port: confirms by itself, unless it is disconnected or told to refuse.

    `broken` holds what the next copies raise although no republisher may.
    """

    def __init__(self, trace: Trace | None = None) -> None:
        self.copies: list[RepublishedCopy] = []
        self.refused: list[RepublishedCopy] = []
        self.arrived: Callable[[RepublishedCopy], None] = lambda copy: None
        self._trace = trace if trace is not None else []
        self.broken: list[Exception] = []
        self._refusals: list[PublishRefusal] = []
        self._concerns: Callable[[RepublishedCopy], bool] = lambda copy: True
        self._twice = 0
        self._connected = asyncio.Event()
        self._connected.set()

    async def copy(self, copy: RepublishedCopy, *, alone: bool = False) -> None:
        await self._connected.wait()
        await asyncio.sleep(0)
        if self.broken:
            raise self.broken.pop(0)
        if self._refusals and self._concerns(copy):
            self.refused.append(copy)
            raise RepublishRefused(self._refusals.pop(0))
        times = 2 if self._twice else 1
        self._twice = max(0, self._twice - 1)
        self._trace.append(("copied", copy))
        for _ in range(times):
            self.copies.append(copy)
            self.arrived(copy)

    def refuse(
        self,
        times: int = 1,
        refusal: PublishRefusal = UNROUTED,
        concerns: Callable[[RepublishedCopy], bool] = lambda copy: True,
    ) -> None:
        """Refuse the next copies that this concerns."""
        self._refusals += [refusal] * times
        self._concerns = concerns

    def take_all(self) -> None:
        """Refuse nothing any more."""
        self._refusals.clear()

    def twice(self, times: int = 1) -> None:
        """The confirm of the next copies gets lost, so each is published, and arrives, twice."""
        self._twice += times

    def disconnect(self) -> None:
        self._connected.clear()

    def reconnect(self) -> None:
        self._connected.set()

    def dead(self, reason: str | None = None) -> list[RepublishedCopy]:
        """The dead letters that were confirmed."""
        return [copy for copy in self.copies if copy.exchange != DELAY and reason in (None, copy.routing_key)]

    @property
    def delayed(self) -> list[RepublishedCopy]:
        """The copies that went to a delay queue."""
        return [copy for copy in self.copies if copy.exchange == DELAY]
