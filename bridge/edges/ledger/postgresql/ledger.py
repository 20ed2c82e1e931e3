"""The ledger in PostgreSQL, for several replicas: one connection, over which what waits together goes together.

    call ▸ waiting ▸ at most one statement for claims, writes, releases and finds each ▸ answers

The same connection renews the lease of this process every `renew_s`. When it is lost, what was under way is carried out
again over a new one, once: every statement may be repeated (a repeated claim finds the entry that it made itself, and
the event is reconciled rather than started). After that calls fail at once, and connecting goes on with back-off.
"""

import asyncio
import random
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import asyncpg

from bridge.core.delivery.progress import Progress
from bridge.core.lanes.lane_claim import LaneClaim
from bridge.core.ledger.ledger_entry import Claim, Holder
from bridge.edges.ledger.call_kinds import CallKind
from bridge.edges.ledger.call_queue import LedgerCall
from bridge.edges.ledger.pause_calls import PausingLedger
from bridge.edges.ledger.postgresql import due, lanes, pauses, short_tables, statements, users
from bridge.edges.ledger.postgresql.connection import DatabaseConnection
from bridge.edges.ledger.postgresql.purging import Purging
from bridge.edges.ledger.rows import KEEP_ENDINGS_S, KEY_BYTES, entry_of
from bridge.flow.ports.ledger import LedgerUnavailable
from bridge.flow.ports.runtime import Log

MAX_AT_ONCE = 500
"""Calls that go together."""
CLOSING_S = 10.0
APPLICATION = {"application_name": "amigo-bridge"}

TROUBLES = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    LedgerUnavailable,
    OSError,  # TimeoutError is one
)
CarryOut = Callable[[DatabaseConnection, str, Sequence[LedgerCall]], Awaitable[Sequence[object]]]
STAGES: tuple[tuple[CallKind, CarryOut], ...] = (
    (CallKind.LINE_UP, lanes.line_up),
    (CallKind.AHEAD, lanes.ahead),
    (CallKind.LEAVE, lanes.leave),
    (CallKind.CLAIM, statements.claim),
    (CallKind.TAKE_TURN, lanes.take),
    (CallKind.KEEP_DUE, due.keep),
    (CallKind.DROP_DUE, due.drop),
    (CallKind.WRITE, statements.write),
    (CallKind.COMPLETE, statements.complete),
    (CallKind.SET_DUE, due.keep_as_it_is),
    (CallKind.DUE, due.listed),
    (CallKind.TAKE_DUE, due.taken),
    (CallKind.FIND_DUE, due.looked_up),
    (CallKind.KEEP_USER, users.keep),
    (CallKind.DROP_USER, users.drop),
    (CallKind.FIND_USER, users.find),
    (CallKind.PAUSES, pauses.listed),
    (CallKind.SET_PAUSE, pauses.put),
    (CallKind.DROP_PAUSE, pauses.dropped),
    (CallKind.TAKE_PROBE, pauses.probed),
    (CallKind.HOLD, pauses.hold),
    (CallKind.TAKE_UNHELD, pauses.taken),
    (CallKind.CLEAR_UNHELD, pauses.cleared),
    (CallKind.RELEASE, statements.release),
    (CallKind.FIND, statements.find),
    (CallKind.CANCEL, statements.cancel),
    (CallKind.BEGUN, statements.begun),
    (CallKind.LIVES_ON, statements.lives_on),
)
OF_EVENTS = (CallKind.CLAIM, CallKind.WRITE, CallKind.COMPLETE, CallKind.FIND, CallKind.RELEASE, CallKind.CANCEL)


@dataclass(frozen=True, slots=True)
class PostgresqlLimits:
    """Seconds that a lease runs for, from one renewal to the next, and that connecting and a statement may take.

    `purge_every_s` is from one look for entries that are too old to the next, `settle_s` how long what is laid aside
    stays in its old place too: longer than a statement can run.
    """

    lease_s: float = 30.0
    renew_s: float = 10.0
    connect_s: float = 5.0
    command_s: float = 10.0
    purge_every_s: float = 60.0
    settle_s: float = 60.0


USUAL_LIMITS = PostgresqlLimits()


