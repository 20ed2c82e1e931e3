"""Reading on while publishing is held up: what has come of a stream is not lost with its connection.

An HTTP client gives up what it holds unread as soon as the connection breaks. So, while there is no room to publish,
the stream is read all the same, as far as a bound; beyond it the server is held back. While there is room, nothing
stands between the stream and whoever reads it.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable
from contextlib import suppress

from bridge.flow.ports.api import Stream

AHEAD_BYTES = 1_048_576


class ReadAhead:
    """The chunks of one stream, in order. Not for two readers at a time."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._held: deque[bytes] = deque()
        self._held_bytes = 0
        self._next: asyncio.Task[bytes | None] | None = None

    async def chunk(self) -> bytes | None:
        """The next chunk; None at the server's clean end. Raises what the stream raises, after all that came before."""
        if self._held:
            chunk = self._held.popleft()
            self._held_bytes -= len(chunk)
            return chunk
        if self._next is None:
            return await anext(self._stream, None)
        coming, self._next = self._next, None
        return await coming

    async def with_more(self, chunk: bytes, until: Awaitable[object]) -> bytes:
        """The chunk that was read last, and what has come after it by then."""
        if self._held or self._next is not None:
            return chunk  # what was read ahead comes first
        return chunk + await self._stream.gathered(until)

    async def on_until(self, done: Awaitable[object]) -> None:
        """Read on until `done` is done."""
        waiting = asyncio.ensure_future(done)
        try:
            while not waiting.done() and self._held_bytes < AHEAD_BYTES and not self._over():
                self._next = self._next or asyncio.ensure_future(self._coming())
                await asyncio.wait((waiting, self._next), return_when=asyncio.FIRST_COMPLETED)
                self._keep()
            await waiting
        finally:
            waiting.cancel()

    async def close(self) -> None:
        """Stop reading."""
        if self._next is not None:
            self._next.cancel()
            with suppress(Exception, asyncio.CancelledError):
                await self._next

    async def _coming(self) -> bytes | None:
        return await anext(self._stream, None)

    def _over(self) -> bool:
        """True where the stream has ended, in whichever way; that is told in its turn."""
        return self._next is not None and self._next.done()

    def _keep(self) -> None:
        if self._next is None or not self._next.done() or self._next.cancelled() or self._next.exception() is not None:
            return
        chunk = self._next.result()
        if chunk is not None:
            self._held.append(chunk)
            self._held_bytes += len(chunk)
            self._next = None
