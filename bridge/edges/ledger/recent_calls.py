"""The calls of the last minute, as far as a ledger in a file knows of them: for the rate limits of the next process.

An event's last request counts as answered at its entry's last change. Lists, sign-ins and earlier attempts are in no
ledger. In a database the limits have rows of their own, which outlive their processes.
"""

import asyncio
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from bridge.core.delivery.progress import RequestKind
from bridge.core.delivery.trace import subject
from bridge.edges.ledger.factory import SQLITE
from bridge.edges.ledger.rows import COLUMNS, entry_of
from bridge.flow.ports.ledger import EntryUnreadable

OPERATIONS: Mapping[RequestKind, str] = {
    RequestKind.CREATE: "create-conversation",
    RequestKind.INTERACT: "interact",
    RequestKind.FINISH: "finish",
    RequestKind.TAG: "tags",
}
MAX_EVENTS = 20_000
BUSY_S = 0.2
RECENT = f"""
SELECT changed_ms / 1000.0, {", ".join(COLUMNS)} FROM known
WHERE number > (SELECT coalesce(max(number), 0) FROM known) - {MAX_EVENTS} AND changed_ms > ? ORDER BY changed_ms
"""  # noqa: S608 - of constants
"""The newest events alone: a look at all of them could take seconds."""


@dataclass(frozen=True, slots=True)
class RecentCall:
    """A call: whose, which, and how many seconds ago it was answered at the latest."""

    user_id: str
    operation: str
    ago_s: float


async def recent_calls(url: str, window_s: float, now_s: float) -> list[RecentCall]:
    """Those of the window before `now_s` (Unix seconds), the oldest first; none where the file cannot be read."""
    if not url.startswith(SQLITE):
        return []
    return await asyncio.to_thread(_in_file, Path(url.removeprefix(SQLITE)), window_s, now_s)


def _in_file(path: Path, window_s: float, now_s: float) -> list[RecentCall]:
    if not path.exists():
        return []
    since_ms = int((now_s - window_s) * 1000)
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", BUSY_S, uri=True)) as connection:
            rows = connection.execute(RECENT, (since_ms,)).fetchall()
    except sqlite3.Error:
        return []
    calls = [_call(changed_s, stored, now_s) for changed_s, *stored in rows]
    return [call for call in calls if call is not None]


def _call(changed_s: float, stored: list[object], now_s: float) -> RecentCall | None:
    try:
        entry = entry_of("", stored)
    except EntryUnreadable:
        return None
    operation, user_id = OPERATIONS.get(entry.progress.request), subject(entry)["user_id"]
    if operation is None or not isinstance(user_id, str) or not user_id:
        return None
    return RecentCall(user_id, operation, max(0.0, now_s - changed_s))