class PostgresqlLedger(PausingLedger):
    """The ledger port; an async context manager that connects and lets go. Entering never fails: see `trouble`."""

    shared = True

    def __init__(
        self,
        url: str,
        keep_s: float,
        log: Log,
        limits: PostgresqlLimits = USUAL_LIMITS,
        keep_endings_s: float = KEEP_ENDINGS_S,
    ) -> None:
        super().__init__(log)
        self._limits = limits
        self._url = url
        parts = urlsplit(url)
        self._place = parts.netloc.rpartition("@")[2] + parts.path
        self._owner = secrets.token_hex(8)
        self._purging = Purging(keep_s, keep_endings_s, limits.settle_s)
        self._has_old = True
        self._repeated = False

    async def __aexit__(self, *_: object) -> None:
        self._close()
        done, __ = await asyncio.wait((self._task,), timeout=CLOSING_S)
        if not done:
            self._task.cancel()
            await asyncio.wait((self._task,))
        self._calls.closed(f"the ledger at {self._place} is closed")

    async def claim(
        self, event_id: str, digest: bytes, progress: Progress | None = None, line: LaneClaim | None = None
    ) -> Claim:
        """Take the event, unless another process's lease on it runs; see the port."""
        (holder, row, wait_s), before = await self._claim(event_id, digest, progress, line)
        if before is not None:
            return Claim(Holder.LANE, before=before)
        return Claim(holder, None if row is None else entry_of(event_id, row), wait_s)

    async def _work(self) -> None:
        calls = self._calls
        while not calls.closing:
            try:
                async with self._connected() as connection:
                    await self._serve(connection)
            except TROUBLES as error:
                if calls.trouble is None and not self._repeated:
                    self._repeated = True
                    continue
                calls.lost(f"the ledger at {self._place}: {cause(error)}")
            except Exception as error:
                self._log.critical("ledger.broken", exc_info=True)
                calls.lost(f"the ledger at {self._place}: {type(error).__name__}: {error}")
            await calls.back_off(random.random())

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[DatabaseConnection]:
        limits = self._limits
        connection = await asyncpg.connect(
            self._url, timeout=limits.connect_s, command_timeout=limits.command_s, server_settings=APPLICATION
        )
        try:
            connection.add_termination_listener(lambda _: self._calls.wake())
            await connection.add_listener(lanes.CHANNEL, self._notified)
            await statements.migrate(connection)
            await statements.renew(connection, self._owner, limits.lease_s)
            self._has_old = await short_tables.has_old(connection)
            self._calls.well(place=self._place)
            yield connection
            await connection.close(timeout=limits.command_s)
        finally:
            connection.terminate()

    def _notified(self, _: object, __: int, ___: str, payload: str) -> None:
        """Another replica waits for a lane's turn, or has ended one: see lanes.py."""
        lane, owner = bytes.fromhex(payload[1 : 1 + 2 * KEY_BYTES]), payload[1 + 2 * KEY_BYTES :]
        if owner != self._owner:
            return
        if payload.startswith("w"):
            self._lanes.awaited(lane)
            self._calls.flush()
        else:
            self._lanes.freed_by(lane)

    async def _serve(self, connection: DatabaseConnection) -> None:
        """Carry out what waits and keep the lease, until the end or until the connection fails."""
        loop, queue, limits = asyncio.get_running_loop(), self._calls, self._limits
        renew_s, purge_s = loop.time() + limits.renew_s, loop.time()
        while True:
            if connection.is_closed():
                raise ConnectionResetError("the server closed the connection")
            if loop.time() >= renew_s:
                await statements.renew(connection, self._owner, limits.lease_s)
                renew_s = loop.time() + limits.renew_s
            calls = queue.take(MAX_AT_ONCE)
            if calls:
                await self._carry_out(connection)
            elif queue.closing:
                await statements.go(connection, self._owner)
                return
            if loop.time() >= purge_s:
                more = await self._purge(connection)
                purge_s = loop.time() + (0 if more else limits.purge_every_s)
            await queue.woken(min(renew_s, purge_s))

    async def _carry_out(self, connection: DatabaseConnection) -> None:
        if self._has_old:
            of_events = [call for call in self._calls.in_hand if call.kind in OF_EVENTS]
            await short_tables.move_over(connection, of_events)
        for kind, carry_out in STAGES:
            calls = [call for call in self._calls.in_hand if call.kind is kind]
            if calls:
                self._calls.settle(calls, await carry_out(connection, self._owner, calls))
        self._repeated = False

    async def _purge(self, connection: DatabaseConnection) -> bool:
        removed, more = await self._purging.step(connection)
        if removed:
            self._log.debug("ledger.purged", entries=removed)
        if not more and self._has_old:
            self._has_old = await short_tables.has_old(connection)
        return more


def cause(error: Exception) -> str:
    """The first line of what is wrong; what asyncpg adds may quote values."""
    lines = str(error).splitlines()
    return lines[0] if lines else f"it does not answer ({type(error).__name__})"
