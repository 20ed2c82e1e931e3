"""A stream over any chunks."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Self

from tests.support.fakes.clock import stillness


class FakeStream:
    """The stream port. `holds` counts how often it was held while more of it was gathered."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self.holds = 0
        self._chunks = chunks
        self._coming: asyncio.Task[bytes] | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self._coming is None:
            return await anext(self._chunks)
        coming, self._coming = self._coming, None
        return await coming

    async def gathered(self, until: Awaitable[object]) -> bytes:
        self.holds += 1
        await until
        gathered = b""
        while True:
            self._coming = self._coming or asyncio.ensure_future(self._one())
            await stillness()
            if not self._coming.done() or self._coming.exception() is not None:
                return gathered
            gathered += self._coming.result()
            self._coming = None

    async def _one(self) -> bytes:
        return await anext(self._chunks)

    def close(self) -> None:
        """The request is over."""
        if self._coming is not None:
            self._coming.cancel()
