"""How long the events of a lane wait, where, and why: for the lanes, and for who asks."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from bridge.core.lanes.expected_turn import NO_TURN_LIMIT, Prospect, TurnLimit, parked_s
from bridge.flow.lanes.lane import Lane
from bridge.flow.ports.runtime import loop_time
from bridge.flow.work import Work

IN_MEMORY_S = 1.0
API_WAIT_S = 1.0
"""The delay of events that are parked because the API is away: their queue is not consumed until it is there again, and
then they are to be back."""
CLOSED_WAIT_S = 30.0
"""The same where the ledger is away; and the wait of a lane whose first event no delay queue has taken."""
HELD_AT_MOST_S = 600.0
"""How long an event of which no copy can be made may be held unacknowledged; then it is dead-lettered."""
BEHIND_WAIT_S, BEHIND_AT_MOST_S = 10.0, 60.0
"""The delay of events that are parked because their places of the prefetch are wanted, at least and at most."""
SWEEP_S = 1.0


@dataclass(frozen=True, slots=True)
class WaitLimits:
    """How long an event waits in hand, and how many of each inbound queue may behind those that nothing in hand moves.

    A queue without a share has no such limit. `turns` is what the API's limits give one lane.
    """

    park_after_s: float
    shares: Mapping[str, int] = field(default_factory=dict)
    turns: TurnLimit = NO_TURN_LIMIT

    def hold_s(self, lane: Lane, unparkable: Collection[Work]) -> float:
        """Seconds for which a lane may go on waiting in memory for what everybody waits for, the API or the ledger.

        `unparkable` are those of which a delay queue took no copy the last time.
        """
        first = lane.works[0]
        if first in unparkable or first.uncopyable:
            return CLOSED_WAIT_S
        return max(0.0, first.started_s + self.park_after_s - loop_time())

    @staticmethod
    def closed_s(*, api: bool) -> float:
        """Seconds in a delay queue for what has waited too long for that: the `api`, or else the ledger."""
        return API_WAIT_S if api else CLOSED_WAIT_S


Waits = Mapping[Work, float]
"""Events that are to be parked, in order, and for how many seconds each."""


@dataclass(frozen=True, slots=True)
class Parking:
    """Events of a lane that are to be parked, in order, each with the number of turns before its own.

    They are counted from the one whose prospect it is. None goes for less than `least_s`, and, where the lane is not
    `crowded`, none that does not have to wait long.
    """

    lane: Lane
    places: Mapping[Work, int]
    prospect: Prospect
    least_s: float = 0.0
    crowded: bool = True

    def waits(self, ahead: Mapping[str, int], limits: WaitLimits, now_s: float) -> Waits:
        """Seconds for each of those that go: until its turn is expected. `ahead` is how many the ledger has before it.

        `now_s` is the event loop's time.
        """
        waits: dict[Work, float] = {}
        for work, place in self.places.items():
            known = ahead.get(work.event.id)
            turns = place if known is None else max(known - (not self.prospect.away), 0)
            wait_s = self.prospect.expected_s(turns, limits.turns)
            if waits or self.crowded or too_long(work, turns, self.prospect, limits, now_s):
                waits[work] = parked_s(max(wait_s, self.least_s), work.incoming.copies)
        return waits


def to_park(
    lanes: Iterable[Lane], outlook: Callable[[Lane], Parking | None], limits: WaitLimits, now_s: float
) -> Iterator[Parking]:
    """Events that must not wait in hand any longer.

    They would wait too long behind others (`outlook` of their lane, as `Order` has it); or the place of the prefetch
    that each of them takes is wanted by others, and what they wait for is not in hand. Of those the ones go that have
    longest to wait. `now_s` is the event loop's time.
    """
    blocked: list[Parking] = []
    for lane in lanes:
        if not lane.waiting or lane.parkers or all(work.uncopyable for work in lane.waiting):
            continue
        parking = outlook(lane)
        if parking is None:
            continue
        places, prospect = parking.places, parking.prospect
        late = next((turns for work, turns in places.items() if too_long(work, turns, prospect, limits, now_s)), None)
        if late is not None:
            goes = {work: turns for work, turns in places.items() if turns >= late}
            yield replace(parking, places=goes, crowded=False)
        elif prospect.blocked:
            blocked.append(parking)
    yield from _crowded(blocked, limits)


def _crowded(blocked: Collection[Parking], limits: WaitLimits) -> Iterator[Parking]:
    held = Counter(work.incoming.queue for parking in blocked for work in parking.places)
    crowd_s = {queue: _crowd_s(count, limits.shares.get(queue, count)) for queue, count in held.items()}
    for parking in sorted(blocked, key=lambda each: each.prospect.first_s, reverse=True):
        queues = [work.incoming.queue for work in parking.places]
        if any(held[queue] > limits.shares.get(queue, held[queue]) for queue in queues):
            held.subtract(queues)
            yield replace(parking, least_s=max(crowd_s.get(queue, 0.0) for queue in queues))


def too_long(work: Work, turns: int, prospect: Prospect, limits: WaitLimits, now_s: float) -> bool:
    """True where the event has waited too long, or surely would, with so many turns before its own."""
    waited_s = now_s - work.started_s
    wait_s = prospect.expected_s(turns, limits.turns) - (prospect.first_s if prospect.guessed else 0.0)
    return waited_s >= limits.park_after_s or waited_s + wait_s > limits.park_after_s


def _crowd_s(count: int, share: int) -> float:
    """Seconds for one that waits behind another among so many: the more there are, the fewer come back in a second.

    count / share    1    2    4    9
                    10   20   40   60
    """
    return min(BEHIND_WAIT_S * max(1.0, count / max(1, share)), BEHIND_AT_MOST_S)


@dataclass(frozen=True, slots=True)
class Waiting:
    """Events in hand that wait for their turn, in how many lanes; for how long the oldest, which, and why."""

    events: int = 0
    lanes: int = 0
    oldest_s: float | None = None
    event_id: str | None = None
    why: str | None = None

    @property
    def facts(self) -> dict[str, object]:
        """The same as JSON."""
        oldest = None if self.oldest_s is None else round(self.oldest_s, 1)
        return {
            "events": self.events,
            "lanes": self.lanes,
            "oldest_s": oldest,
            "event_id": self.event_id,
            "why": self.why,
        }


def waiting(lanes: Iterable[Lane], closed: Mapping[str, str], now_s: float) -> Waiting:
    """Look at what waits in these lanes. `closed` says why nothing may be asked; `now_s` is the event loop's time."""
    having = [lane for lane in lanes if _idle(lane)]
    works = [(work, lane) for lane in having for work in _idle(lane)]
    if not works:
        return Waiting()
    oldest, lane = min(works, key=lambda each: each[0].started_s)
    why = "; ".join(f"{name}: {error}" for name, error in sorted(closed.items())) or _why(oldest, lane)
    return Waiting(len(works), len(having), now_s - oldest.started_s, oldest.event.id, why)


def _idle(lane: Lane) -> list[Work]:
    """The events of the lane for which nothing is asked just now."""
    return [work for work in lane.works if not work.handling.asking]


def _why(work: Work, lane: Lane) -> str:
    place = lane.works.index(work)
    if place:
        first = lane.works[0]
        doing = "is being answered" if first.handling.asking else "waits itself"
        return f"{place} before it in its lane, the first of which, {first.event.id}, {doing}"
    if work.handling.held:
        return "the ledger is away"
    if work.log.attempts:
        last = work.log.attempts[-1]
        return f"its last attempt ended {last.outcome}: {last.error}"
    return "an earlier event of its lane is away in a delay queue" if not lane.running else "its turn has just come"
