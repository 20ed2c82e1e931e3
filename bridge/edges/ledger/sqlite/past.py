"""The part of the ledger's file that is laid aside: events whose end is `keep_endings` ago, short, in runs.

    known ──collect──▸ in memory, by key ──file──▸ a run of `past` ──clear──▸ gone from `known` ──`keep`──▸ gone

**Known** has a row for each event in hand or lately ended, and stays small, so that a commit touches few pages. Now
and then the final ones are moved, at most MAX_ENTRIES together: a *run*. A run is written in the order of its keys and
never changed, so a page is written once for dozens of entries, and it is removed from one end to the other. Between
filing and clearing an entry is in both: what `known` has counts. After a crash in between it is filed once more in a
later run; the latest run counts.

**Small steps.** Each step is a commit of its own and takes about a millisecond. It is not synced: what a loss of power
undoes is done again. The next commit of calls syncs it along.

**Clocks.** A time in the future was written by a clock that was ahead: it is taken for now, so that it holds nothing
up.
"""

import sqlite3
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from bridge.edges.ledger.rows import UNFINISHED_KEEPS, Row, row_of_old
from bridge.edges.ledger.sqlite import past_statements as sql
from bridge.edges.ledger.sqlite.key_filter import KeyFilter

STEP, BIG_STEP = 250, 1_000
"""Rows in a step that moves whole entries, and in one that removes or reads short ones."""
MAX_ENTRIES = 1 << 16
VACUUM_PAGES, SPARE_PAGES, SPARE_SHARE = 24, 256, 16
"""Given back in one step; kept for reuse: so many, or one in so many."""
PASSES = 4
"""How often in `keep_endings` what has ended is moved."""


class Ages(NamedTuple):
    """How long (ms) an entry is kept after its end, and how long with its ending."""

    keep_ms: int
    endings_ms: int


@dataclass(slots=True)
class Move:
    """One run on its way. Entries that were final before `limit_ms` are moved, as far as the number `to`."""

    run: int
    limit_ms: int
    to: int = 0
    entries: int = 0
    ended_ms: int = 0
    collected: bool = False
    filed: bytes | None = b""
    """The last key that is in the run; None once all are."""
    cleared: int = 0


