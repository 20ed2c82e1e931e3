"""The order of a lane's events, also while some of them are away in a delay queue.

Each event gets a number when it first arrives. One that comes back has kept its number and takes its old place; while
one is away, those with higher numbers wait for it, but only as long as the delay queue can explain its absence.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from math import inf

from bridge.core.delivery.retry import delay_level
from bridge.flow.work import Work

PASSED_ON_S = 15.0
"""How long after a pause was lifted what it held is waited for: another process may have got it."""
MAX_HELD = 100_000
"""Held events whose places are remembered."""
RETURN_GRACE_S = 5.0
"""How much later than promised an event may come back from a delay queue before nobody waits for it any more."""

Key = tuple[str, str]


@dataclass(slots=True)
class Away:
    """An event in a delay queue: its number, and when (event loop time) it is back at the latest.

    With `held_by` it is in the held queue, as long as the pause of that key holds: nobody waits for it until then.
    """

    number: float
    back_s: float = inf
    held_by: str = ""
    was_held: bool = False

    def left(self, after_s: float, held_by: str, now_s: float) -> None:
        """The event is in the queue: for so many seconds, or until that pause is lifted."""
        self.held_by, self.was_held = held_by, bool(held_by)
        self.back_s = 0.0 if held_by else now_s + delay_level(after_s) + RETURN_GRACE_S


class Order:
    """The numbers of all events in hand or away."""

    def __init__(self, holding: Callable[[str], bool]) -> None:
        """`holding` is true of the key of a pause that is not lifted."""
        self._holding = holding
        self._counter = count()
        self._numbers: dict[str, float] = {}
        self._away: dict[Key, dict[str, Away]] = {}

    def arrived(self, work: Work) -> bool:
        """Number an event. True where it had been away, so that its place may be among others."""
        number = self._known_number(work) if self._away else None
        self._numbers[work.event.id] = next(self._counter) if number is None else number
        return number is not None

    def _known_number(self, work: Work) -> float | None:
        """The number of an event that comes back; None for a new one.

        One that an earlier process sent away comes before those that this one has held: the held queue gives back first
        what went in first.
        """
        away = self._away.get(work.event.lane, {})
        back = away.pop(work.event.id, None)
        if back is not None or not work.incoming.copies:
            return None if back is None else back.number
        held = min((each.number for each in away.values() if each.was_held), default=None)
        return None if held is None else held - 0.5

    def number(self, work: Work) -> float:
        return self._numbers[work.event.id]

    def leaves(self, work: Work) -> Away:
        """The event is on its way to a delay queue or the held queue; tell the result once it is there."""
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

    def wait_until(self, work: Work, now_s: float) -> float:
        """Until when (event loop time) one that comes before this event is to be waited for; 0 for none."""
        if not self._away:
            return 0.0
        number, away = self._numbers[work.event.id], self._away.get(work.event.lane, {})
        if not away:
            return 0.0
        self._let_go(away, now_s)
        return max((each.back_s for each in away.values() if each.number < number), default=0.0)

    def _let_go(self, away: dict[str, Away], now_s: float) -> None:
        """Events that no pause holds any more are on their way back."""
        held = {each.held_by for each in away.values()} - {""}
        lifted = {key for key in held if not self._holding(key)}
        for each in away.values():
            if each.held_by in lifted:
                each.held_by, each.back_s = "", now_s + PASSED_ON_S

    def forget(self, now_s: float) -> None:
        """Let go of those that should have been back."""
        held = 0
        for lane, away in list(self._away.items()):
            self._let_go(away, now_s)
            known = {event_id: each for event_id, each in away.items() if each.held_by or each.back_s > now_s}
            held += sum(bool(each.held_by) for each in known.values())
            if known and held <= MAX_HELD:
                self._away[lane] = known
            else:
                del self._away[lane]
