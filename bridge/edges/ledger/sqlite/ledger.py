"""The ledger in a SQLite file: the port's calls are carried out by one thread, all that wait in one commit.

    call ▸ waiting ▸ thread: read, change, commit ▸ answers

A commit costs nearly the same CPU whether it carries one call or fifty, so the more calls one has carried the longer
the next one gathers; a call that comes after a pause is carried out at once. When anything fails, the calls of that
commit and all that wait fail, and the file is opened again, with back-off, until it can be written.
"""

import asyncio
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bridge.core.delivery.progress import Progress
from bridge.core.lanes.lane_claim import LaneClaim
from bridge.core.lanes.lane_turns import Before
from bridge.core.ledger.ledger_entry import Claim, Holder
from bridge.edges.ledger.lane_calls import lane_hash
from bridge.edges.ledger.pause_calls import PausingLedger
from bridge.edges.ledger.rows import KEEP_ENDINGS_S, entry_of
from bridge.edges.ledger.sqlite.file import BUSY_S, LedgerFile
from bridge.flow.ports.ledger import LedgerUnavailable
from bridge.flow.ports.runtime import Log

MAX_AT_ONCE = 1_000
"""Calls in one commit."""
PACE_S, MAX_PACE_S = 0.004, 0.06
"""From one commit to the next: so long for each call beside the first that was carried, and at most so long."""
PURGE_EVERY_S = 60.0
CLOSING_S = 10.0
REPLACED = "the file was deleted or moved: what is at its place now is used, if need be made anew"


class SqliteLedger(PausingLedger):
    """The ledger port; an async context manager that opens and closes the file. Entering never fails: see `trouble`."""

    shared = False

    def __init__(
        self,
        path: Path,
        keep_s: float,
        log: Log,
        clock: Callable[[], float] = time.time,
        *,
        busy_s: float = BUSY_S,
        purge_every_s: float = PURGE_EVERY_S,
        keep_endings_s: float = KEEP_ENDINGS_S,
    ) -> None:
        """`busy_s`: how long a commit waits for another program. `purge_every_s`: from one purge to the next."""
        super().__init__(log)
        self._file = LedgerFile(path, keep_s, keep_endings_s, busy_s)
        self._purge_every_s = purge_every_s
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, "ledger")

    async def __aexit__(self, *_: object) -> None:
        self._close()
        done, __ = await asyncio.wait((self._task,), timeout=CLOSING_S)
        if not done:
            self._task.cancel()
            self._log.error("ledger.unclosed", file=str(self._file.path), error="the disk does not answer")
        self._calls.closed(f"the ledger {self._file.path} is closed")
        self._thread.shutdown(wait=bool(done))

    async def claim(
        self, event_id: str, digest: bytes, progress: Progress | None = None, line: LaneClaim | None = None
    ) -> Claim:
        """Take the event; see the port. Whoever had it before is gone: nobody else can have the file."""
        row, before = await self._claim(event_id, digest, progress, line)
        if before is not None:
            return Claim(Holder.LANE, before=before)
        return Claim(Holder.NOBODY) if row is None else Claim(Holder.EARLIER, entry_of(event_id, row))

    async def take_turn(self, event_id: str, line: LaneClaim) -> Before | None:
        """Take the turn for a claimed event; see the port. A lane in which nobody has had to wait has no need of it."""
        return await super().take_turn(event_id, line) if self._file.has_places(lane_hash(line.lane)) else None

    async def _work(self) -> None:
        in_thread, calls = asyncio.get_running_loop().run_in_executor, self._calls
        while not calls.closing:
            try:
                await in_thread(self._thread, self._file.open, self._clock())
                calls.well(file=str(self._file.path))
                self._tell_replaced()
                await self._serve()
            except LedgerUnavailable as error:
                calls.lost(str(error))
            except Exception as error:
                self._log.critical("ledger.broken", exc_info=True)
                calls.lost(f"the ledger {self._file.path}: {type(error).__name__}: {error}")
            await in_thread(self._thread, self._file.close)
            await calls.back_off(random.random())
        await in_thread(self._thread, self._file.let_go)

    async def _serve(self) -> None:
        """Carry out what waits, until the end or LedgerUnavailable."""
        loop, queue = asyncio.get_running_loop(), self._calls
        purge_s = loop.time()
        while True:
            await queue.woken(purge_s)
            began_s = loop.time()
            calls = len(queue.take(MAX_AT_ONCE))
            if calls:
                answers = await loop.run_in_executor(self._thread, self._file.carry_out, queue.in_hand, self._clock())
                self._tell_replaced()
                queue.settle(queue.in_hand, answers)
                if self._file.log_is_long:
                    await loop.run_in_executor(self._thread, self._file.checkpoint)
            elif queue.closing:
                return
            if began_s >= purge_s:
                more = await self._purge()
                purge_s = began_s + (0 if more else self._purge_every_s)
            if not queue.closing:
                await queue.pause(began_s + min(MAX_PACE_S, PACE_S * (calls - 1)) - loop.time())

    def _tell_replaced(self) -> None:
        if self._file.made_anew():
            self._log.error("ledger.replaced", file=str(self._file.path), error=REPLACED)

    async def _purge(self) -> bool:
        """A few steps; whether there may be more to do."""
        in_thread = asyncio.get_running_loop().run_in_executor
        removed, more = await in_thread(self._thread, self._file.purge, self._clock())
        if removed:
            self._log.debug("ledger.purged", entries=removed)
        return more
