"""How long the events of a lane wait for one that does not come back (docs/semantics.md, Lanes)."""

import asyncio
from math import inf

from bridge.core.lanes.counted_time import CountedTime
from bridge.flow.ports.broker import Backlog
from bridge.flow.ports.runtime import loop_time

LOST_AFTER_S = 600.0
LOOK_EVERY_S = 60.0


class LostEvents:
    """The time that counts towards a loss. Nothing counts before `watch` has looked."""

    def __init__(self, after_s: float = LOST_AFTER_S) -> None:
        self._counted = CountedTime(after_s)

    @property
    def before_s(self) -> float:
        """The moment (event loop time) such that what should have been back before it is lost; -inf for nothing."""
        return self._counted.began_s(loop_time())

    @property
    def age_s(self) -> float:
        """The same as an age in seconds; inf for nothing."""
        return inf if self.before_s == -inf else loop_time() - self.before_s

    def look(self, *, short: bool) -> None:
        """The inbounds are consumed, with a backlog that is shorter than the prefetch; or not."""
        self._counted.look(loop_time(), counts=short)

    async def watch(self, backlog: Backlog) -> None:
        """Look again and again, until cancelled."""
        while True:
            self.look(short=await backlog.short())
            await asyncio.sleep(min(LOOK_EVERY_S, self._counted.span_s / 2))
