"""A ledger in memory, which can be away, and in which another process can have an event."""

from collections.abc import Collection

from bridge.core.ledger import Claim, Entry, Holder, State
from bridge.flow.ports import LedgerUnavailable


class FakeLedger:
    """`entries` is what it remembers; `elsewhere` are ids that another process holds; `away` says why it is away."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.elsewhere: set[str] = set()
        self.written: list[Entry] = []
        self.away: str | None = None

    async def claim(self, event_id: str, digest: bytes) -> Claim:
        self._here()
        known = self.entries.get(event_id)
        if event_id in self.elsewhere:
            return Claim(Holder.ANOTHER, known, 5.0)
        if known is None:
            self.entries[event_id] = Entry(event_id, State.CLAIMED, digest)
        return Claim(Holder.NOBODY if known is None else Holder.EARLIER, known)

    async def write(self, entry: Entry) -> None:
        self._here()
        self.entries[entry.event_id] = entry
        self.written.append(entry)

    async def release(self, event_ids: Collection[str]) -> None:
        self._here()

    async def find(self, event_id: str) -> Entry | None:
        self._here()
        return self.entries.get(event_id)

    def _here(self) -> None:
        if self.away is not None:
            raise LedgerUnavailable(self.away)
