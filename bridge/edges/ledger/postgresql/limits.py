"""The rate limits as all replicas on a database keep them together; see the port `CallLimiter`.

ask ▸ waiting ▸ one statement for all that wait and all that was answered meanwhile ▸ let go, or a moment

The database says when a call may go; it has a connection of its own, on which nothing waits for the disk. What was
answered is told with the next question, or within a second by itself. Whose calls count is found out by each process.
Without the database each process counts alone, as it always has been doing beside it.
"""

import asyncio
import random
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self

import asyncpg

from bridge.core.delivery.call_log import GUARD
from bridge.core.delivery.rate_limits import (
    BRIEF_S,
    NO_LIMIT,
    CallUnderWay,
    Gating,
    LimitedWait,
    LimitFigures,
    LimitHeaders,
    RateLimits,
)
from bridge.edges.ledger.postgresql import limit_rows, statements
from bridge.edges.ledger.postgresql.connection import DatabaseConnection
from bridge.edges.ledger.postgresql.ledger import TROUBLES, cause
from bridge.edges.ledger.postgresql.limit_rows import CallAsked, CallMoment, CallReport
from bridge.flow.ports.limits import CALLER
from bridge.flow.ports.runtime import Clock, Log

CONNECT_S, COMMAND_S = 5.0, 2.0
SOON_S = 0.5
"""How long an answer waits for a question to go with."""
MAX_AT_ONCE = 200
MAX_REPORTS = 100_000
KEPT_S = 5.0
"""How long after its moment a call that does not come keeps it."""
AGAIN_S = 1.0
PURGE_EVERY_S = 600.0
SERVER = {"application_name": "amigo-bridge limits", "synchronous_commit": "off"}
BRIEF_WAITS = 8


@dataclass(frozen=True, slots=True)
class KeptMoment:
    """A moment that the database keeps for a caller, on the monotonic clock."""

    gate: Gating
    ticket: str
    moment_s: float


