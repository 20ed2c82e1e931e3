"""The ledger in PostgreSQL, for several replicas: one connection, over which what waits together goes together.

    call ▸ waiting ▸ at most one statement for claims, writes, releases and finds each ▸ answers

The same connection renews the lease of this process every RENEW_S. When it is lost, what was under way is carried out
again over a new one, once: every statement may be repeated (a repeated claim finds the entry that it made itself, and
the event is reconciled rather than started). After that calls fail at once, and connecting goes on with back-off.
"""

import asyncio
import random
import secrets
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import asyncpg

from bridge.core.ledger import Claim, Entry
from bridge.edges.ledger import postgresql_statements as statements
from bridge.edges.ledger.asks import Ask, Kind, fail, settle
from bridge.edges.ledger.rows import entry_of, key_of, row_of
from bridge.flow.ports import LedgerUnavailable, Log

LEASE_S = 30.0
RENEW_S = 10.0
MOST_AT_ONCE = 500
"""Calls that go together."""
CONNECT_S = 5.0
COMMAND_S = 10.0
SHORTEST_S, LONGEST_S = 0.1, 5.0
"""Waits before connecting again."""
PURGE_EVERY_S = 60.0
CLOSING_S = 10.0
APPLICATION = {"application_name": "amigo-bridge"}

TROUBLES = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    LedgerUnavailable,
    OSError,  # TimeoutError is one
)
STAGES: tuple[tuple[Kind, Callable[[Any, str, Sequence[Ask]], Awaitable[Sequence[Any]]]], ...] = (
    (Kind.CLAIM, statements.claim),
    (Kind.WRITE, statements.write),
    (Kind.RELEASE, statements.release),
    (Kind.FIND, statements.find),
)


