"""The order of a lane's events, also while some of them are away in a delay queue.

Each event gets a number when it first arrives. One that comes back has kept its number and takes its old place; while
one is away, those with higher numbers wait for it, but only as long as the delay queue can explain its absence.
"""

from dataclasses import dataclass
from itertools import count
from math import inf

from bridge.flow.work import Work

RETURN_GRACE_S = 5.0
"""How much later than promised an event may come back from a delay queue before nobody waits for it any more."""

Key = tuple[str, str]


@dataclass(slots=True)
class Away:
    """An event in a delay queue: its number, and when (event loop time) it is back at the latest."""

    number: int
    back_s: float = inf


class Order:
    """The numbers of all events in hand or away."""

    def __init__(self) -> None:
        self._counter = count()
        self._numbers: dict[str, int] = {}
        self._away: dict[Key, dict[str, Away]] = {}

    def arrived(self, work: Work) -> bool:
        """Number an event. True where it had been away, so that its place may be among others."""
        back = self._away.get(work.event.lane, {}).pop(work.event.id, None) if self._away else None
        self._numbers[work.event.id] = back.number if back is not None else next(self._counter)
        return back is not None

    def number(self, work: Work) -> int:
        return self._numbers[work.event.id]

    def leaves(self, work: Work) -> Away:
        """The event is on its way to a delay queue; set `back_s` of the result once it is there."""
        away = Away(self._numbers[work.event.id])
        self._away.setdefault(work.event.lane, {})[work.event.id] = away
        return away

    def stays(self, work: Work) -> None:
        """The event did not get into a delay queue: it is in hand as before."""
        self._away.get(work.event.lane, {}).pop(work.event.id, None)

    def gone(self, work: Work, *, away: bool = False) -> None:
        """The event is no longer in hand; unless it is away, it does not come back as the same either.

        One that stands in no lane any more is not waited for in that which it was away from.
        """
        self._numbers.pop(work.event.id, None)
        if not away and self._away:
            self._away.get(work.event.line if work.event.alone else work.event.lane, {}).pop(work.event.id, None)

    def has_away(self, lane: Key) -> bool:
        """True where an event of this lane is in a delay queue."""
        return bool(self._away.get(lane))

    def wait_until(self, work: Work) -> float:
        """Until when (event loop time) one that comes before this event is to be waited for; 0 for none."""
        if not self._away:
            return 0.0
        number, away = self._numbers[work.event.id], self._away.get(work.event.lane, {})
        return max((each.back_s for each in away.values() if each.number < number), default=0.0)

    def forget(self, now_s: float) -> None:
        """Let go of those that should have been back."""
        for lane, away in list(self._away.items()):
            self._away[lane] = {event_id: each for event_id, each in away.items() if each.back_s > now_s}
            if not self._away[lane]:
                del self._away[lane]
