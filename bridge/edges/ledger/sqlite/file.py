"""The ledger's SQLite file, for the one thread that works on it.

**Durable** means on the disk: WAL with `synchronous=FULL` syncs the log at every commit. A process that is killed loses
nothing with NORMAL either, but a machine that loses power would forget the last commits, and with them what was asked
of the API. What a sync costs is shared by all calls of its commit.

**One process** has the file: it holds an flock on `<file>-lock`, which ends with the process however that ends. So
whatever an entry says, whoever wrote it is gone, and nothing needs a lease.

**Purging**: final entries are laid aside after `keep_endings` and go after `keep`, unfinished ones when they have not
changed for UNFINISHED_KEEPS times that, all in small steps: see past.py.

A damaged file is never written over: someone has to move it away.
"""

import os
import secrets
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import TypeVar

from bridge.edges.ledger.call_kinds import CallKind
from bridge.edges.ledger.call_queue import LedgerCall
from bridge.edges.ledger.lane_calls import Turn
from bridge.edges.ledger.rows import (
    FINAL_STATES,
    UNFINISHED_KEEPS,
    Row,
    cancel,
    died_with,
    hash_of,
    is_cancelled,
)
from bridge.edges.ledger.sqlite import pauses
from bridge.edges.ledger.sqlite.file_lock import FileLock, Identity, identity
from bridge.edges.ledger.sqlite.lane_places import LanePlaces, Write
from bridge.edges.ledger.sqlite.past import Ages, Past
from bridge.edges.ledger.sqlite.schema import (
    BEGUN,
    COMPLETED,
    DROP_DUE,
    DUE,
    FIND_DUE,
    KEEP_DUE,
    LIVES_ON,
    PURGE_DUE,
    SET_DUE,
    TAKE_DUE,
    NotALedger,
    check,
    migrate,
    prove_room,
    release,
    select,
    upsert,
)
from bridge.edges.ledger.sqlite.users import DROP_USER, FIND_USER, KEEP_USER, PURGE_USERS
from bridge.flow.ports.ledger import LeaseLost, LedgerUnavailable

T = TypeVar("T")

BUSY_S = 2.0
"""How long a commit waits for another program that reads or writes the file, such as `sqlite3` in someone's hands."""
OTHERS = {
    CallKind.KEEP_DUE: KEEP_DUE,
    CallKind.SET_DUE: SET_DUE,
    CallKind.DROP_DUE: DROP_DUE,
    CallKind.KEEP_USER: KEEP_USER,
    CallKind.DROP_USER: DROP_USER,
    CallKind.HOLD: pauses.HOLD,
}
"""Statements of other tables than the events'."""
READING = (CallKind.CLAIM, CallKind.FIND, CallKind.CANCEL)
"""Calls that ask what is known."""
LOOKED_UP = {CallKind.TAKE_DUE: TAKE_DUE, CallKind.FIND_DUE: FIND_DUE, CallKind.FIND_USER: FIND_USER}
"""Calls that are answered with one row, by the call's key."""
CHUNK = 50
"""Events in one statement."""
CHECKPOINT_ROWS, CHECKPOINT_PAGES = 1_000, 8_000
"""Rows after which the log goes into the file between two commits, and pages after which it does so within one."""
TIDY_S = 0.002
"""How long steps of purging follow on one another before others have their turn."""
WAL_BYTES = 64 * 1024 * 1024

