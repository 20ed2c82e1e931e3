"""The rate limits as one process keeps them, in memory."""

import asyncio
import time

from bridge.core.delivery.rate_limits import (
    BRIEF_S,
    CallUnderWay,
    LimitFigures,
    LimitHeaders,
    RateLimits,
)
from bridge.flow.ports.limits import CALLER
from bridge.flow.ports.runtime import Clock

BRIEF_WAITS = 8
"""How many waits for answers that are under way are waited out on the spot."""


class OwnLimits:
    """See the port. `limits` counts what it did; `clock` is this machine's wall clock, for words only."""

    def __init__(self, figures: LimitFigures, clock: Clock = time.time, monotonic: Clock = time.monotonic) -> None:
        self.limits = RateLimits(figures)
        self._clock = clock
        self._monotonic = monotonic

    async def admit(self, user_id: str, operation: str) -> CallUnderWay:
        """A wait that is over with the next answer is waited out on the spot."""
        caller = CALLER.get() or user_id
        tries = 0
        while True:
            call = self.limits.ask(user_id, operation, caller, self._monotonic())
            if isinstance(call, CallUnderWay):
                return call
            tries += 1
            if call.wait_s > BRIEF_S or tries > BRIEF_WAITS:
                raise call.error(operation, self._clock())
            await asyncio.sleep(call.wait_s)

    def answered(self, call: CallUnderWay, headers: LimitHeaders, *, refused_s: float | None = None) -> None:
        """In the log of the call's scope, and in its gate."""
        self.limits.answered(call, self._monotonic(), headers, refused_s=refused_s)

    def lost(self, call: CallUnderWay) -> None:
        """As one that was answered just now."""
        self.limits.answered(call, self._monotonic())

    def unmade(self, call: CallUnderWay) -> None:
        """As if it had never been asked for."""
        self.limits.unmade(call)
