"""The ledger in a SQLite file: the port's calls are carried out by one thread, all that wait in one commit.

    call ▸ waiting ▸ thread: read, change, commit ▸ one turn of the loop ▸ answers

While a commit syncs, the next one gathers; PACE_S lets it gather a little longer under load. When anything fails,
the calls of that commit and all that wait fail, and the file is opened again, with back-off, until it can be written.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

from bridge.core.ledger import Claim, Entry, Holder
from bridge.edges.ledger.asks import Ask, Kind, fail, settle
from bridge.edges.ledger.rows import Row, entry_of, key_of, row_of
from bridge.edges.ledger.sqlite_file import LedgerFile
from bridge.flow.ports import LedgerUnavailable, Log

MOST_AT_ONCE = 1_000
"""Calls in one commit."""
PACE_S = 0.004
"""Commits begin at least so far apart: each costs the same CPU, whether it carries one call or fifty."""
SHORTEST_S, LONGEST_S = 0.1, 5.0
"""Waits before the file is opened again."""
PURGE_EVERY_S = 60.0
CLOSING_S = 10.0


class SqliteLedger:
    """The ledger port; an async context manager that opens and closes the file. Entering never fails: see `trouble`."""

    def __init__(self, path: Path, keep_s: float, log: Log, clock: Callable[[], float] = time.time) -> None:
        self.trouble: str | None = "it is being opened"
        """Why it is unavailable; None when it is well."""
        self.operations = 0
        self.commits = 0
        self._file = LedgerFile(path, keep_s)
        self._log = log
        self._clock = clock
        # It holds what the callers wait for: no more than events are in hand.
        self._waiting: deque[Ask] = deque()
        self._in_hand: list[Ask] = []
        self._failures = 0
        self._wake = threading.Event()
        self._closing = False
        self._tried = asyncio.Event()
        self._ended = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop
        self._thread = threading.Thread(target=self._work, name="ledger", daemon=True)

    async def __aenter__(self) -> "SqliteLedger":
        self._loop = asyncio.get_running_loop()
        self._thread.start()
        await self._tried.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing = True
        self._wake.set()
        try:
            async with asyncio.timeout(CLOSING_S):
                await self._ended.wait()
        except TimeoutError:
            self._log.error("ledger.unclosed", file=str(self._file.path), error="the disk does not answer")

    async def claim(self, event_id: str, digest: bytes) -> Claim:
        """Take the event; see the port. Whoever had it before is gone: nobody else can have the file."""
        row = await self._ask(Kind.CLAIM, event_id, digest)
        return Claim(Holder.NOBODY) if row is None else Claim(Holder.EARLIER, entry_of(event_id, row))

    async def write(self, entry: Entry) -> None:
        """Remember it; see the port."""
        await self._ask(Kind.WRITE, entry.event_id, row_of(entry))

    async def release(self, event_ids: Collection[str]) -> None:
        """Nothing to do: no other process can claim anything while this one has the file."""

    async def find(self, event_id: str) -> Entry | None:
        """What is known; see the port."""
        row = await self._ask(Kind.FIND, event_id)
        return None if row is None else entry_of(event_id, row)

    def _ask(self, kind: Kind, event_id: str, value: Any = None) -> asyncio.Future[Any]:
        if self.trouble is not None:
            raise LedgerUnavailable(self.trouble)
        ask = Ask(kind, key_of(event_id), value, self._loop.create_future())
        self._waiting.append(ask)
        if not self._wake.is_set():
            self._wake.set()
        return ask.answer

    # --- told by the thread, in the loop

    def _opened(self) -> None:
        self._log.info("ledger.opened", file=str(self._file.path))
        self.trouble = None
        self._tried.set()

    def _carried_out(self, asks: list[Ask], answers: list[Row | None]) -> None:
        self.commits += 1
        self.operations += len(asks)
        settle(asks, answers)

    def _lost(self, asks: list[Ask], reason: str) -> None:
        if self.trouble != reason:
            self._log.error("ledger.unavailable", error=reason)
        self.trouble = reason
        fail([*asks, *self._take(len(self._waiting))], reason)
        self._tried.set()

    def _broken(self, error: Exception) -> None:
        self._log.critical("ledger.broken", exc_info=error)

    def _replaced(self) -> None:
        self._log.error("ledger.replaced", file=str(self._file.path), error="the file was deleted: it is made anew")

    def _purged(self, removed: int) -> None:
        self._log.debug("ledger.purged", entries=removed)

    def _over(self) -> None:
        self.trouble = f"the ledger {self._file.path} is closed"
        fail(self._take(len(self._waiting)), self.trouble)
        self._ended.set()

    # --- the thread

    def _work(self) -> None:
        while not self._closing:
            try:
                self._file.open()
                self._tell(self._opened)
                self._serve()
            except LedgerUnavailable as error:
                self._tell(self._lost, self._in_hand, str(error))
            except Exception as error:
                self._tell(self._broken, error)
                self._tell(self._lost, self._in_hand, f"the ledger {self._file.path}: {type(error).__name__}: {error}")
            self._in_hand = []
            self._file.close(let_go=self._closing)
            self._back_off()
        self._file.close()
        self._tell(self._over)

    def _serve(self) -> None:
        """Carry out what waits, until the end or LedgerUnavailable."""
        purge_s = 0.0
        while True:
            self._wake.wait(PURGE_EVERY_S)
            self._wake.clear()
            began_s = time.monotonic()
            self._in_hand = self._take(MOST_AT_ONCE)
            if self._in_hand:
                self._commit()
            elif self._closing:
                return
            if began_s >= purge_s and not self._purge():
                purge_s = began_s + PURGE_EVERY_S
            rest_s = PACE_S - (time.monotonic() - began_s)
            if self._waiting:
                self._wake.set()
            if rest_s > 0 and not self._closing:
                time.sleep(rest_s)

    def _commit(self) -> None:
        if self._file.replaced:
            self._tell(self._replaced)
            self._file.close(let_go=False)
            self._file.open()
        answers = self._file.carry_out(self._in_hand, self._clock())
        self._tell(self._carried_out, self._in_hand, answers)
        self._in_hand = []
        self._failures = 0

    def _purge(self) -> bool:
        """One step; whether there may be more to do, which then follows the next commit."""
        removed, more = self._file.purge(self._clock())
        if removed:
            self._tell(self._purged, removed)
        if more:
            self._wake.set()
        return more

    def _back_off(self) -> None:
        self._wake.clear()
        if not self._closing:
            self._wake.wait(min(LONGEST_S, SHORTEST_S * 2.0 ** min(self._failures, 16)))
        self._failures += 1

    def _take(self, most: int) -> list[Ask]:
        asks: list[Ask] = []
        with suppress(IndexError):  # loop and thread may both be taking
            while len(asks) < most:
                asks.append(self._waiting.popleft())
        return asks

    def _tell(self, call: Callable[..., None], *args: object) -> None:
        with suppress(RuntimeError):  # the loop was closed before the ledger was
            self._loop.call_soon_threadsafe(call, *args)
