"""The journal: what was asked and how it ended, for assertions in tests."""

from collections import deque
from dataclasses import dataclass

_KEPT = 20_000


@dataclass
class Entry:
    """One request. ``outcome`` is what became of its interaction: committed, voided, or none.

    ``text`` is the message that it carried, ``at_ms`` when it began (ms), ``status`` 0 when no status was sent.
    """

    number: int
    at_ms: int
    operation: str
    method: str
    path: str
    query: str
    org_id: str
    user_id: str | None = None
    conversation_id: str | None = None
    text: str | None = None
    status: int = 0
    outcome: str | None = None
    fault: str | None = None
    ended_ms: int | None = None


class Journal:
    """The newest entries, oldest first."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=_KEPT)
        self._written = 0

    def add(self, entry: Entry) -> Entry:
        self._written += 1
        entry.number = self._written
        self._entries.append(entry)
        return entry

    def reset(self) -> None:
        self._entries.clear()
        self._written = 0

    def entries(self, operation: str | None, user_id: str | None, after: int) -> list[Entry]:
        """Entries numbered above ``after``, of one operation and of one user where these are named."""
        return [
            entry
            for entry in self._entries
            if entry.number > after and operation in (None, entry.operation) and user_id in (None, entry.user_id)
        ]
