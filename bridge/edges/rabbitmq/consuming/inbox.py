"""Who wants the consumer to hold back: what the flow asks of it, and what it has not done yet."""

import asyncio

from bridge.core.delivery.poison import SETTLED


class ConsumerInbox:
    """The inbox port. The consumer looks at `reasons` and `settle_first` whenever `changed` is set."""

    def __init__(self) -> None:
        self.reasons: set[str] = set()
        self.settle_first = 0
        """Deliveries that are still to be taken one at a time."""
        self.changed = asyncio.Event()
        self.began = asyncio.Event()
        """Set once something has been consumed from, for the first time."""

    @property
    def held_back_by(self) -> list[str]:
        return sorted(self.reasons)

    @property
    def cautious(self) -> bool:
        """True while one delivery at a time is taken."""
        return self.settle_first > 0

    def isolate(self) -> None:
        """See the port; it holds from the next start of a consumer on."""
        self.settle_first = SETTLED

    def pause(self, reason: str) -> None:
        """Hold back; see the port."""
        self.reasons.add(reason)
        self.changed.set()

    def resume(self, reason: str) -> None:
        """Let go; see the port."""
        self.reasons.discard(reason)
        self.changed.set()

    async def begun(self) -> None:
        """See the port."""
        await self.began.wait()
