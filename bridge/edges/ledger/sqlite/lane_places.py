"""The places of events in their lanes, as far as a SQLite file has them: where somebody has had to wait.

The file is one process's, so the places are read once, when it is opened, and decided about in memory. A lane of which
there is nothing here costs nothing: its order is the process's own, and an event in it is written by its claim alone.
"""

import sqlite3
from collections.abc import Sequence
from math import inf

from bridge.core.lanes.lane_turns import Before, LanePlace, LaneTurns, Passing, Standing
from bridge.core.ledger.ledger_entry import State
from bridge.edges.ledger.call_queue import LedgerCall
from bridge.edges.ledger.lane_calls import FREE, Turn
from bridge.edges.ledger.rows import CODES, FAILED_CODE, FINAL_STATES, REQUEUE, Row, hash_of, id_of

TABLE = (
    """
    CREATE TABLE lane_places (
        key BLOB PRIMARY KEY,
        event_id TEXT NOT NULL,
        lane BLOB NOT NULL,
        number INTEGER NOT NULL,
        back_ms INTEGER,
        awaits TEXT,
        held INTEGER NOT NULL
    ) WITHOUT ROWID
    """,
)
READ = "SELECT event_id, lane, number, back_ms, awaits, held FROM lane_places"
KEEP = "INSERT OR REPLACE INTO lane_places VALUES (?, ?, ?, ?, ?, ?, ?)"
DROP = "DELETE FROM lane_places WHERE key = ?"
DROP_ENDED = f"""
DELETE FROM lane_places WHERE EXISTS (
    SELECT 1 FROM known WHERE known.key = lane_places.key
    AND (state IN {FINAL_STATES} OR state = {CODES[State.ANSWERED]} AND back_ms IS NULL)
)
"""  # noqa: S608 - of constants
"""One that was answered and in hand is delivered anew, before what came after it, or was acknowledged."""
Write = tuple[str, Row]
"""A statement and its parameters."""


class LanePlaces:
    """The places in one file, while it is open. `now_s` is Unix time. Whoever had them, they are nobody's now."""

    def __init__(self, connection: sqlite3.Connection, owner: str, now_s: float) -> None:
        self._connection = connection
        self._owner = owner
        self._lanes: dict[bytes, LaneTurns] = {}
        self._lane_of: dict[str, bytes] = {}
        connection.execute(DROP_ENDED)
        for event_id, lane, number, back_ms, awaits, held in connection.execute(READ):
            standing = Standing.HELD if held else Standing.WAITING
            back_s = now_s if back_ms is None else back_ms / 1000
            self._lanes.setdefault(lane, LaneTurns()).restore(
                LanePlace(event_id, number, None, back_s, standing, awaits)
            )
            self._lane_of[event_id] = lane

    def has(self, lane: bytes) -> bool:
        """True where there is a place in this lane."""
        return lane in self._lanes

    def turn(self, call: LedgerCall, known: Row | None, now_s: float) -> tuple[Turn, Sequence[Write]]:
        """Take a turn for the event of a call, of which this is known. The answer, and what is to be written."""
        lane, lost_after_s, steers, joins, requeue = call.line or (b"", 0.0, False, None, 0)
        writes: list[Write] = []
        if known is not None and known[0] in FINAL_STATES:
            if known[0] != FAILED_CODE or requeue <= known[REQUEUE]:
                return FREE, ()
            writes += self.leave(call.key)
        if self._lane_of.get(call.key, lane) != lane:
            writes += self.leave(call.key)
        turns = self._lanes.get(lane)
        if turns is None:
            return FREE, writes
        had = turns.turn
        if had is not None and had.event_id != call.key and had.holder == self._owner:
            writes += self.leave(had.event_id)
        self._lanes[lane], self._lane_of[call.key] = turns, lane
        turns.line_up(call.key, self._owner, None, None, held=False)
        before = turns.take(call.key, self._owner, now_s - lost_after_s, Passing(steers, joins))
        writes.append(self._kept(call.key, lane))
        return Turn(None if before is None else Before(id_of(before.first), before.count), awaited=True), writes

    def line_up(self, call: LedgerCall, now_s: float) -> list[Write]:
        """Give events places, or change what is known of those that they have."""
        lane, waiting = call.row
        turns = self._lanes.setdefault(lane, LaneTurns())
        writes: list[Write] = []
        for key, back_in_s, awaits, held in waiting:
            if self._lane_of.get(key, lane) != lane:
                writes += self.leave(key)
            self._lane_of[key] = lane
            back_s = None if back_in_s is None else now_s + back_in_s
            turns.line_up(key, self._owner, back_s, awaits, held=held)
            writes.append(self._kept(key, lane))
        return writes

    def ahead(self, row: Row, now_s: float) -> dict[str, int]:
        """How many come before each of some events of a lane."""
        lane, keys, lost_after_s = row
        turns = self._lanes.get(lane)
        return {} if turns is None else turns.ahead(frozenset(keys), now_s - lost_after_s)

    def leave(self, key: str) -> list[Write]:
        """The event is in no lane any more."""
        lane = self._lane_of.pop(key, None)
        if lane is None:
            return []
        turns = self._lanes[lane]
        turns.settle(key)
        if not len(turns):
            del self._lanes[lane]
        return [(DROP, (hash_of(key),))]

    def forget(self, before_s: float) -> None:
        """Forget those that should have been back so long ago."""
        for turns in list(self._lanes.values()):
            for place in [place for place in turns if place.lost(before_s)]:
                for statement, row in self.leave(place.event_id):
                    self._connection.execute(statement, row)

    def _kept(self, key: str, lane: bytes) -> Write:
        place = self._lanes[lane].get(key)
        if place is None:
            return DROP, (hash_of(key),)
        away = place.holder is None and place.back_s > -inf
        back_ms = int(place.back_s * 1000) if away else None
        held = place.standing is Standing.HELD
        return KEEP, (hash_of(key), key, lane, place.number, back_ms, place.awaits, held)
