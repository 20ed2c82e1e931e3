"""Consumes only while there is a ledger to consume with (docs/semantics.md, Without a ledger).

not opened at the start ─┬─▸ consuming is held back ▸ it is there ▸ what is owed is written ▸ consuming goes on
away for `patience`    ──┘
"""

import asyncio
from collections.abc import Awaitable, Callable

from bridge.flow.ledger_journal import LedgerJournal
from bridge.flow.ports.broker import Inbox
from bridge.flow.ports.ledger import Ledger
from bridge.flow.ports.runtime import Log

REASON = "ledger"


class LedgerWatch:
    """Holds consuming back while the ledger is away, where it is waited for; `begins` is called before any consuming.

    The other way, consuming goes on, and only what is owed to the ledger is written once it is back.
    """

    def __init__(
        self,
        ledger: Ledger,
        journal: LedgerJournal,
        inbox: Inbox,
        patience_s: float,
        begins: Callable[[], Awaitable[None]],
        log: Log,
    ) -> None:
        self.holding = False
        self._ledger = ledger
        self._journal = journal
        self._inbox = inbox
        self._patience_s = patience_s
        self._begins = begins
        self._log = log
        if ledger.trouble is not None:
            self._hold()

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            await self._ledger.away()
            if not self.holding and not await self._back_in_time():
                self._hold()
            await self._ledger.available()
            await self._journal.catch_up()
            if self.holding:
                await self._begins()
                self._release()

    async def _back_in_time(self) -> bool:
        try:
            async with asyncio.timeout(self._patience_s):
                await self._ledger.available()
        except TimeoutError:
            return False
        return True

    def _hold(self) -> None:
        if self._journal.holds:
            self.holding = True
            self._inbox.pause(REASON)
            self._log.error("ledger.held", error=self._ledger.trouble)

    def _release(self) -> None:
        if self._ledger.trouble is None:
            self.holding = False
            self._inbox.resume(REASON)
            self._log.info("ledger.released")
