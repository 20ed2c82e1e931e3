"""A stream over any chunks."""

from collections.abc import AsyncIterator
from typing import Self


class FakeStream:
    """The stream port. `holds` counts how often it was held."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self.holds = 0
        self._chunks = chunks

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        return await anext(self._chunks)

    def hold(self) -> None:
        self.holds += 1