class PostgresqlLedger:
    """The ledger port; an async context manager that connects and lets go. Entering never fails: see `trouble`."""

    def __init__(self, url: str, keep_s: float, log: Log) -> None:
        self.trouble: str | None = "it is being opened"
        """Why it is unavailable; None when it is well."""
        self.operations = 0
        self.commits = 0
        self._url = url
        parts = urlsplit(url)
        self._place = parts.netloc.rpartition("@")[2] + parts.path
        self._owner = secrets.token_hex(8)
        self._keep_s = keep_s
        self._log = log
        # It holds what the callers wait for: no more than events are in hand.
        self._waiting: deque[Ask] = deque()
        self._in_hand: list[Ask] = []
        self._repeated = False
        self._failures = 0
        self._wake = asyncio.Event()
        self._closing = False
        self._tried = asyncio.Event()
        self._task: asyncio.Task[None]

    async def __aenter__(self) -> "PostgresqlLedger":
        self._task = asyncio.create_task(self._work(), name="ledger")
        await self._tried.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing = True
        self._wake.set()
        done, __ = await asyncio.wait((self._task,), timeout=CLOSING_S if self.trouble is None else 0)
        if not done:
            self._task.cancel()
            await asyncio.wait((self._task,))
        self._unavailable(f"the ledger at {self._place} is closed")

    async def claim(self, event_id: str, digest: bytes) -> Claim:
        """Take the event, unless another process's lease on it runs; see the port."""
        holder, row, wait_s = await self._ask(Kind.CLAIM, event_id, digest)
        return Claim(holder, None if row is None else entry_of(event_id, row), wait_s)

    async def write(self, entry: Entry) -> None:
        """Remember it; see the port. Raises LeaseLost where another process has taken the event over."""
        await self._ask(Kind.WRITE, entry.event_id, row_of(entry))

    async def release(self, event_ids: Collection[str]) -> None:
        """Let go of events; see the port."""
        asked = [self._ask(Kind.RELEASE, event_id) for event_id in event_ids]
        await asyncio.gather(*asked)

    async def find(self, event_id: str) -> Entry | None:
        """What is known; see the port."""
        row = await self._ask(Kind.FIND, event_id)
        return None if row is None else entry_of(event_id, row)

    def _ask(self, kind: Kind, event_id: str, value: Any = None) -> asyncio.Future[Any]:
        if self.trouble is not None:
            raise LedgerUnavailable(self.trouble)
        ask = Ask(kind, key_of(event_id), value, asyncio.get_running_loop().create_future())
        self._waiting.append(ask)
        self._wake.set()
        return ask.answer

    async def _work(self) -> None:
        while not self._closing:
            try:
                async with self._connected() as connection:
                    await self._serve(connection)
            except TROUBLES as error:
                if self.trouble is None and not self._repeated:
                    self._repeated = True
                    continue
                self._lost(f"the ledger at {self._place}: {_cause(error)}")
            except Exception as error:
                self._log.critical("ledger.broken", exc_info=True)
                self._lost(f"the ledger at {self._place}: {type(error).__name__}: {error}")
            if not self._closing:
                longest_s = min(LONGEST_S, SHORTEST_S * 2.0 ** min(self._failures, 16))
                await asyncio.sleep(longest_s * (0.5 + random.random() / 2))
            self._failures += 1

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Any]:
        connection = await asyncpg.connect(
            self._url, timeout=CONNECT_S, command_timeout=COMMAND_S, server_settings=APPLICATION
        )
        try:
            connection.add_termination_listener(lambda _: self._wake.set())
            await statements.migrate(connection)
            await statements.renew(connection, self._owner, LEASE_S)
            if self.trouble is not None:
                self._log.info("ledger.opened", place=self._place)
            self.trouble = None
            self._tried.set()
            yield connection
            await connection.close(timeout=COMMAND_S)
        finally:
            connection.terminate()

    async def _serve(self, connection: Any) -> None:
        """Carry out what waits and keep the lease, until the end or until the connection fails."""
        loop = asyncio.get_running_loop()
        renew_s, purge_s = loop.time() + RENEW_S, loop.time()
        while True:
            if connection.is_closed():
                raise ConnectionResetError("the server closed the connection")
            if loop.time() >= renew_s:
                await statements.renew(connection, self._owner, LEASE_S)
                renew_s = loop.time() + RENEW_S
            self._in_hand = self._in_hand or self._take()
            if self._in_hand:
                await self._carry_out(connection)
            elif self._closing:
                await statements.go(connection, self._owner)
                return
            if loop.time() >= purge_s:
                more = await self._purge(connection)
                purge_s = loop.time() + (0 if more else PURGE_EVERY_S)
            if not self._waiting:
                await self._woken(min(renew_s, purge_s))

    async def _carry_out(self, connection: Any) -> None:
        for kind, carry_out in STAGES:
            asks = [ask for ask in self._in_hand if ask.kind is kind]
            if asks:
                settle(asks, await carry_out(connection, self._owner, asks))
                self._in_hand = [ask for ask in self._in_hand if ask.kind is not kind]
                self.commits += 1
                self.operations += len(asks)
        self._repeated = False
        self._failures = 0

    async def _purge(self, connection: Any) -> bool:
        removed = await statements.purge(connection, self._keep_s)
        if removed:
            self._log.debug("ledger.purged", entries=removed)
        return removed > 0

    async def _woken(self, until_s: float) -> None:
        """Return when something is asked, the connection closes, the end has come, or at that time of the loop."""
        self._wake.clear()
        if self._closing:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until_s):
                await self._wake.wait()

    def _take(self) -> list[Ask]:
        """The next calls. Two of different kinds for one event do not go together: their order counts."""
        asks: list[Ask] = []
        kinds: dict[str, Kind] = {}
        while self._waiting and len(asks) < MOST_AT_ONCE:
            ask = self._waiting[0]
            if kinds.setdefault(ask.key, ask.kind) is not ask.kind:
                break
            asks.append(self._waiting.popleft())
        return asks

    def _lost(self, reason: str) -> None:
        if self.trouble != reason:
            self._log.error("ledger.unavailable", error=reason)
        self._unavailable(reason)

    def _unavailable(self, reason: str) -> None:
        self.trouble = reason
        fail([*self._in_hand, *self._waiting], reason)
        self._in_hand = []
        self._waiting.clear()
        self._tried.set()


def _cause(error: Exception) -> str:
    """The first line of what is wrong; what asyncpg adds may quote values."""
    lines = str(error).splitlines()
    return lines[0] if lines else f"it does not answer ({type(error).__name__})"
