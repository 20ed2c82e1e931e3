"""Care after connections, or processes before this one, that died soon after they had begun to consume.

before consuming ▸ how many in a row? ▸ two or more: one event at a time      consumed for QUICK_S ▸ all is well again
"""

import asyncio
from contextlib import suppress

from bridge.core.delivery.poison import QUICK_S, SETTLED, cautious_after
from bridge.flow.ports.broker import Inbox
from bridge.flow.ports.ledger import Ledger, LedgerUnavailable
from bridge.flow.ports.runtime import Log


class QuickDeaths:
    """Counts them: connections in memory, processes in the ledger. See the port `ConnectionLives`."""

    def __init__(self, ledger: Ledger, inbox: Inbox, log: Log, quick_s: float = QUICK_S) -> None:
        self._ledger = ledger
        self._inbox = inbox
        self._log = log
        self._quick_s = quick_s
        self._deaths = 0
        self._begun = False
        self._beginning = asyncio.Lock()
        self._outlived = False

    async def begin(self) -> None:
        """Before consuming. The processes are counted once, as soon as the ledger can tell."""
        async with self._beginning:
            if not self._begun:
                with suppress(LedgerUnavailable):  # it says so itself
                    self._deaths += await self._ledger.begun()
                    self._begun = True
        if cautious_after(self._deaths):
            self._log.warning("consumer.cautious", deaths=self._deaths)
            self._inbox.isolate(SETTLED)

    async def outlive(self) -> None:
        """Consume for so long that whatever ends the process later, it is not what was consumed at the beginning."""
        if not self._outlived:
            await self._inbox.begun()
            await asyncio.sleep(self._quick_s)
            self._outlived = True
            with suppress(LedgerUnavailable):
                await self._ledger.lives_on()

    def ended(self, lived_s: float) -> None:
        """A connection is over."""
        self._deaths = self._deaths + 1 if lived_s < self._quick_s else 0
