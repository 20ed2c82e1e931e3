"""The common part of the ledgers: the port's methods, as calls in a queue."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Self

from bridge.core.delivery.progress import Progress
from bridge.core.event.user import KnownUser
from bridge.core.lanes.lane_claim import InLine, LaneClaim
from bridge.core.lanes.lane_turns import Before, Key
from bridge.core.ledger.due_finish import DueFinish
from bridge.core.ledger.ledger_entry import Entry
from bridge.edges.ledger.call_kinds import CallKind
from bridge.edges.ledger.call_queue import PROCESS, CallQueue
from bridge.edges.ledger.due_rows import due_of, due_row
from bridge.edges.ledger.lane_calls import LaneCalls, lane_hash, line_row
from bridge.edges.ledger.rows import Row, cancelled_row, claimed_row, completed_row, entry_of, key_of, row_of
from bridge.edges.ledger.user_rows import user_of_row, user_row
from bridge.flow.ports.ledger import EntryUnreadable
from bridge.flow.ports.runtime import Log


class QueuedLedger(ABC):
    """The common part of the ledgers: a queue of calls. Each ledger adds the worker that carries them out."""

    def __init__(self, log: Log) -> None:
        self._calls = CallQueue(log)
        self._lanes = LaneCalls(self._calls.put_soon)
        self._log = log
        self._in_danger = False
        self._task: asyncio.Task[None]

    @property
    def trouble(self) -> str | None:
        """Why it is unavailable; None when it is well."""
        return self._calls.trouble

    async def available(self) -> None:
        """See the port."""
        await self._calls.up.wait()

    async def away(self) -> None:
        """See the port."""
        await self._calls.down.wait()

    @property
    def operations(self) -> int:
        """Calls carried out so far."""
        return self._calls.operations

    @property
    def commits(self) -> int:
        """In how many commits or statements."""
        return self._calls.commits

    async def _claim(self, event_id: str, digest: bytes, progress: Progress | None, line: LaneClaim | None) -> Row:
        """Claim it. A pair: the answer, and those that come before it in its lane, for which it was refused."""
        row = claimed_row(digest, progress)
        if line is None:
            return await self._calls.put(CallKind.CLAIM, event_id, row), None
        answer, turn = await self._calls.put(CallKind.CLAIM, event_id, row, line_row(line))
        return answer, self._lanes.asked(event_id, line.lane, turn)

    async def take_turn(self, event_id: str, line: LaneClaim) -> Before | None:
        """Take the turn for a claimed event; see the port."""
        turn = await self._calls.put(CallKind.TAKE_TURN, event_id, (), line_row(line))
        return self._lanes.asked(event_id, line.lane, turn)

    def line_up(self, lane: Key, events: Sequence[InLine]) -> None:
        """Give events places; see the port."""
        self._lanes.line_up(lane, events)

    def leave_lane(self, event_id: str) -> None:
        """Nobody waits for the event any more; see the port."""
        self._lanes.leave(event_id)

    async def ahead(self, lane: Key, event_ids: Collection[str], lost_after_s: float) -> Mapping[str, int]:
        """How many come before each of them; see the port."""
        row = (lane_hash(lane), list(map(key_of, event_ids)), lost_after_s)
        ahead: Mapping[str, int] = await self._calls.put(CallKind.AHEAD, lane_hash(lane).hex(), row)
        return {event_id: ahead[key] for event_id, key in zip(event_ids, row[1], strict=True) if key in ahead}

    async def freed(self) -> Collection[Key]:
        """The lanes that others have left; see the port."""
        return await self._lanes.freed()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._work(), name="ledger")
        await self._calls.tried.wait()
        return self

    async def write(self, entry: Entry) -> None:
        """Remember it; see the port."""
        await self._calls.put(CallKind.WRITE, entry.event_id, row_of(entry))

    def write_soon(self, entry: Entry) -> None:
        """Remember it, before long; see the port."""
        self._calls.put_late(CallKind.WRITE, entry.event_id, row_of(entry))

    def complete_soon(self, event_id: str, progress: Progress) -> None:
        """An answered event is complete; see the port."""
        self._calls.put_late(CallKind.COMPLETE, event_id, completed_row(progress))

    def gathering(self) -> asyncio.Future[None] | None:
        """See the port."""
        return self._calls.gathering()

    async def cancel(self, event_id: str, ending: bytes) -> bool:
        """Give an event that has not started its ending; see the port."""
        done: bool = await self._calls.put(CallKind.CANCEL, event_id, cancelled_row(ending))
        return done

    def keep_due(self, due: DueFinish) -> None:
        """A sign of life of a conversation; see the port."""
        self._calls.put_soon(CallKind.KEEP_DUE, due.conversation_id, due_row(due))

    def drop_due(self, conversation_id: str) -> None:
        """The conversation is over; see the port."""
        self._calls.put_soon(CallKind.DROP_DUE, conversation_id)

    async def due(self, now_s: float, most: int) -> Sequence[DueFinish]:
        """The conversations that are to be finished; see the port."""
        dues = []
        for row in await self._calls.put(CallKind.DUE, PROCESS, (now_s, most)):
            try:
                dues.append(due_of(row))
            except EntryUnreadable as error:  # nothing will come of it
                self._log.error("entry.unreadable", error=str(error))
                self.drop_due(str(row[0]))
        return dues

    async def take_due(self, conversation_id: str, now_s: float) -> DueFinish | None:
        """Take one of them; see the port."""
        row = await self._calls.put(CallKind.TAKE_DUE, conversation_id, (now_s,))
        return None if row is None else due_of(row)

    async def find_due(self, conversation_id: str) -> DueFinish | None:
        """Look a conversation up; see the port."""
        row = await self._calls.put(CallKind.FIND_DUE, conversation_id)
        return None if row is None else due_of(row)

    async def set_due(self, due: DueFinish) -> None:
        """Remember how far its finish has come; see the port."""
        await self._calls.put(CallKind.SET_DUE, due.conversation_id, due_row(due))

    async def find_user(self, digest: str, now_s: float) -> KnownUser | None:
        """Whose e-mail it is; see the port."""
        row = await self._calls.put(CallKind.FIND_USER, digest, (now_s,))
        return None if row is None else user_of_row(row)

    def keep_user(self, known: KnownUser) -> None:
        """Remember it; see the port."""
        self._calls.put_soon(CallKind.KEEP_USER, known.digest, user_row(known))

    def drop_user(self, known: KnownUser) -> None:
        """Forget it; see the port."""
        self._calls.put_soon(CallKind.DROP_USER, known.digest, (known.user_id,))

    async def release(self, event_ids: Collection[str]) -> None:
        """Let go of events; see the port."""
        self._lanes.let_go(event_ids)
        await asyncio.gather(*[self._calls.put(CallKind.RELEASE, event_id) for event_id in event_ids])

    async def find(self, event_id: str) -> Entry | None:
        """The entry of an event; see the port."""
        row = await self._calls.put(CallKind.FIND, event_id)
        return None if row is None else entry_of(event_id, row)

    async def begun(self) -> int:
        """See the port."""
        self._in_danger = True
        return int(await self._calls.put(CallKind.BEGUN, PROCESS))

    async def lives_on(self) -> None:
        """See the port."""
        await self._calls.put(CallKind.LIVES_ON, PROCESS)
        self._in_danger = False

    def _close(self) -> None:
        """Let the worker end in good order."""
        if self._in_danger:
            self._calls.put_soon(CallKind.LIVES_ON, PROCESS)
        self._calls.close()

    @abstractmethod
    async def _work(self) -> None:
        """Carry out what is asked, until the end."""