class SharedLimits:
    """See the port. An async context manager; entering never fails. `limits` counts what it did."""

    def __init__(
        self, url: str, figures: LimitFigures, log: Log, clock: Clock = time.time, monotonic: Clock = time.monotonic
    ) -> None:
        self.limits = RateLimits(figures)
        self.round_trips = 0
        self._url = url
        self._span_s = figures.window_s * (1 + GUARD)
        self._log = log
        self._clock = clock
        self._monotonic = monotonic
        self._process = secrets.token_hex(6)
        self._drawn = 0
        self._trouble: str | None = "it is being connected"
        self._asked: list[tuple[CallAsked, asyncio.Future[CallMoment | None]]] = []
        self._reports: list[CallReport] = []
        self._wake, self._tried = asyncio.Event(), asyncio.Event()
        self._kept: dict[tuple[str, str, str], KeptMoment] = {}
        self._since: dict[tuple[str, str, str], float] = {}
        """Since when callers have been waiting."""
        self._under_way: dict[str, Gating] = {}
        self._closing = False

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._work(), name="shared limits")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing = True
        for (_caller, _user_id, operation), kept in self._kept.items():
            self._give_back(kept, operation)
        self._wake.set()
        await asyncio.wait((self._task,), timeout=COMMAND_S)
        self._task.cancel()
        await asyncio.wait((self._task,))
        self._fail()

    @property
    def connected(self) -> bool:
        """True while the database is asked."""
        return self._trouble is None

    async def admit(self, user_id: str, operation: str) -> CallUnderWay:
        """A brief wait is waited out on the spot."""
        caller = CALLER.get() or user_id
        tries = 0
        while True:
            call = await self._ask(user_id, operation, caller)
            if isinstance(call, CallUnderWay):
                waited_since_s = self._since.pop((caller, user_id, operation), None)
                if waited_since_s is not None:
                    self.limits.waited(operation, self._monotonic() - waited_since_s)
                return call
            self._since.setdefault((caller, user_id, operation), self._monotonic())
            tries += 1
            if call.wait_s > BRIEF_S or tries > BRIEF_WAITS:
                raise call.error(operation, self._clock())
            await asyncio.sleep(call.wait_s)

    def answered(self, call: CallUnderWay, headers: LimitHeaders, *, refused_s: float | None = None) -> None:
        """In the process's own logs at once, and in the database's soon."""
        now_s = self._monotonic()
        closed = self.limits.answered(call, now_s, headers, refused_s=refused_s)
        gate = self._under_way.pop(call.ticket, None)
        if gate is not None and headers.left == 0 and headers.reset_s is not None:
            closed.setdefault(gate.scope, now_s + min(headers.reset_s, self._span_s))
        self._report(call, gate, now_s, closed)

    def lost(self, call: CallUnderWay) -> None:
        """As one that was answered just now."""
        now_s = self._monotonic()
        self.limits.answered(call, now_s)
        self._report(call, self._under_way.pop(call.ticket, None), now_s, {})

    def unmade(self, call: CallUnderWay) -> None:
        """As if it had never been asked for."""
        self.limits.unmade(call)
        self._report(call, self._under_way.pop(call.ticket, None), None, {})

    async def _ask(self, user_id: str, operation: str, caller: str) -> CallUnderWay | LimitedWait:
        if not self._tried.is_set():
            await self._tried.wait()  # no longer than connecting may take
        now_s = self._monotonic()
        if self._trouble is not None or self.limits.limit_of(operation) == NO_LIMIT:
            return self.limits.ask(user_id, operation, caller, now_s)
        kept = self._kept.get((caller, user_id, operation))
        if kept is not None:
            wait_s = max(kept.moment_s - now_s, self.limits.closed_for_s(kept.gate.scope, operation, now_s))
            if wait_s > 0:
                return LimitedWait(wait_s, kept.gate.scope)
            del self._kept[caller, user_id, operation]
            return self._go(kept.gate, kept.ticket, user_id, operation)
        gate = self.limits.gate(user_id, operation, now_s)
        if isinstance(gate, LimitedWait):
            return gate
        self._drawn += 1
        ticket = f"{self._process}-{self._drawn}"
        moment = await self._moment(
            CallAsked(gate.scope, operation, ticket, self.limits.limit_of(operation), gate.also)
        )
        now_s = self._monotonic()
        if moment is None:
            return self.limits.ask(user_id, operation, caller, now_s)
        if moment.seen is not None and gate.also is not None:
            self.limits.seen(gate.also, operation, moment.seen, now_s)
        if moment.wait_s <= 0:
            return self._go(gate, ticket, user_id, operation)
        if moment.kept:
            self._kept[caller, user_id, operation] = KeptMoment(gate, ticket, now_s + moment.wait_s)
        return LimitedWait(moment.wait_s, gate.scope)

    def _go(self, gate: Gating, ticket: str, user_id: str, operation: str) -> CallUnderWay:
        call = self.limits.begun(gate, user_id, operation, self._monotonic())
        call.ticket = ticket
        self._under_way[ticket] = gate
        return call

    async def _moment(self, asked: CallAsked) -> CallMoment | None:
        """The database's answer; None where it gives none."""
        answer: asyncio.Future[CallMoment | None] = asyncio.get_running_loop().create_future()
        self._asked.append((asked, answer))
        self._wake.set()
        return await answer

    def _report(self, call: CallUnderWay, gate: Gating | None, at_s: float | None, closed: dict[str, float]) -> None:
        if gate is not None:
            self._reports += _gone(gate, call.operation, call.ticket, at_s)
        if self.limits.limit_of(call.operation) != NO_LIMIT:
            self._reports += [CallReport(scope, call.operation, None, None, until) for scope, until in closed.items()]
        if closed:
            self._wake.set()
        del self._reports[:-MAX_REPORTS]

    def _give_back(self, kept: KeptMoment, operation: str) -> None:
        self._reports += _gone(kept.gate, operation, kept.ticket, None)

    async def _work(self) -> None:
        while not self._closing:
            try:
                async with self._connected() as connection:
                    await self._serve(connection)
            except TROUBLES as error:
                self._lost(cause(error))
            except Exception as error:
                self._log.critical("limits.broken", exc_info=True)
                self._lost(f"{type(error).__name__}: {error}")
            self._fail()
            if not self._closing:
                await asyncio.sleep(AGAIN_S * (1 + random.random()))

    def _lost(self, error: str) -> None:
        if self._trouble is None or not self._tried.is_set():
            self._log.warning("limits.alone", error=error)
        self._tried.set()
        self._trouble = error

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[DatabaseConnection]:
        connection = await asyncpg.connect(
            self._url, timeout=CONNECT_S, command_timeout=COMMAND_S, server_settings=SERVER
        )
        try:
            connection.add_termination_listener(lambda _: self._wake.set())
            await statements.migrate(connection)
            self._trouble = None
            self._tried.set()
            self._log.info("limits.shared")
            yield connection
            await connection.close(timeout=COMMAND_S)
        finally:
            connection.terminate()

    async def _serve(self, connection: DatabaseConnection) -> None:
        """Carry out what waits, until the end or until the connection fails."""
        purge_s = self._monotonic() + PURGE_EVERY_S
        while True:
            if connection.is_closed():
                raise ConnectionResetError("the server closed the connection")
            self._wake.clear()
            if not self._asked and not self._closing:
                await self._woken()
            self._forget()
            if self._asked or self._reports:
                await self._exchange(connection)
            elif self._closing:
                return
            if self._monotonic() >= purge_s:
                await limit_rows.purge(connection)
                purge_s = self._monotonic() + PURGE_EVERY_S

    async def _woken(self) -> None:
        try:
            async with asyncio.timeout(SOON_S):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _exchange(self, connection: DatabaseConnection) -> None:
        self._asked = [each for each in self._asked if not each[1].done()]  # whoever asked may have gone
        asked, reports = self._asked[:MAX_AT_ONCE], self._reports[:]
        calls = [call for call, _ in asked]
        moments = await limit_rows.take(connection, reports, calls, self._span_s, self._monotonic())
        self.round_trips += 1
        del self._asked[: len(asked)]
        del self._reports[: len(reports)]
        for (call, answer), moment in zip(asked, moments, strict=True):
            if not answer.done():
                answer.set_result(moment)
            elif moment.kept:
                self._reports += _gone(Gating(call.scope, call.also, 0), call.operation, call.id_, None)

    def _forget(self) -> None:
        """Give back the moments for which nobody has come."""
        now_s = self._monotonic()
        for (caller, user_id, operation), kept in list(self._kept.items()):
            if kept.moment_s + KEPT_S < now_s:
                del self._kept[caller, user_id, operation]
                self._give_back(kept, operation)
        if len(self._since) > MAX_REPORTS:
            self._since.clear()

    def _fail(self) -> None:
        """Whoever waits for an answer goes on without the database."""
        for _, answer in self._asked:
            if not answer.done():
                answer.set_result(None)
        self._asked.clear()


def _gone(gate: Gating, operation: str, ticket: str, at_s: float | None) -> list[CallReport]:
    scopes = [gate.scope] if gate.also is None else [gate.scope, gate.also]
    return [CallReport(scope, operation, ticket, at_s) for scope in scopes]
