"""An entry as a row, the same in every database: a key to find it by, and what is stored of it.

**Short.** An event is found by the first 16 bytes of the SHA-256 of its id, states are numbers, and a progress is a
JSON array of which the end is left out where it says nothing. An entry that is complete, and whose ending the API's
history has, is laid aside without the ending and with the beginning of its digest: see LAID_ASIDE.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import asdict, fields
from functools import lru_cache
from typing import Any

import orjson

from bridge.core.answer.ending import CANCELLED, type_of
from bridge.core.delivery.outcome import DeadLetter
from bridge.core.delivery.progress import NOTHING, UNKNOWN, Progress, RequestKind, load
from bridge.core.ledger.attempt_log import NO_ATTEMPTS, AttemptLog, load_log
from bridge.core.ledger.ledger_entry import Entry, State
from bridge.edges.ledger.sent_text import owed_of_text, owed_text, sent_of, sent_text
from bridge.flow.ports.ledger import EntryUnreadable

COLUMNS = ("state", "digest", "attempt", "requeue", "deaths", "progress", "letter", "sent", "ending")
REQUEUE = COLUMNS.index("requeue")
DEATHS = COLUMNS.index("deaths")
PROGRESS, ENDING = COLUMNS.index("progress"), COLUMNS.index("ending")
OWED = COLUMNS.index("letter")
CODES = {state: number for number, state in enumerate(State, 1)}
STATES = {number: state for state, number in CODES.items()}
COMPLETE_CODE, FAILED_CODE = CODES[State.COMPLETE], CODES[State.FAILED]
OWING = len(CODES) + 1
"""Complete but for enrichments: `letter` has what is owed. Not final: whoever sees to them holds a lease."""
FINAL_STATES = (COMPLETE_CODE, FAILED_CODE)
UNSTARTED_STATES = (CODES[State.CLAIMED], CODES[State.WAITING])
UNFINISHED_KEEPS = 4
"""After how many times `keep` without a change an entry is removed that never came to its end."""
KEY_BYTES, DIGEST_BYTES = 16, 8
KEEP_ENDINGS_S = 3600.0
"""How long an ending that the API's history has is kept, unless it is said."""
OLD_COLUMNS = ("state", "digest", "attempt", "requeue", "deaths", "progress", "letter", "ending")
"""The columns of versions before 0.2: the state is text."""

_OF_HISTORY = f"state = {COMPLETE_CODE} AND substr(sent, 1, 23) = '[\"interaction-complete\"'"
LAID_ASIDE = {name: name for name in COLUMNS} | {
    "digest": f"substr(digest, 1, {DIGEST_BYTES})",
    "sent": f"CASE WHEN {_OF_HISTORY} THEN NULL ELSE sent END",
    "ending": f"CASE WHEN {_OF_HISTORY} THEN NULL ELSE ending END",
}
"""The rest of each column, as an expression of SQL, once `keep_endings` is over."""

ESCAPED = re.compile(r"\\(\\|0|u[0-9a-f]{4})")
ESCAPES = {"\\": "\\", "0": "\0"}

Row = Sequence[Any]
"""The values of COLUMNS."""

SAYS_NOTHING: dict[str, object] = {
    "request": RequestKind.NONE.value,
    "conversation_id": None,
    "stream": None,
    "published": 0,
    "version_set": None,
    "announced": None,
    "watermark": None,
    "asked": None,
    "planned": None,
    "waits": 0,
    "busy_since": None,
    "lost_stream": False,
}
"""The fields of a progress, in the order of the array, those first that are seldom as here."""

LETTER = frozenset(field.name for field in fields(DeadLetter))


def key_of(event_id: str) -> str:
    """The event's id as text that every database takes: an id may hold NUL and halves of surrogate pairs."""
    if event_id.isprintable() and "\\" not in event_id:
        return event_id
    escaped = event_id.replace("\\", "\\\\").replace("\0", "\\0")
    return escaped.encode("utf-8", "backslashreplace").decode()


def id_of(key: str) -> str:
    """The event's id that has this key."""
    return ESCAPED.sub(lambda match: ESCAPES.get(match[1]) or chr(int(match[1][1:], 16)), key) if "\\" in key else key


@lru_cache(8192)
def hash_of(key: str) -> bytes:
    """The bytes by which an event with this key is found."""
    return hashlib.sha256(key.encode()).digest()[:KEY_BYTES]


def row_of(entry: Entry) -> Row:
    """The entry's row."""
    return (
        CODES[entry.state] if entry.owed is None else OWING,
        entry.digest,
        entry.attempt,
        entry.requeue,
        entry.deaths,
        _short(entry.progress, complete=entry.state is State.COMPLETE),
        _letter_text(entry),
        None if entry.sent is None else sent_text(entry.sent),
        entry.ending,
    )


