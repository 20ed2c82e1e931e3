"""A ledger in memory, for one process or several."""

import asyncio
from collections.abc import Awaitable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from bridge.core.answer.ending import CANCELLED, COMPLETE, type_of
from bridge.core.control.pause import Pause
from bridge.core.delivery.progress import Progress
from bridge.core.event.user import KnownUser
from bridge.core.lanes.lane_claim import InLine, LaneClaim
from bridge.core.lanes.lane_turns import Before, Key
from bridge.core.ledger.attempt_log import NO_ATTEMPTS
from bridge.core.ledger.due_finish import DueFinish
from bridge.core.ledger.ledger_entry import Claim, Entry, Holder, State
from bridge.flow.ports.ledger import LeaseLost, LedgerUnavailable
from tests.support.fakes.lanes import FakeLanes

LEASE_S = 30.0
SETTLED_S = 60.0


class Nobody:
    """Holds what nobody may write before it is claimed anew."""


NOBODY = Nobody()


def kept(entry: Entry) -> Entry:
    """What is kept of an entry: once it is complete, little of what was planned, and none of its attempts."""
    if entry.state is not State.COMPLETE:
        return entry
    planned = entry.progress.planned
    progress = replace(entry.progress, planned=None if planned is None else planned.once_complete)
    return replace(entry, progress=progress, log=NO_ATTEMPTS)


@dataclass(eq=False)
class HeldRow:
    """An event that is kept back: of which queue, by which pause, since when; and when a process saw to it last."""

    queue: str
    key: str
    since_s: float
    taken_s: float = 0.0


