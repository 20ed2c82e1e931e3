"""Who wants the consumer to hold back: what the flow asks of it, and what it has not done yet."""

import asyncio


class ConsumerInbox:
    """The inbox port. The consumer looks at it again whenever `changed` is set, and tells it of starts and acks."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self.paused_queues: frozenset[str] = frozenset()
        """Inbound queues that a person has paused."""
        self._reasons: set[str] = set()
        self._settle_first = 0
        """Deliveries that are still to be taken one at a time."""
        self._began = asyncio.Event()

    @property
    def held_back_by(self) -> list[str]:
        """The reasons for which nothing is consumed; none while everything is."""
        return sorted(self._reasons)

    @property
    def cautious(self) -> bool:
        """True while one delivery at a time is taken."""
        return self._settle_first > 0

    def isolate(self, settlements: int) -> None:
        """See the port."""
        self._settle_first = settlements

    def pause(self, reason: str) -> None:
        """Hold back; see the port."""
        self._reasons.add(reason)
        self.changed.set()

    def resume(self, reason: str) -> None:
        """Let go; see the port."""
        self._reasons.discard(reason)
        self.changed.set()

    def pause_queues(self, queues: frozenset[str]) -> None:
        """Consume all but these; see the port."""
        if queues != self.paused_queues:
            self.paused_queues = queues
            self.changed.set()

    def reasons_for(self, queue: str) -> list[str]:
        """The reasons for which this queue is not consumed."""
        return [*self.held_back_by, *(["paused"] if queue in self.paused_queues else [])]

    async def begun(self) -> None:
        """See the port."""
        await self._began.wait()

    def started(self) -> None:
        """Note that something is consumed from."""
        self._began.set()

    def settled(self) -> None:
        """Note that one delivery has been acknowledged."""
        self._settle_first = max(0, self._settle_first - 1)
