"""A ledger in memory, for one process or several."""

import asyncio
from collections.abc import Collection

from bridge.core.ledger import FINAL, Claim, Entry, Holder, State
from bridge.flow.ports import LeaseLost, LedgerUnavailable

LEASE_S = 30.0


class FakeLedger:
    """The ledger port. `beside` makes it another process's view of the same ledger."""

    def __init__(self, beside: "FakeLedger | None" = None) -> None:
        self.trouble: str | None = None
        self.entries: dict[str, Entry] = {} if beside is None else beside.entries
        self.written: list[Entry] = []
        """Every entry that this process has written, in order."""
        self._holders: dict[str, object] = {} if beside is None else beside._holders
        self._open = asyncio.Event()
        self._open.set()

    def break_down(self, reason: str = "the disk is full") -> None:
        """Be unavailable."""
        self.trouble = reason

    def mend(self) -> None:
        """Be available again."""
        self.trouble = None

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

    def gone(self) -> None:
        """This process has ended, and its leases are over."""
        for event_id in [event_id for event_id, holder in self._holders.items() if holder is self]:
            del self._holders[event_id]
        self.trouble = "the process is gone"

    async def claim(self, event_id: str, digest: bytes) -> Claim:
        await self._available()
        entry = self.entries.get(event_id)
        holder = self._holders.get(event_id, self)
        if entry is not None and entry.state not in FINAL and holder is not self:
            return Claim(Holder.ANOTHER, wait_s=LEASE_S)
        self._holders[event_id] = self
        if entry is not None:
            return Claim(Holder.EARLIER, entry)
        self.entries[event_id] = Entry(event_id, State.CLAIMED, digest)
        return Claim(Holder.NOBODY)

    async def write(self, entry: Entry) -> None:
        await self._available()
        await self._open.wait()
        if self._holders.setdefault(entry.event_id, self) is not self:
            raise LeaseLost(f"another process has {entry.event_id!r} now")
        self.entries[entry.event_id] = entry
        self.written.append(entry)

    def write_soon(self, entry: Entry) -> None:
        if self.trouble is None and self._holders.setdefault(entry.event_id, self) is self:
            self.entries[entry.event_id] = entry
            self.written.append(entry)

    async def release(self, event_ids: Collection[str]) -> None:
        await self._available()
        for event_id in event_ids:
            if self._holders.get(event_id) is self:
                del self._holders[event_id]

    async def find(self, event_id: str) -> Entry | None:
        await self._available()
        return self.entries.get(event_id)

    async def _available(self) -> None:
        await asyncio.sleep(0)
        if self.trouble is not None:
            raise LedgerUnavailable(self.trouble)
