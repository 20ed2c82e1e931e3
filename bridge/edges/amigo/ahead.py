"""Reading a stream ahead of whoever reads it."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

import aiohttp

from bridge.core.failure import ApiError

AHEAD_BYTES = 1_048_576
"""How much of a stream is read ahead of whoever reads it."""


class Ahead:
    """What a stream said, read as it comes and kept until it is asked for: a cut takes nothing of it (H6)."""

    def __init__(self) -> None:
        self._chunks: deque[bytes] = deque()
        self._held = 0
        self._end: ApiError | None = None
        self._ended = False
        self._changed = asyncio.Event()
        self._room = asyncio.Event()

    async def fill(self, response: aiohttp.ClientResponse, translated: Callable[[Exception], ApiError]) -> None:
        """Read until the end, or until there is enough."""
        try:
            async for chunk in response.content.iter_any():
                self._chunks.append(chunk)
                self._held += len(chunk)
                self._changed.set()
                while self._held > AHEAD_BYTES:
                    self._room.clear()
                    await self._room.wait()
        except (aiohttp.ClientError, aiohttp.http.HttpProcessingError, ConnectionError) as error:
            self._end = translated(error)
        finally:
            self._ended = True
            self._changed.set()

    async def chunks(self) -> AsyncIterator[bytes]:
        """The chunks, and then the error where there was one."""
        while True:
            while self._chunks:
                chunk = self._chunks.popleft()
                self._held -= len(chunk)
                self._room.set()
                yield chunk
            if self._ended:
                break
            self._changed.clear()
            await self._changed.wait()
        if self._end is not None:
            raise self._end
