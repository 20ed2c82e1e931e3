"""Events with which processes have died are kept from dying together again (`core.delivery.poison`).

    find ▸ deaths ▸ wait until few enough others like it are in hand ▸ claim ▸ handle ▸ … ▸ out of hand

It is found out before the claim, for an event in hand at the next death counts as one that died with it.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, field

from bridge.core.delivery.poison import is_suspect, together
from bridge.flow.ledger_journal import LedgerJournal
from bridge.flow.ports.runtime import Log
from bridge.flow.work import Work


@dataclass(slots=True, eq=False)
class Place:
    """An event's place in the line: with how many deaths, and whether it has been called."""

    event_id: str
    deaths: int
    called: asyncio.Event = field(default_factory=asyncio.Event)


class PoisonGuard:
    """Lets suspects through, in order of arrival, as many together as their deaths allow."""

    def __init__(self, journal: LedgerJournal, patience_s: float, log: Log) -> None:
        self._journal = journal
        self._patience_s = patience_s
        self._log = log
        self._in_hand: dict[str, int] = {}
        self._waiting: deque[Place] = deque()
        self._stopped = False

    async def turn(self, work: Work) -> bool:
        """Wait for the event's turn. False where it does not come before the event has been in memory for too long."""
        if work.event.id in self._in_hand:
            return True
        deaths = await self._journal.deaths(work)
        if not is_suspect(deaths):
            return True
        self._log.info("event.suspect", event_id=work.event.id, deaths=deaths, waiting=len(self._waiting))
        place = Place(work.event.id, deaths)
        self._waiting.append(place)
        self._call()
        try:
            async with asyncio.timeout_at(work.started_s + self._patience_s):
                await place.called.wait()
        except TimeoutError:
            pass
        finally:
            if place in self._waiting:
                self._waiting.remove(place)
                self._call()
        return place.called.is_set() and not self._stopped

    def left(self, work: Work) -> None:
        """The event is in hand no more."""
        if self._in_hand.pop(work.event.id, None) is not None:
            self._call()

    def stop(self) -> None:
        """Let nobody through any more."""
        self._stopped = True
        for place in self._waiting:
            place.called.set()
        self._waiting.clear()

    def _call(self) -> None:
        """Let the first ones in, as long as there is room for them beside those in hand."""
        while self._waiting:
            place = self._waiting[0]
            if len(self._in_hand) >= min(together(deaths) for deaths in (place.deaths, *self._in_hand.values())):
                return
            self._waiting.popleft()
            self._in_hand[place.event_id] = place.deaths
            place.called.set()