class FakeLedger:
    """The ledger port. `beside` makes it another process's view of the same ledger."""

    def __init__(self, beside: "FakeLedger | None" = None, *, shared: bool = True) -> None:
        self.shared = shared
        self._up, self._down = asyncio.Event(), asyncio.Event()
        self._trouble: str | None = None
        self._up.set()
        self.entries: dict[str, Entry] = {} if beside is None else beside.entries
        self.written: list[Entry] = []
        """Every entry that this process has written, in order."""
        self.dues: dict[str, DueFinish] = {} if beside is None else beside.dues
        self.users: dict[str, KnownUser] = {} if beside is None else beside.users
        self.paused: dict[str, Pause] = {} if beside is None else beside.paused
        self.held: dict[str, HeldRow] = {} if beside is None else beside.held
        self._due_holders: dict[str, object] = {} if beside is None else beside._due_holders
        self._holders: dict[str, object] = {} if beside is None else beside._holders
        self.lanes: FakeLanes = FakeLanes(self, None if beside is None else beside.lanes)
        self._life: list[int] = [0, 0] if beside is None else beside._life
        """Deaths, and whether somebody has begun."""
        self._dead = False
        self.waited = 0
        """How often somebody waited while calls were gathered."""
        self.gathers = False
        """Whether calls that come often are gathered."""
        self._open = asyncio.Event()
        self._open.set()

    @property
    def trouble(self) -> str | None:
        return self._trouble

    @trouble.setter
    def trouble(self, reason: str | None) -> None:
        self._trouble = reason
        there, gone = (self._up, self._down) if reason is None else (self._down, self._up)
        there.set()
        gone.clear()

    async def available(self) -> None:
        await self._up.wait()

    async def away(self) -> None:
        await self._down.wait()

    @property
    def in_hand(self) -> list[str]:
        """The ids of the events that this process has in hand."""
        return [key for key, holder in self._holders.items() if holder is self and not self.entries[key].is_final]

    def break_down(self, reason: str = "the disk is full") -> None:
        """Be unavailable."""
        self.trouble = reason

    def mend(self) -> None:
        """Be available again."""
        self.trouble = None

    def pass_endings(self) -> None:
        """What ended up to now keeps its ending only where the API's history has none."""
        for event_id, entry in self.entries.items():
            of_history = entry.sent is not None and entry.sent.type == COMPLETE
            if entry.state is State.COMPLETE and entry.is_final and of_history:
                self.entries[event_id] = replace(entry, ending=None, sent=None)

    def gathering(self) -> Awaitable[None] | None:
        if not self.gathers:
            return None
        self.waited += 1
        told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(told.set_result, None)
        return told

    def hold_writes(self) -> None:
        """Let no write return, nor be carried out, until `let_writes`."""
        self._open.clear()

    def let_writes(self) -> None:
        """Let the writes go on, in order."""
        self._open.set()

    def held_elsewhere(self, event_id: str, entry: Entry | None = None) -> None:
        """Some other process has the event, and its lease runs."""
        self._holders[event_id] = object()
        self.entries[event_id] = entry or Entry(event_id, State.CLAIMED, b"")

    def gone(self, *, in_order: bool = False) -> None:
        """This process has ended, and its leases are over."""
        self._dead = True
        self.lanes.gone()
        if in_order:
            self._life[:] = [0, 0]
        self.trouble = "the process is gone"

    async def claim(
        self, event_id: str, digest: bytes, progress: Progress | None = None, line: LaneClaim | None = None
    ) -> Claim:
        await self._available()
        entry = self._seen(event_id)
        holder = self._holders.get(event_id, self)
        if (
            entry is not None
            and not entry.is_final
            and holder not in (self, NOBODY)
            and not getattr(holder, "_dead", False)
        ):
            return Claim(Holder.ANOTHER, wait_s=LEASE_S)
        if line is not None and (before := self.lanes.claim(event_id, line, entry)) is not None:
            return Claim(Holder.LANE, before=before)
        self._holders[event_id] = self
        if entry is not None:
            self.entries[event_id] = entry
            return Claim(Holder.EARLIER, entry)
        new = Entry(event_id, State.CLAIMED, digest)
        self.entries[event_id] = new if progress is None else replace(new, state=State.REQUESTED, progress=progress)
        return Claim(Holder.NOBODY)

    async def write(self, entry: Entry) -> None:
        await self._available()
        await self._open.wait()
        if self._holders.setdefault(entry.event_id, self) is not self:
            raise LeaseLost(f"another process has {entry.event_id!r} now")
        self.entries[entry.event_id] = kept(entry)
        self.written.append(entry)
        if entry.is_final:
            self.lanes.leave(entry.event_id)

    def write_soon(self, entry: Entry) -> None:
        if self.trouble is None and self._holders.setdefault(entry.event_id, self) is self:
            self.entries[entry.event_id] = kept(entry)
            self.written.append(entry)
            if entry.is_final:
                self.lanes.leave(entry.event_id)

    def complete_soon(self, event_id: str, progress: Progress) -> None:
        if event_id in self.entries:
            self.write_soon(replace(self.entries[event_id], state=State.COMPLETE, progress=progress, letter=None))

    async def cancel(self, event_id: str, ending: bytes) -> bool:
        await self._available()
        known = self.entries.get(event_id)
        if known is not None and type_of(known.ending or b"") == CANCELLED:
            return True
        waiting = known is None or (
            known.state in (State.CLAIMED, State.WAITING) and not known.progress.needs_proof and not known.ending
        )
        if waiting:
            self.entries[event_id] = replace(
                known or Entry(event_id, State.CLAIMED, b""), state=State.ANSWERED, ending=ending
            )
            self._holders[event_id] = NOBODY
            self.lanes.leave(event_id)
        return waiting

    async def take_turn(self, event_id: str, line: LaneClaim) -> Before | None:
        await self._available()
        return self.lanes.claim(event_id, line, None)

    def line_up(self, lane: Key, events: Sequence[InLine]) -> None:
        if self.trouble is None:
            self.lanes.line_up(lane, events)

    def leave_lane(self, event_id: str) -> None:
        if self.trouble is None:
            self.lanes.leave(event_id)

    async def ahead(self, lane: Key, event_ids: Collection[str], lost_after_s: float) -> Mapping[str, int]:
        await self._available()
        return self.lanes.ahead(lane, event_ids, lost_after_s)

    async def freed(self) -> Collection[Key]:
        return await self.lanes.freed()

    def keep_due(self, due: DueFinish) -> None:
        if self.trouble is None:
            self.dues[due.conversation_id] = due.after(self.dues.get(due.conversation_id))

    def drop_due(self, conversation_id: str) -> None:
        if self.trouble is None:
            self.dues.pop(conversation_id, None)

    async def due(self, now_s: float, most: int) -> Sequence[DueFinish]:
        await self._available()
        found = [due for due in self.dues.values() if due.due_s <= now_s and self._free(due.conversation_id)]
        return sorted(found, key=lambda due: due.due_s)[:most]

    async def take_due(self, conversation_id: str, now_s: float) -> DueFinish | None:
        await self._available()
        due = self.dues.get(conversation_id)
        if due is None or due.due_s > now_s or not self._free(conversation_id):
            return None
        self._due_holders[conversation_id] = self
        return due

    async def find_due(self, conversation_id: str) -> DueFinish | None:
        await self._available()
        return self.dues.get(conversation_id)

    async def set_due(self, due: DueFinish) -> None:
        await self._available()
        self.dues[due.conversation_id] = due

    async def find_user(self, digest: str, now_s: float) -> KnownUser | None:
        await self._available()
        known = self.users.get(digest)
        return known if known is not None and known.until_s > now_s else None

    def keep_user(self, known: KnownUser) -> None:
        if self.trouble is None:
            self.users[known.digest] = known

    def drop_user(self, known: KnownUser) -> None:
        if self.trouble is None and self.users.get(known.digest, known).user_id == known.user_id:
            self.users.pop(known.digest, None)

    def _free(self, conversation_id: str) -> bool:
        holder = self._due_holders.get(conversation_id, self)
        return holder is self or getattr(holder, "_dead", False)

    async def pauses(self) -> Sequence[Pause]:
        await self._available()
        return [self.paused[key] for key in sorted(self.paused)]

    async def set_pause(self, pause: Pause) -> None:
        await self._available()
        self.paused[pause.key] = pause

    async def drop_pause(self, key: str, ended_s: float | None = None) -> bool:
        await self._available()
        pause = self.paused.get(key)
        if pause is None or (ended_s is not None and pause.holds_at(ended_s)):
            return False
        del self.paused[key]
        return True

    async def take_probe(self, key: str, now_s: float, every_s: float) -> bool:
        await self._available()
        pause = self.paused.get(key)
        if pause is None or pause.probed_s > now_s - every_s:
            return False
        self.paused[key] = replace(pause, probed_s=now_s)
        return True

    async def hold(self, event_id: str, queue: str, key: str, now_s: float) -> None:
        await self._available()
        self.held[event_id] = HeldRow(queue, key, now_s)

    async def take_unheld(self, now_s: float) -> Sequence[str]:
        await self._available()
        rows = [row for row in self._unheld(now_s) if row.taken_s < now_s - SETTLED_S]
        for row in rows:
            row.taken_s = now_s
        return sorted({row.queue for row in rows})

    async def clear_unheld(self, queue: str, now_s: float) -> None:
        await self._available()
        gone = [row for row in self._unheld(now_s) if row.queue == queue and row.since_s < now_s - SETTLED_S]
        for event_id in [event_id for event_id, row in self.held.items() if row in gone]:
            del self.held[event_id]

    def _unheld(self, now_s: float) -> list[HeldRow]:
        active = {key for key, pause in self.paused.items() if pause.holds_at(now_s)}
        return [row for row in self.held.values() if row.key not in active]

    async def release(self, event_ids: Collection[str]) -> None:
        await self._available()
        for event_id in event_ids:
            if self._holders.get(event_id) is self:
                del self._holders[event_id]
                self.lanes.let_go(event_id)

    async def find(self, event_id: str) -> Entry | None:
        await self._available()
        return self._seen(event_id)

    @property
    def outlived(self) -> bool:
        """Whether nobody is in the danger of the beginning."""
        return self._life == [0, 0]

    async def begun(self) -> int:
        await self._available()
        self._life[:] = [self._life[0] + self._life[1], 1]
        return self._life[0]

    async def lives_on(self) -> None:
        await self._available()
        self._life[:] = [0, 0]

    def _seen(self, event_id: str) -> Entry | None:
        entry = self.entries.get(event_id)
        in_hand = entry is not None and not entry.is_final
        died = in_hand and getattr(self._holders.get(event_id), "_dead", False)
        return replace(entry, deaths=entry.deaths + 1) if entry is not None and died else entry

    async def _available(self) -> None:
        await asyncio.sleep(0)
        if self.trouble is not None:
            raise LedgerUnavailable(self.trouble)