class Past:
    """The part of the file that is laid aside, for the thread that works on it."""

    def __init__(self, connection: sqlite3.Connection, ages: Ages) -> None:
        self._connection = connection
        self._ages = ages
        self._filter = KeyFilter()
        self._move: Move | None = None
        self._moved_ms = 0
        self._purged_to = 0
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute(sql.ASIDE)
        (self._has_old,) = connection.execute(sql.HAS_OLD).fetchone()
        (self._vacuums,) = connection.execute("PRAGMA auto_vacuum").fetchone()
        (last,) = connection.execute(sql.LAST_RUN).fetchone()
        self._last_run: int = last or 0
        self._unread: list[tuple[int, int]] = connection.execute(sql.RUNS).fetchall()[::-1]
        """Runs that the filter does not have yet, with their entries, the oldest last."""
        self._read_to: bytes | None = None

    def find(self, keys: Mapping[bytes, str]) -> Iterator[tuple[str, Row]]:
        """The entries of those events, by the hashes of their keys, that were laid aside or left by older versions."""
        left = dict(keys)
        for key, name in keys.items():
            row = self._row(key)
            if row is not None:
                del left[key]
                yield name, row
        if self._has_old and left:
            names = list(left.values())
            for name, *row in self._connection.execute(sql.old(len(names)), names):
                yield name, row_of_old(row)

    def replaced(self, names: Collection[str]) -> None:
        """These events are known: what older versions had of them is history."""
        if self._has_old and names:
            self._connection.execute(sql.drop_old(len(names)), list(names))

    def _row(self, key: bytes) -> Row | None:
        runs = self._filter.runs(key)
        row: Row | None = None
        if self._unread:
            row = self._connection.execute(sql.FIND_UNREAD, (key, self._unread[-1][0])).fetchone()
        if runs and row is None:
            row = self._connection.execute(sql.find(len(runs)), (key, *runs)).fetchone()
        return row

    def step(self, now_ms: int) -> tuple[int, bool]:
        """Do a little of what is to be done: how many entries are forgotten, and whether there may be more to do."""
        if self._unread:
            self._read_run()
            return 0, True
        if self._move is not None:
            return self._moved(self._move, now_ms), True
        if self._moved_ms > now_ms or now_ms - self._moved_ms >= self._ages.endings_ms // PASSES:
            self._moved_ms = now_ms
            self._move = Move(self._last_run + 1, now_ms - self._ages.endings_ms)
            return 0, True
        removed = self._forget(now_ms)
        if removed is None and self._has_old:
            removed = self._forget_old(now_ms)
        if removed is not None:
            return removed, True
        return 0, self._given_back()

    def _read_run(self) -> None:
        """Let the filter learn some keys of a run that an earlier process has written."""
        run, entries = self._unread[-1]
        if self._read_to is None:
            self._filter.begin(run, entries)
        keys = [key for (key,) in self._connection.execute(sql.KEYS, (run, self._read_to or b"", BIG_STEP))]
        self._filter.add(keys)
        self._read_to = keys[-1] if keys else None
        if not keys:
            self._unread.pop()

    def _moved(self, move: Move, now_ms: int) -> int:
        """One step of moving; how many entries are forgotten by it."""
        if not move.collected:
            return self._collect(move, now_ms)
        if move.entries and move.filed is not None:
            self._file(move, move.filed)
        elif move.entries and move.cleared < move.to:
            upto = min(move.to, self._after(move.cleared))
            self._connection.execute(sql.CLEAR, (move.cleared, upto, move.limit_ms))
            move.cleared = upto
        else:
            self._connection.execute(sql.EMPTY_ASIDE)
            self._move = None
            if move.entries >= MAX_ENTRIES:
                self._moved_ms = 0  # there may be more
        return 0

    def _after(self, number: int) -> int:
        (last,) = self._connection.execute(sql.STEP_TO, (number, STEP)).fetchone()
        return int(last or number + STEP)

    def _collect(self, move: Move, now_ms: int) -> int:
        """Look at the next entries in the order of their claims, until one is too young."""
        step = self._connection.execute(sql.AGES, (move.to, STEP)).fetchall()
        if any(max(claimed_ms, changed_ms) > now_ms for _, claimed_ms, changed_ms, _ in step):
            self._connection.execute(sql.RESTAMP, (now_ms, now_ms, move.to, step[-1][0]))
        old = [entry for entry in step if entry[1] < move.limit_ms]
        move.collected = len(old) < STEP
        if not old:
            return 0
        above, move.to = move.to, old[-1][0]
        ended = [changed_ms for _, _, changed_ms, final in old if final and changed_ms < move.limit_ms]
        if ended:
            move.entries += self._connection.execute(sql.COLLECT, (above, move.to, move.limit_ms)).rowcount
            move.ended_ms = max(move.ended_ms, *ended)
            move.collected = move.collected or move.entries >= MAX_ENTRIES
        limit_ms = now_ms - UNFINISHED_KEEPS * self._ages.keep_ms
        if any(not final and changed_ms < limit_ms for _, _, changed_ms, final in old):
            return self._connection.execute(sql.FORGET_UNFINISHED, (above, move.to, limit_ms)).rowcount
        return 0

    def _file(self, move: Move, above: bytes) -> None:
        keys = [key for (key,) in self._connection.execute(sql.ASIDE_KEYS, (above, STEP))]
        if not keys:
            move.filed = None
            return
        if not above:
            self._filter.begin(move.run, move.entries)
            self._last_run = move.run
        self._filter.add(keys)
        self._connection.execute("BEGIN IMMEDIATE")
        if not above:
            self._connection.execute(sql.BEGIN_RUN, (move.run, move.ended_ms, move.entries))
        self._connection.execute(sql.FILE, (move.run, above, keys[-1]))
        self._connection.execute("COMMIT")
        move.filed = keys[-1]

    def _forget(self, now_ms: int) -> int | None:
        """Remove some of a run that is too old; None where there is none."""
        if self._connection.execute(sql.RUNS_AHEAD, (now_ms,)).fetchone() is not None:
            self._connection.execute(sql.RESTAMP_RUNS, (now_ms, now_ms))
        old = self._connection.execute(sql.OLD_RUN, (now_ms - self._ages.keep_ms,)).fetchone()
        if old is None:
            return None
        (run,) = old
        upto = self._connection.execute(sql.KEY_AFTER, (run, BIG_STEP)).fetchone()
        if upto is not None:
            return self._connection.execute(sql.FORGET, (run, *upto)).rowcount
        self._connection.execute("BEGIN IMMEDIATE")
        removed = self._connection.execute(sql.FORGET_REST, (run,)).rowcount
        self._connection.execute(sql.END_RUN, (run,))
        self._connection.execute("COMMIT")
        self._filter.forget(run)
        return removed

    def _forget_old(self, now_ms: int) -> int | None:
        """The same of what older versions left; None where there is nothing to be removed now."""
        limit_ms = now_ms - self._ages.keep_ms
        step = self._connection.execute(sql.OLD_AGES, (self._purged_to, STEP)).fetchall()
        if any(max(claimed_ms, changed_ms) > now_ms for _, claimed_ms, changed_ms in step):
            self._connection.execute(sql.OLD_RESTAMP, (now_ms, now_ms, self._purged_to, step[-1][0]))
        old = [number for number, claimed_ms, _ in step if claimed_ms < limit_ms]
        if not old:
            self._purged_to = 0
            (self._has_old,) = self._connection.execute(sql.HAS_OLD).fetchone()
            return None
        unfinished_ms = limit_ms - (UNFINISHED_KEEPS - 1) * self._ages.keep_ms
        removed = self._connection.execute(sql.OLD_FORGET, (self._purged_to, old[-1], limit_ms, unfinished_ms)).rowcount
        self._purged_to = old[-1]
        return removed

    def _given_back(self) -> bool:
        """Shrink the file a little where much of it is empty; whether there is more to give back."""
        if not self._vacuums:
            return False
        (free,) = self._connection.execute("PRAGMA freelist_count").fetchone()
        (pages,) = self._connection.execute("PRAGMA page_count").fetchone()
        if free <= max(SPARE_PAGES, pages // SPARE_SHARE):
            return False
        self._connection.execute(f"PRAGMA incremental_vacuum({VACUUM_PAGES})").fetchall()
        return True
