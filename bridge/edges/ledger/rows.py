"""An entry as a row, the same in every database: two keys to find it by, and what is stored of it.

Records and letters are JSON text, of which only the known fields are read: a later version may add some.
"""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import orjson

from bridge.core.answer.ending import CANCELLED, type_of
from bridge.core.delivery.ledger_entry import Entry, State
from bridge.core.delivery.outcome import DeadLetter
from bridge.core.delivery.progress import Progress, load
from bridge.flow.ports.ledger import EntryUnreadable

COLUMNS = ("state", "digest", "attempt", "requeue", "deaths", "progress", "letter", "ending")
DEATHS = COLUMNS.index("deaths")
PROGRESS, ENDING = COLUMNS.index("progress"), COLUMNS.index("ending")
FINAL_STATES = (State.COMPLETE.value, State.FAILED.value)
UNSTARTED_STATES = (State.CLAIMED.value, State.WAITING.value)
UNFINISHED_KEEPS = 4
"""After how many times `keep` without a change an entry is removed that never came to its end."""

Row = Sequence[Any]
"""The values of COLUMNS."""

LETTER = frozenset(field.name for field in fields(DeadLetter))


def key_of(event_id: str) -> str:
    """The event's id as text that every database takes: an id may hold NUL and halves of surrogate pairs."""
    if event_id.isprintable() and "\\" not in event_id:
        return event_id
    escaped = event_id.replace("\\", "\\\\").replace("\0", "\\0")
    return escaped.encode("utf-8", "backslashreplace").decode()


def row_of(entry: Entry) -> Row:
    """The entry's row."""
    return (
        entry.state._value_,
        entry.digest,
        entry.attempt,
        entry.requeue,
        entry.deaths,
        entry.progress.dump(),
        None if entry.letter is None else _json(entry.letter),
        entry.ending,
    )


def claimed_row(digest: bytes, progress: Progress | None = None) -> Row:
    """The row of an event that has just been claimed for the first time, and maybe is about to be asked for."""
    state = State.CLAIMED if progress is None else State.REQUESTED
    return (state._value_, digest, 0, 0, 0, None if progress is None else progress.dump(), None, None)


def cancelled_row(ending: bytes) -> Row:
    """The row of an event that was cancelled before anybody knew it."""
    return (State.ANSWERED.value, b"", 0, 0, 0, None, None, ending)


def cancel(row: Row | None, cancelled: Row) -> Row | None:
    """The row of an event once it is cancelled; None where it is too late for that. `row` is what was known of it."""
    if row is None:
        return cancelled
    if row[0] not in UNSTARTED_STATES or load(row[PROGRESS]).needs_proof or row[ENDING] is not None:
        return None
    return (cancelled[0], *row[1:ENDING], cancelled[ENDING])


def is_cancelled(row: Row) -> bool:
    """True where the ending in the row is that of a cancelled event."""
    return row[ENDING] is not None and type_of(bytes(row[ENDING])) == CANCELLED


def died_with(row: Row) -> Row:
    """The row of an event that a dead process had in hand."""
    if row[0] in FINAL_STATES:
        return tuple(row)
    return (*row[:DEATHS], row[DEATHS] + 1, *row[DEATHS + 1 :])


def entry_of(event_id: str, row: Row) -> Entry:
    """The entry in a row. Raises EntryUnreadable where a later version, or somebody else, has written it."""
    state, digest, attempt, requeue, deaths, progress, letter, ending = row
    try:
        return Entry(
            event_id=event_id,
            state=State(state),
            digest=bytes(digest),
            progress=load(progress),
            attempt=int(attempt),
            ending=None if ending is None else bytes(ending),
            letter=None if letter is None else _letter(letter),
            requeue=int(requeue),
            deaths=int(deaths),
        )
    except (TypeError, ValueError, KeyError) as error:
        raise EntryUnreadable(f"the ledger's entry of {event_id!r} cannot be read: {error}") from None


def _json(letter: DeadLetter) -> str:
    try:
        return orjson.dumps(letter).decode()
    except TypeError:  # half a surrogate pair, quoted from somewhere
        readable = replace(letter, error=letter.error.encode("utf-8", "replace").decode())
        return orjson.dumps(readable).decode()


def _letter(text: str) -> DeadLetter:
    fields = orjson.loads(text)
    return DeadLetter(**{name: fields[name] for name in LETTER})
