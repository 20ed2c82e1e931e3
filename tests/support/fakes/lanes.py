"""The lanes of a ledger in memory."""

import asyncio
from collections.abc import Collection, Sequence

from bridge.core.lanes.lane_claim import InLine, LaneClaim
from bridge.core.lanes.lane_turns import Before, Key, LaneTurns
from bridge.core.ledger.ledger_entry import Entry, State


class FakeLanes:
    """One process's view of the lanes; `beside` is another's."""

    def __init__(self, owner: object, beside: "FakeLanes | None") -> None:
        self._owner = owner
        self.turns: dict[Key, LaneTurns] = {} if beside is None else beside.turns
        self._lane_of: dict[str, Key] = {} if beside is None else beside._lane_of
        self._all: list[FakeLanes] = [] if beside is None else beside._all
        self._all.append(self)
        self._refused: set[Key] = set()
        self._freed: set[Key] = set()
        self._news = asyncio.Event()

    def claim(self, event_id: str, line: LaneClaim, entry: Entry | None) -> Before | None:
        """Take the turn of the lane, unless the event needs none."""
        if entry is not None and entry.is_final:
            if entry.state is not State.FAILED or line.requeue <= entry.requeue:
                return None
            self.leave(event_id)
        if self._lane_of.get(event_id, line.lane) != line.lane:
            self.leave(event_id)
        turns = self.turns.setdefault(line.lane, LaneTurns())
        if turns.turn is not None and turns.turn.event_id != event_id and turns.turn.holder is self._owner:
            self.leave(turns.turn.event_id)
        self._lane_of[event_id] = line.lane
        turns.line_up(event_id, self._owner, None, None, held=False)
        before = turns.take(event_id, self._owner, _now() - line.lost_after_s, line.passing)
        if before is not None:
            self._refused.add(line.lane)
        return before

    def line_up(self, lane: Key, events: Sequence[InLine]) -> None:
        """Give them places."""
        turns = self.turns.setdefault(lane, LaneTurns())
        for waiting in events:
            if self._lane_of.get(waiting.event_id, lane) != lane:
                self.leave(waiting.event_id)
            self._lane_of[waiting.event_id] = lane
            back_s = None if waiting.back_in_s is None else _now() + waiting.back_in_s
            turns.line_up(waiting.event_id, self._owner, back_s, waiting.awaits, held=waiting.held)
            if waiting.held or waiting.awaits is not None or waiting.back_in_s is not None:  # it gives up the turn
                self._wake(lane)

    def ahead(self, lane: Key, event_ids: Collection[str], lost_after_s: float) -> dict[str, int]:
        """How many come before each of them."""
        return self.turns[lane].ahead(event_ids, _now() - lost_after_s) if lane in self.turns else {}

    def let_go(self, event_id: str) -> None:
        """The event waits again, in nobody's hands, unless it is away already."""
        lane = self._lane_of.get(event_id)
        if lane is None:
            return
        place = self.turns[lane].get(event_id)
        if place is not None and place.holder is self._owner:
            self.turns[lane].leave(event_id, _now())
            self._wake(lane)

    def leave(self, event_id: str) -> None:
        """It is in no lane any more."""
        lane = self._lane_of.pop(event_id, None)
        if lane is not None:
            self.turns[lane].settle(event_id)
            self._wake(lane)

    def gone(self) -> None:
        """The process has ended, and its leases are over."""
        for turns in self.turns.values():
            turns.gone(self._owner, _now())

    async def freed(self) -> Collection[Key]:
        """See the port."""
        await self._news.wait()
        self._news.clear()
        freed, self._freed = self._freed, set()
        return freed

    def _wake(self, lane: Key) -> None:
        for each in self._all:
            if each is not self and lane in each._refused:
                each._refused.discard(lane)
                each._freed.add(lane)
                each._news.set()


def _now() -> float:
    return asyncio.get_running_loop().time()
