"""Events with which processes have died are kept from dying together again (`core.caution`).

    find ▸ deaths ▸ wait until few enough others like it are in hand ▸ claim ▸ handle

It is found out before the claim, for an event in hand at the next death counts as one that died with it.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bridge.core.caution import is_suspect, together
from bridge.flow.book import Book
from bridge.flow.ports import Log
from bridge.flow.work import Work


class Suspects:
    """Lets suspects through, in order of arrival, as many together as their deaths allow."""

    def __init__(self, book: Book, patience_s: float, log: Log) -> None:
        self._book = book
        self._patience_s = patience_s
        self._log = log
        self._in_hand: list[int] = []
        self._waiting: deque[tuple[int, asyncio.Event]] = deque()

    @asynccontextmanager
    async def turn(self, work: Work) -> AsyncIterator[bool]:
        """Inside the block, it is the event's turn; False where it did not come within the time to wait in memory."""
        deaths = await self._book.deaths(work)
        if not is_suspect(deaths):
            yield True
            return
        self._log.info("event.suspect", event_id=work.event.id, deaths=deaths, waiting=len(self._waiting))
        called = await self._called(deaths)
        try:
            yield called
        finally:
            if called:
                self._in_hand.remove(deaths)
                self._call()

    async def _called(self, deaths: int) -> bool:
        place = (deaths, asyncio.Event())
        self._waiting.append(place)
        self._call()
        try:
            async with asyncio.timeout(self._patience_s):
                await place[1].wait()
        except TimeoutError:
            pass
        finally:
            if not place[1].is_set():
                self._waiting.remove(place)
        return place[1].is_set()

    def _call(self) -> None:
        """Let the first ones in, as long as there is room for them beside those in hand."""
        while self._waiting:
            deaths, called = self._waiting[0]
            if len(self._in_hand) >= min(together(each) for each in (deaths, *self._in_hand)):
                return
            self._waiting.popleft()
            self._in_hand.append(deaths)
            called.set()
