"""The rate limits as all replicas on a database keep them together; see the port `CallLimiter`.

ask ▸ waiting ▸ one statement for all that wait and all that was answered meanwhile ▸ let go, or a moment

The database says when a call may go; it has a connection of its own, on which nothing waits for the disk. What was
answered is told with the next question, or within a second by itself. Whose calls count, one process tells the others.
Without the database each process counts alone, as it always has been doing beside it.
"""

import asyncio
import random
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self

import asyncpg

from bridge.core.delivery.call_log import GUARD
from bridge.core.delivery.rate_limits import (
    BRIEF_S,
    EVERYBODY,
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
from bridge.edges.ledger.postgresql.limit_notes import CallNotes
from bridge.edges.ledger.postgresql.limit_rows import CallAsked, CallMoment, CallReport, OrganizationRow
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


@dataclass(frozen=True, slots=True)
class AskedMoment:
    """A call that waits for the database's answer. `noted`: it counts in the organization's row with the question."""

    call: CallAsked
    answer: "asyncio.Future[CallMoment | None]"
    noted: bool

    def note(self, now_s: float) -> CallReport:
        """The news for the organization's row."""
        return CallReport(EVERYBODY, self.call.operation, self.call.limit, self.call.id_, now_s)


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
        self._asked: list[AskedMoment] = []
        self._reports: list[CallReport] = []
        self._notes = CallNotes()
        self._noted_s = monotonic()
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
        scope = self.limits.scope_of(call.user_id, call.operation, now_s)
        closed = self.limits.answered(call, now_s, headers, refused_s=refused_s)
        scope_found = self.limits.scope_of(call.user_id, call.operation, now_s) != scope
        gate = self._under_way.get(call.ticket)
        if gate is not None and headers.left == 0 and headers.reset_s is not None:
            closed.setdefault(gate.scope, now_s + min(headers.reset_s, self._span_s))
        self._report(call, now_s, closed, new=scope_found)

    def lost(self, call: CallUnderWay) -> None:
        """As one that was answered just now."""
        now_s = self._monotonic()
        self.limits.answered(call, now_s)
        self._report(call, now_s, {})

    def unmade(self, call: CallUnderWay) -> None:
        """As if it had never been asked for."""
        self.limits.unmade(call)
        self._report(call, None, {})

    async def _ask(self, user_id: str, operation: str, caller: str) -> CallUnderWay | LimitedWait:
        if not self._tried.is_set():
            await self._tried.wait()  # no longer than connecting may take
        now_s = self._monotonic()
        if self._trouble is not None or self.limits.limit_of(operation) == NO_LIMIT:
            return self.limits.ask(user_id, operation, caller, now_s)
        kept = self._kept.get((caller, user_id, operation))
        if kept is not None:
            call = self._come_back(kept, user_id, operation, caller)
            if call is not None:
                return call
        gate = self.limits.gate(user_id, operation, now_s)
        if isinstance(gate, LimitedWait):
            return gate
        if gate.scope == EVERYBODY and (wait := self.limits.turn(user_id, operation, caller, now_s)) is not None:
            return wait
        return await self._asked_for(gate, user_id, operation, caller)

    def _come_back(
        self, kept: KeptMoment, user_id: str, operation: str, caller: str
    ) -> CallUnderWay | LimitedWait | None:
        """The call at the moment that was kept for it; None where that is worth nothing any more."""
        now_s = self._monotonic()
        closed_s = max(self.limits.closed_for_s(scope, operation, now_s) for scope in (kept.gate.scope, EVERYBODY))
        wait_s = max(kept.moment_s - now_s, closed_s)
        if not self._outdated(kept.gate, user_id, operation, now_s):
            if wait_s > 0:
                return LimitedWait(wait_s, kept.gate.scope)
            del self._kept[caller, user_id, operation]
            return self._go(kept.gate, kept.ticket, user_id, operation)
        del self._kept[caller, user_id, operation]
        self._give_back(kept, operation)
        return None

    def _outdated(self, gate: Gating, user_id: str, operation: str, now_s: float) -> bool:
        """True where a user's log let the call go, and the organization's has to by now."""
        return gate.scope != EVERYBODY and self.limits.scope_of(user_id, operation, now_s) == EVERYBODY

    async def _asked_for(self, gate: Gating, user_id: str, operation: str, caller: str) -> CallUnderWay | LimitedWait:
        """Ask the database."""
        self._drawn += 1
        ticket = f"{self._process}-{self._drawn}"
        limit = self.limits.limit_of(operation)
        noted = gate.also == EVERYBODY and not self.limits.proved(operation, self._monotonic())
        moment = await self._moment(CallAsked(gate.scope, operation, ticket, limit), noted=noted)
        now_s = self._monotonic()
        if moment is None:
            return self.limits.ask(user_id, operation, caller, now_s)
        if self._outdated(gate, user_id, operation, now_s):
            self._give_back(KeptMoment(gate, ticket, now_s), operation, noted=noted)
            return await self._ask(user_id, operation, caller)
        if gate.scope == EVERYBODY:
            self.limits.served(operation, caller, now_s, None if moment.kept else now_s + moment.wait_s)
        if moment.wait_s <= 0:
            return self._go(gate, ticket, user_id, operation, known=noted)
        if noted:
            self._reports.append(CallReport(EVERYBODY, operation, limit, ticket))
        if moment.kept:
            self._kept[caller, user_id, operation] = KeptMoment(gate, ticket, now_s + moment.wait_s)
        return LimitedWait(moment.wait_s, gate.scope)

    def _go(self, gate: Gating, ticket: str, user_id: str, operation: str, *, known: bool = False) -> CallUnderWay:
        now_s = self._monotonic()
        call = self.limits.begun(gate, user_id, operation, now_s)
        call.ticket = ticket
        self._under_way[ticket] = gate
        if gate.also is not None:
            report = CallReport(gate.also, operation, self.limits.limit_of(operation), ticket, now_s)
            self._notes.begun(ticket, report, known=known)
        return call

    async def _moment(self, asked: CallAsked, *, noted: bool) -> CallMoment | None:
        """The database's answer; None where it gives none. `noted`: the organization's row counts the call at once."""
        answer: asyncio.Future[CallMoment | None] = asyncio.get_running_loop().create_future()
        self._asked.append(AskedMoment(asked, answer, noted))
        self._wake.set()
        return await answer

    def _report(self, call: CallUnderWay, at_s: float | None, closed: dict[str, float], *, new: bool = False) -> None:
        gate, limit = self._under_way.pop(call.ticket, None), self.limits.limit_of(call.operation)
        if gate is not None:
            self._reports.append(CallReport(gate.scope, call.operation, limit, call.ticket, at_s=at_s))
            self._notes.gone(call.ticket, at_s)
            if gate.also == EVERYBODY and not self.limits.proved(call.operation, self._monotonic()):
                self._notes.hurry()
        if limit != NO_LIMIT:
            self._reports += [CallReport(scope, call.operation, limit, closed_until_s=s) for scope, s in closed.items()]
            if new:
                self._reports.append(CallReport(EVERYBODY, call.operation, limit, scope_found=True))
        if closed:
            self._notes.hurry()
            self._wake.set()
        del self._reports[:-MAX_REPORTS]

    def _give_back(self, kept: KeptMoment, operation: str, *, noted: bool = False) -> None:
        for scope in (kept.gate.scope, EVERYBODY) if noted else (kept.gate.scope,):
            self._reports.append(CallReport(scope, operation, self.limits.limit_of(operation), kept.ticket))

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
            if not self._asked and not self._closing and not self._notes_due(SOON_S):
                await self._woken()
            self._forget()
            if self._asked or self._reports or self._notes:
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
        self._asked = [each for each in self._asked if not each.answer.done()]  # whoever asked may have gone
        asked = self._asked[:MAX_AT_ONCE]
        self._take_notes(asked)
        reports, now_s = self._reports[:], self._monotonic()
        calls = [each.call for each in asked]
        new = [each.note(now_s) for each in asked if each.noted]
        moments, rows = await limit_rows.take(connection, [*reports, *new], calls, self._span_s, now_s)
        self.round_trips += 1
        del self._asked[: len(asked)]
        del self._reports[: len(reports)]
        for operation, row in rows.items():
            self._looked(operation, row)
        for each, moment in zip(asked, moments, strict=True):
            if not each.answer.done():
                each.answer.set_result(moment)
            elif moment.kept:
                gate = Gating(each.call.scope, None, 0)
                self._give_back(KeptMoment(gate, each.call.id_, 0.0), each.call.operation, noted=each.noted)

    def _take_notes(self, asked: Sequence[AskedMoment]) -> None:
        """Tell what counts in other rows: where it may decide something, with a question; else while nobody asks."""
        urgent = self._notes.urgent or self._closing or any(each.call.scope == EVERYBODY for each in asked)
        if self._notes and (urgent or self._notes_due(2 * SOON_S if asked else SOON_S)):
            self._reports += self._notes.taken()
            self._noted_s = self._monotonic()

    def _notes_due(self, after_s: float) -> bool:
        return bool(self._notes) and self._monotonic() >= self._noted_s + after_s

    def _looked(self, operation: str, row: OrganizationRow) -> None:
        """Take over what the organization's row says: who else calls, that its gate is closed, whose the limit is."""
        now_s = self._monotonic()
        if row.closed_s > 0:
            self.limits.close(EVERYBODY, operation, now_s + row.closed_s, now_s)
        self.limits.learned(operation, row.found_ago_s, now_s)
        if row.seen and not self.limits.proved(operation, now_s):
            self.limits.seen(EVERYBODY, operation, row.seen, now_s)

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
        for each in self._asked:
            if not each.answer.done():
                each.answer.set_result(None)
        self._asked.clear()
