"""The sandbox's time: real or standing still, and movable by an admin call."""

import asyncio
import time
from datetime import UTC, datetime


def iso(ms: int) -> str:
    """Milliseconds since the epoch as the API writes them: ``2026-01-01T00:00:00.000Z``."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Clock:
    """Milliseconds since the epoch, plus whatever it was advanced by."""

    def __init__(self, frozen_at: datetime | None) -> None:
        self._frozen_ms = None if frozen_at is None else int(frozen_at.timestamp() * 1000)
        self._offset_ms = 0
        self._moved = asyncio.Event()

    def now_ms(self) -> int:
        base = int(time.time() * 1000) if self._frozen_ms is None else self._frozen_ms
        return base + self._offset_ms

    def now(self) -> datetime:
        """The same, in UTC."""
        return datetime.fromtimestamp(self.now_ms() / 1000, UTC)

    def advance(self, seconds: float) -> None:
        """Moves the time and wakes whoever sleeps on this clock."""
        self._offset_ms += int(seconds * 1000)
        self._moved.set()
        self._moved = asyncio.Event()

    def reset(self) -> None:
        self._offset_ms = 0

    async def sleep(self, seconds: float) -> None:
        """Sleeps until this clock shows so many seconds more; a clock that stands still must be advanced."""
        due_ms = self.now_ms() + int(seconds * 1000)
        while (left_ms := due_ms - self.now_ms()) > 0:
            moved = self._moved
            timeout = None if self._frozen_ms is not None else left_ms / 1000
            try:
                async with asyncio.timeout(timeout):
                    await moved.wait()
            except TimeoutError:
                continue
