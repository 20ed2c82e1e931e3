"""A few events a second, for as long as somebody wants it."""

import asyncio
from collections.abc import Awaitable, Callable

from tests.chaos.field import Field

EVERY_S = 0.25
EVENTS = 2
SLOWLY = "[[reply:slow=0.15]]"
"""Said by one event more each time: so there is always a stream that is open."""

More = Callable[[Field], Awaitable[None]]


class Load:
    """`end` returns when everything that was begun to be published is confirmed."""

    def __init__(self, field: Field, more: More | None = None) -> None:
        """`more` publishes something beside it, each time."""
        self._field, self._more = field, more
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Nothing happens where it runs already."""
        if self._task is None:
            self._wanted.set()
            self._task = asyncio.create_task(self._run())

    async def end(self) -> None:
        self._wanted.clear()
        if self._task is not None:
            task, self._task = self._task, None
            await task

    async def _run(self) -> None:
        while self._wanted.is_set():
            await self._field.publish(EVENTS)
            await self._field.publish(1, SLOWLY)
            if self._more is not None:
                await self._more(self._field)
            await asyncio.sleep(EVERY_S)
