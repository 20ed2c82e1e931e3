"""Calls of the port on their way to the database. Those that wait at the same time are carried out together."""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from typing import Any

from bridge.edges.ledger.call_kinds import CallKind
from bridge.edges.ledger.rows import ENDING, OWED, Row, key_of
from bridge.flow.ports.ledger import LedgerUnavailable
from bridge.flow.ports.runtime import Log

SHORTEST_S, MAX_S = 0.1, 5.0
"""Waits before the database is tried again."""
PROCESS = ""
"""Stands for an event's id where a call is about the process."""
IN_TIME_S = 0.01
"""Seconds reserved at the end of a pause for calls of who has waited for that end."""
SOON_S, MAX_SOON = 0.5, 1_000
"""Completed events go together: so long after the first of them, or as many."""
MAX_FAILURES = 5
MAX_BYTES = 8 * 1024 * 1024
"""The size of endings and enrichments that go together; the last one may go beyond it."""


Answered = asyncio.Future[Any]
"""The answer of a call, as the kind of call has it: an entry's row, a number, nothing."""


@dataclass(slots=True, eq=False)
class LedgerCall:
    """One call for one event, or for the process. `answer` is None where nobody waits for it.

    `row` is what a write writes; of a claim, the row of an event that nobody knew; else parameters. `line` are those of
    the lane's turn that a claim wants as well: its answer then comes in a pair with a Turn.
    """

    kind: CallKind
    key: str
    row: Row
    answer: Answered | None
    line: Row | None = None
    failures: int = 0

    @property
    def outlasts_trouble(self) -> bool:
        """True where it is carried out later if it cannot be now: without it others would wait for what has ended.

        Nothing depends on when. One that fails again and again may be what fails.
        """
        kept = self.kind in (CallKind.COMPLETE, CallKind.LEAVE, CallKind.WRITE)
        return kept and self.answer is None and self.failures < MAX_FAILURES