def completed_row(progress: Progress) -> Row:
    """The change of an answered event's row, beside that of its state, that makes it a complete one's: its progress."""
    return (_short(progress, complete=True),)


def claimed_row(digest: bytes, progress: Progress | None = None) -> Row:
    """The row of an event that has just been claimed for the first time, and maybe is about to be asked for."""
    state = State.CLAIMED if progress is None else State.REQUESTED
    return (CODES[state], digest, 0, 0, 0, None if progress is None else _short(progress), None, None, None)


def cancelled_row(ending: bytes) -> Row:
    """The row of an event that was cancelled before anybody knew it."""
    return (CODES[State.ANSWERED], b"", 0, 0, 0, None, None, None, ending)


def cancel(row: Row | None, cancelled: Row) -> Row | None:
    """The row of an event once it is cancelled; None where it is too late for that. `row` is what was known of it."""
    if row is None:
        return cancelled
    if row[0] not in UNSTARTED_STATES or _progress(row[PROGRESS]).needs_proof or row[ENDING] is not None:
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


def row_of_old(row: Row) -> Row:
    """The row of OLD_COLUMNS as one of today's; a state that nobody knows stays as it is, and cannot be read."""
    state, *rest, ending = row
    return (_code(state), *rest, None, ending)


def entry_of(event_id: str, row: Row) -> Entry:
    """The entry in a row. Raises EntryUnreadable where a later version, or somebody else, has written it."""
    state, digest, attempt, requeue, deaths, progress, letter, sent, ending = row
    try:
        return Entry(
            event_id=event_id,
            state=State.COMPLETE if state == OWING else STATES[state],
            digest=bytes(digest),
            progress=_progress(progress),
            attempt=int(attempt),
            ending=None if ending is None else bytes(ending),
            letter=None if letter is None or state == OWING else _letter(letter),
            log=NO_ATTEMPTS if letter is None or state == OWING else _log(letter),
            requeue=int(requeue),
            deaths=int(deaths),
            sent=None if sent is None else sent_of(sent),
            owed=owed_of_text(letter) if state == OWING else None,
        )
    except (TypeError, ValueError, KeyError) as error:
        cause = f"no state has the number {state!r}" if state not in (*STATES, OWING) else str(error)
        raise EntryUnreadable(f"the ledger's entry of {event_id!r} cannot be read: {cause}") from None


def _code(state: object) -> object:
    try:
        return CODES[State(str(state))]
    except ValueError:
        return state


def _short(progress: Progress, *, complete: bool = False) -> str | None:
    """The progress as an array without its phase; what is as in NOTHING at the end is left out."""
    if progress.request is RequestKind.NONE and progress == NOTHING:
        return None
    planned = progress.planned
    if complete and planned is not None:
        planned = planned.once_complete
    values = [
        progress.request._value_,
        progress.conversation_id,
        progress.stream,
        progress.published,
        progress.version_set,
        progress.announced,
        progress.watermark,
        progress.asked_s,
        None if planned is None else planned.dump(),
        progress.waits,
        progress.busy_since_s,
        progress.lost_stream,
    ]
    while len(values) > 1 and not values[-1]:
        values.pop()  # the last ones are 0, None and False where they say nothing
    return orjson.dumps(values).decode()


def _progress(text: object) -> Progress:
    """The progress in a row. What cannot be read is taken as an unknown request: it will be asked about."""
    if text is None or not str(text).startswith("["):
        return load(text)
    try:
        values = orjson.loads(str(text))
    except orjson.JSONDecodeError:
        return UNKNOWN
    return load(orjson.dumps(SAYS_NOTHING | dict(zip(SAYS_NOTHING, values, strict=False))).decode())


def _letter_text(entry: Entry) -> str | None:
    """Why the event failed, and the last attempts at it unless it is complete; or what it owes. One JSON object."""
    if entry.owed is not None:
        return owed_text(entry.owed)
    letter, log = entry.letter, NO_ATTEMPTS if entry.state is State.COMPLETE else entry.log
    if letter is None and log is NO_ATTEMPTS:
        return None
    failure = {} if letter is None else asdict(letter)
    return orjson.dumps({**failure, **log.dump()}).decode()


def _letter(text: str) -> DeadLetter | None:
    fields = orjson.loads(text)
    return DeadLetter(**{name: fields[name] for name in LETTER}) if "reason" in fields else None


def _log(text: str) -> AttemptLog:
    fields = orjson.loads(text)
    return load_log(fields.get("log", ()), fields.get("wait"), fields.get("planned"))
