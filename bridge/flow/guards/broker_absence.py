"""A process without its broker lets go of its events, so that another may take them.

See docs/semantics.md, Without a ledger.

the broker is away ▸ LET_GO_S ▸ every second: what is not started, and what the ledger knows the ending of
"""

import asyncio
from collections.abc import Awaitable, Callable

LET_GO_S = 30.0
TICK_S = 1.0


class BrokerAbsence:
    """Calls `let_go` again and again while the broker has been away for long."""

    def __init__(self, connected: Callable[[], bool], let_go: Callable[[], Awaitable[None]]) -> None:
        self._connected = connected
        self._let_go = let_go

    async def run(self) -> None:
        """Watch until cancelled."""
        loop = asyncio.get_running_loop()
        there_s = loop.time()
        while True:
            await asyncio.sleep(TICK_S)
            if self._connected():
                there_s = loop.time()
            elif loop.time() - there_s >= LET_GO_S:
                await self._let_go()