class CallQueue:
    """The calls to one ledger: those that wait, in order, and those that are in hand.

    There are never more than a few for each event in hand, since whoever comes next waits for its claim. While there is
    `trouble`, calls fail at once, but for the ends of what the ledger knows; only `well` ends it.
    """

    def __init__(self, log: Log) -> None:
        self.trouble: str | None = "it is being opened"
        self.operations = 0
        self.commits = 0
        self.failures = 0
        """In a row, since something was last carried out."""
        self.closing = False
        self.in_hand: list[LedgerCall] = []
        self.tried = asyncio.Event()
        """Set once opening has succeeded or failed."""
        self.up, self.down = asyncio.Event(), asyncio.Event()
        """Set while there is no trouble; set while there is."""
        self._log = log
        self._waiting: deque[LedgerCall] = deque()
        self._wake = asyncio.Event()
        self._soon: dict[str, LedgerCall] = {}
        self._soon_by_s = inf
        self._kept: list[LedgerCall] = []
        """Calls that outlast the trouble."""
        self._gathering: list[asyncio.Future[None]] | None = None
        """Who waits for the end of a pause; None where it is over."""

    def put(self, kind: CallKind, event_id: str, row: Row = (), line: Row | None = None) -> Answered:
        """Queue a call; gives the future of its answer. Raises LedgerUnavailable while there is trouble."""
        if self.trouble is not None:
            raise LedgerUnavailable(self.trouble)
        answer: Answered = asyncio.get_running_loop().create_future()
        self._add(LedgerCall(kind, key_of(event_id), row, answer, line))
        return answer

    def put_soon(self, kind: CallKind, event_id: str, row: Row = ()) -> bool:
        """The same without an answer. False while there is trouble: it will not be carried out."""
        call = LedgerCall(kind, key_of(event_id), row, None)
        if self.trouble is None:
            self._add(call)
        elif call.outlasts_trouble:
            self._kept.append(call)
        else:
            return False
        return True

    def put_late(self, kind: CallKind, event_id: str, row: Row) -> None:
        """A write that goes together with others, though never after a later call for its event."""
        if self.trouble is not None:
            return
        if not self._soon:
            self._soon_by_s = asyncio.get_running_loop().time() + SOON_S
            self._wake.set()
        key = key_of(event_id)
        if kind is not CallKind.WRITE and (earlier := self._soon.pop(key, None)) is not None:
            self._waiting.append(earlier)  # which a whole write would make superfluous
        self._soon[key] = LedgerCall(kind, key, row, None)

    def _add(self, call: LedgerCall) -> None:
        if (earlier := self._soon.pop(call.key, None)) is not None:
            self._waiting.append(earlier)
        self._waiting.append(call)
        if len(self._waiting) <= 2:  # the worker sleeps only while none waits; an earlier one may have come with this
            self._wake.set()

    def _soon_is_now(self) -> None:
        """Carry out what could wait, where it is due or others are carried out anyway."""
        now_s = asyncio.get_running_loop().time()
        if self._waiting or self.closing or len(self._soon) >= MAX_SOON or now_s >= self._soon_by_s:
            self._waiting += self._soon.values()
            self._soon, self._soon_by_s = {}, inf

    def take(self, most: int) -> list[LedgerCall]:
        """The calls in hand: the next ones, unless some still are. No two of different kinds for one event together."""
        if self.in_hand:
            return self.in_hand
        if self._soon:
            self._soon_is_now()
        kinds: dict[str, CallKind] = {}
        size = 0
        while self._waiting and len(self.in_hand) < most and size < MAX_BYTES:
            call = self._waiting[0]
            if kinds.setdefault(call.key, call.kind) is not call.kind:
                break  # and not the next one in its place: no call overtakes another
            if call.kind is CallKind.WRITE:
                size += len(call.row[ENDING] or b"") + len(call.row[OWED] or "")
            self.in_hand.append(self._waiting.popleft())
        return self.in_hand

    def settle(self, calls: Sequence[LedgerCall], answers: Sequence[object]) -> None:
        """Answer all calls in hand, or some; an exception is raised by the call. Who has gone away is not told."""
        for call, answer in zip(calls, answers, strict=True):
            if call.answer is None or call.answer.done():
                continue
            if isinstance(answer, Exception):
                call.answer.set_exception(answer)
            else:
                call.answer.set_result(answer)
        if len(calls) == len(self.in_hand):
            self.in_hand = []
        else:
            settled = set(map(id, calls))
            self.in_hand = [call for call in self.in_hand if id(call) not in settled]
        self.operations += len(calls)
        self.commits += 1
        self.failures = 0

    def well(self, **place: str) -> None:
        """Note that the ledger is open: from now on calls wait to be carried out."""
        if self.trouble is not None:
            self._log.info("ledger.opened", **place)
        self.trouble = None
        self._waiting += self._kept
        self._kept = []
        self.down.clear()
        self.up.set()
        self.tried.set()

    def lost(self, reason: str) -> None:
        """Nothing can be carried out: whoever waits is told so."""
        if self.trouble != reason:
            self._log.error("ledger.unavailable", error=reason)
        self._fail(reason)

    def close(self) -> None:
        """Tell the worker to carry out what waits, and end."""
        self.closing = True
        self._wake.set()

    def closed(self, reason: str) -> None:
        """The worker has ended."""
        self._fail(reason)

    async def woken(self, until_s: float) -> None:
        """Return when something is asked or due, or it is to end, or `wake` was called; or at that time of the loop."""
        if self._waiting or self.closing:
            return
        self._wake.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout_at(min(until_s, self._soon_by_s)):
                await self._wake.wait()

    def flush(self) -> None:
        """Carry out now what could wait: somebody waits for it."""
        if self._soon:
            self._soon_by_s = 0.0
            self._wake.set()

    def wake(self) -> None:
        """Let the worker look."""
        self._wake.set()

    async def pause(self, pause_s: float) -> None:
        """Let calls gather for so long, and tell who waits for that, in time for one more call."""
        if pause_s > IN_TIME_S:
            self._gathering = []
            try:
                await asyncio.sleep(pause_s - IN_TIME_S)
            finally:
                self._tell_gathering()
            pause_s = IN_TIME_S
        await asyncio.sleep(pause_s)

    def gathering(self) -> asyncio.Future[None] | None:
        """See the port."""
        if self._gathering is None:
            return None
        gathered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._gathering.append(gathered)
        return gathered

    def _tell_gathering(self) -> None:
        waiting, self._gathering = self._gathering, None
        for gathered in waiting or ():
            if not gathered.done():
                gathered.set_result(None)

    async def back_off(self, dice: float) -> None:
        """Wait before the next try, unless it is to end."""
        wait_s = min(MAX_S, SHORTEST_S * 2.0 ** min(self.failures, 16)) * (0.5 + dice / 2)
        self.failures += 1
        await self.woken(asyncio.get_running_loop().time() + wait_s)

    def _fail(self, reason: str) -> None:
        self.trouble = reason
        self.up.clear()
        self.down.set()
        for call in self.in_hand:
            call.failures += 1  # any of these may be what failed; those that wait have not been tried
        for call in (*self.in_hand, *self._waiting, *self._soon.values()):
            if call.answer is not None and not call.answer.done():
                call.answer.set_exception(LedgerUnavailable(reason))
            elif call.outlasts_trouble:
                self._kept.append(call)
        self.in_hand = []
        self._waiting.clear()
        self._soon, self._soon_by_s = {}, inf
        self.tried.set()