SAID = {
    sqlite3.SQLITE_BUSY: "another program has locked it",
    sqlite3.SQLITE_CORRUPT: "it is damaged; move it away and a new one is made",
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_NOTADB: "it is not a SQLite database; move it away and a new one is made",
    sqlite3.SQLITE_READONLY: "it may not be written",
}
DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class LedgerFile:
    """One file. Every method but `close` raises LedgerUnavailable, with a sentence that names file and cause."""

    def __init__(self, path: Path, keep_s: float, keep_endings_s: float, busy_s: float = BUSY_S) -> None:
        self.path = path.absolute()
        self._real = self.path
        self._ages = Ages(int(keep_s * 1000), int(min(keep_endings_s, keep_s) * 1000))
        self._busy_s = busy_s
        self._connection: sqlite3.Connection | None = None
        self._past: Past | None = None
        self._places: LanePlaces | None = None
        self._lock = FileLock(self._beside("-lock"))
        self._identity: Identity | None = None
        self._wal_identity: Identity | None = None
        self._damaged = False
        self._owner = secrets.token_hex(8)
        self._cancelled: set[str] = set()
        """Events that were cancelled and not claimed since: who had one in hand may not write it any more."""
        self._made_anew = False
        self._gone = False
        self._checkpointed = 0
        self.log_is_long = False
        """True where `checkpoint` had better be called before the next commit."""

    def open(self, now_s: float) -> None:
        """Take the lock, open or create the file, bring its schema up to date, and prove that it can be written."""
        with self._translated():
            self._real = self.path.resolve()  # whatever it is called: all names of one file share one lock
            if self._lock.path != self._beside("-lock"):
                self._lock.let_go()
                self._lock = FileLock(self._beside("-lock"))
            if not self._lock.take():
                raise NotALedger(f"it is in use by {self._lock.holder()}, which locks {self._lock.path}")
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
            connection = sqlite3.connect(
                self.path, timeout=self._busy_s, isolation_level=None, cached_statements=4 * CHUNK
            )
            self._connection = connection
            self._check(connection)
            self._prepare(connection)
            self._past = Past(connection, self._ages)
            self._places = LanePlaces(connection, self._owner, now_s)
            self._identity, self._wal_identity = identity(self.path), identity(self._beside("-wal"))
            self._made_anew, self._gone = self._gone, False

    def made_anew(self) -> bool:
        """True, once, where the file that was open had gone from its path, and another one is used now."""
        made_anew, self._made_anew = self._made_anew, False
        return made_anew

    def close(self) -> None:
        """Close the file, but keep the lock."""
        replaced, connection = self._identity is not None and self._replaced, self._connection
        self._connection = self._identity = self._past = self._places = None
        if connection is not None:
            with suppress(sqlite3.Error):  # what could not be written has been reported by the commit that failed
                if replaced:
                    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # so that a file that was moved is whole
            with suppress(sqlite3.Error):
                connection.close()
            if replaced:
                self._gone = True
                self._forsake_log()

    def let_go(self) -> None:
        """Give up the lock, so that another process may have the file."""
        self._lock.let_go()

    def carry_out(self, calls: Sequence[LedgerCall], now_s: float) -> list[object]:
        """All of it in one commit, in order. The answers are those of the port; of events, what was known before."""
        self._reopen_if_replaced(now_s)
        with self._translated():
            known = dict(self._read({call.key for call in calls if call.kind in READING}))
            changed: dict[str, Row] = {}
            released: list[str] = []
            others: list[Write] = []
            answers: list[object] = []
            for call in calls:
                turn = self._turn(call, known.get(call.key), now_s, others)
                answers.append(known.get(call.key))
                match call.kind:
                    case CallKind.TAKE_TURN:
                        answers[-1] = turn
                    case CallKind.CLAIM if turn is not None and turn.before is not None:
                        pass
                    case CallKind.WRITE if call.key in self._cancelled:
                        answers[-1] = LeaseLost(f"{call.key!r} was cancelled meanwhile")
                    case CallKind.WRITE:
                        changed[call.key] = call.row
                        others += self._opened_places.leave(call.key) if call.row[0] in FINAL_STATES else ()
                    case CallKind.COMPLETE if call.key not in self._cancelled:
                        others.append((COMPLETED, (int(now_s * 1000), *call.row, hash_of(call.key))))
                        others += self._opened_places.leave(call.key)
                    case CallKind.CANCEL:
                        answers[-1] = self._cancel(call, known, changed)
                        others += self._opened_places.leave(call.key) if answers[-1] else ()
                    case CallKind.RELEASE:
                        released.append(call.key)
                    case CallKind.CLAIM if call.key in known:
                        self._cancelled.discard(call.key)
                        if known[call.key][0] not in FINAL_STATES:
                            changed[call.key] = known[call.key]
                    case CallKind.CLAIM:
                        known[call.key] = changed[call.key] = call.row
                    case CallKind.DUE | CallKind.BEGUN | CallKind.AHEAD:
                        answers[-1] = self._answer(call, now_s)
                    case kind if kind in LOOKED_UP:
                        answers[-1] = self._opened.execute(LOOKED_UP[kind], (call.key, *call.row)).fetchone()
                    case kind if kind in pauses.KINDS:
                        answers[-1] = pauses.carried_out(self._opened, call)
                    case _:
                        others += self._other_writes(call, now_s)
                if turn is not None and call.kind is CallKind.CLAIM:
                    answers[-1] = (answers[-1], turn)
            self._change(changed, released, int(now_s * 1000), others)
            self.log_is_long = self._opened.total_changes - self._checkpointed >= CHECKPOINT_ROWS
            return answers

    def has_places(self, lane: bytes) -> bool:
        """True where somebody waits in this lane. Any thread may ask."""
        return self._places is not None and self._places.has(lane)

    def checkpoint(self) -> None:
        """Bring what is in the log into the file, while nobody waits for a commit."""
        with self._translated():
            self._opened.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            self._checkpointed, self.log_is_long = self._opened.total_changes, False

    def _cancel(self, call: LedgerCall, known: dict[str, Row], changed: dict[str, Row]) -> bool:
        row = known.get(call.key)
        if row is not None and is_cancelled(row):
            return True
        row = cancel(row, call.row)
        if row is None:
            return False
        known[call.key] = changed[call.key] = row
        self._cancelled.add(call.key)
        return True

    def _answer(self, call: LedgerCall, now_s: float) -> object:
        """The answer to a call that is about no event's own row."""
        if call.kind is CallKind.DUE:
            return self._opened.execute(DUE, call.row).fetchall()
        if call.kind is CallKind.AHEAD:
            return self._opened_places.ahead(call.row, now_s)
        (deaths,) = self._opened.execute(BEGUN).fetchone()
        return deaths

    def _other_writes(self, call: LedgerCall, now_s: float) -> Sequence[Write]:
        """The writes of a call that is about no event's own row."""
        match call.kind:
            case CallKind.LINE_UP:
                return self._opened_places.line_up(call, now_s)
            case CallKind.LEAVE:
                return self._opened_places.leave(call.row[1])
            case CallKind.KEEP_DUE | CallKind.SET_DUE | CallKind.KEEP_USER:
                return [(OTHERS[call.kind], call.row)]
            case CallKind.DROP_DUE | CallKind.DROP_USER | CallKind.HOLD:
                return [(OTHERS[call.kind], (call.key, *call.row))]
            case CallKind.LIVES_ON:
                return [(LIVES_ON, ())]
            case _:
                return ()

    def _turn(self, call: LedgerCall, known: Row | None, now_s: float, writes: list[Write]) -> Turn | None:
        """The lane's turn for a call that wants one; None for one that does not."""
        if call.line is None:
            return None
        turn, more = self._opened_places.turn(call, known, now_s)
        writes += more
        return turn

    def purge(self, now_s: float) -> tuple[int, bool]:
        """Some steps of removing what is too old: how many entries went, and whether there may be more to do."""
        removed, more, until_s = 0, True, time.monotonic() + TIDY_S
        with self._translated():
            now_ms, past = int(now_s * 1000), self._opened_past
            self._opened.execute("PRAGMA synchronous = NORMAL")
            try:
                while more and time.monotonic() < until_s:
                    gone, more = past.step(now_ms)
                    removed += gone
            finally:
                self._opened.execute("PRAGMA synchronous = FULL")
            if not more:
                self._opened_places.forget(now_s - self._ages.keep_ms / 1000 * UNFINISHED_KEEPS)
                self._opened.execute(PURGE_DUE, ((now_ms - self._ages.keep_ms) / 1000,))
                self._opened.execute(PURGE_USERS, (now_s,))
        return removed, more

    def _reopen_if_replaced(self, now_s: float) -> None:
        if self._replaced or not self._lock.held:
            self.close()
            self.open(now_s)

    @property
    def _replaced(self) -> bool:
        """True where the file that is open is no longer the one at its path."""
        return identity(self.path) != self._identity

    @property
    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            raise LedgerUnavailable(f"the ledger {self.path} is closed")
        return self._connection

    @property
    def _opened_places(self) -> LanePlaces:
        if self._places is None:
            raise LedgerUnavailable(f"the ledger {self.path} is closed")
        return self._places

    @property
    def _opened_past(self) -> Past:
        if self._past is None:
            raise LedgerUnavailable(f"the ledger {self.path} is closed")
        return self._past

    def _read(self, keys: Iterable[str]) -> Iterator[tuple[str, Row]]:
        """The entries of events. What another owner had in hand died with it: nobody else can have the file."""
        for chunk in _chunks(keys):
            names = {hash_of(key): key for key in chunk}
            for key, owner, *row in self._opened.execute(select(len(names)), list(names)):
                yield names.pop(key), row if owner in (None, self._owner) else died_with(row)
            yield from self._opened_past.find(names)

    def _change(self, changed: dict[str, Row], released: list[str], now_ms: int, others: Sequence[Write] = ()) -> None:
        """Write rows and what other tables have, and let go of events: in one commit."""
        if not changed and not released and not others:
            return
        rows = list(_chunks(changed.items()))
        keys = list(_chunks(released))
        alone = len(rows) + len(keys) + len(others) == 1
        if not alone:
            self._opened.execute("BEGIN IMMEDIATE")
        for statement, alike in groupby(others, itemgetter(0)):
            self._opened.executemany(statement, [row for _, row in alike])
        for chunk in rows:
            values = [v for key, row in chunk for v in (hash_of(key), key, now_ms, now_ms, self._owner, *row)]
            self._opened.execute(upsert(len(chunk)), values)
            self._opened_past.replaced([key for key, _ in chunk])
        for names in keys:
            self._opened.execute(release(len(names)), (self._owner, *map(hash_of, names)))
        if not alone:
            self._opened.execute("COMMIT")

    def _check(self, connection: sqlite3.Connection) -> None:
        if self._damaged:
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise NotALedger(f"{SAID[sqlite3.SQLITE_CORRUPT]} ({verdict})")
            self._damaged = False
        check(connection)

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # of a new file
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise NotALedger("its file system cannot do without a rollback journal")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        self._checkpointed, self.log_is_long = connection.total_changes, False
        connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
        migrate(connection)
        prove_room(connection)

    def _forsake_log(self) -> None:
        """Take away what the file that was deleted or moved leaves at its path: a new one would replay it."""
        wal = self._beside("-wal")
        if self._wal_identity is not None and identity(wal) == self._wal_identity:
            wal.unlink(missing_ok=True)
            self._beside("-shm").unlink(missing_ok=True)

    def _beside(self, suffix: str) -> Path:
        return Path(f"{self._real}{suffix}")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # without the extended part
            self._damaged = self._damaged or code in DAMAGED
            cause = SAID.get(code, str(error))
            name = getattr(error, "sqlite_errorname", type(error).__name__)
            raise LedgerUnavailable(f"the ledger {self.path}: {cause} ({name})") from error
        except NotALedger as error:
            raise LedgerUnavailable(f"the ledger {self.path}: {error}") from None
        except OSError as error:
            raise LedgerUnavailable(f"the ledger {self.path}: {error.strerror or error}") from error


def _chunks(items: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(items)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk
