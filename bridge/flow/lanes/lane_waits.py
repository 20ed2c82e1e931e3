"""How long the events of a lane wait, where, and why: for the lanes, and for who asks."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from operator import itemgetter

from bridge.flow.lanes.lane import Lane, loop_time
from bridge.flow.work import Work

IN_MEMORY_S = 1.0
API_WAIT_S = 1.0
"""The delay of events that are parked because the API is away: their queue is not consumed until it is there again, and
then they are to be back."""
CLOSED_WAIT_S = 30.0
"""The same where the ledger is away; and the wait of a lane whose first event no delay queue has taken."""
HELD_AT_MOST_S = 600.0
"""How long an event of which no copy can be made may be held unacknowledged; then it is dead-lettered."""
BEHIND_WAIT_S = 10.0
"""The delay of events that are parked because the one before them takes long."""
BEHIND_AT_MOST_S = 60.0
"""The longest delay of events that are parked because the one before them is away itself."""
SWEEP_S = 1.0
LEAST_S = 0.001
"""A wait that rounding has left over is no loop."""


@dataclass(frozen=True, slots=True)
class WaitLimits:
    """How long an event waits in hand, and how many of each inbound queue may behind those that nothing in hand moves.

    A queue without a share has no such limit.
    """

    park_after_s: float
    shares: Mapping[str, int] = field(default_factory=dict)

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


def to_park(
    lanes: Iterable[Lane], blocked_s: Callable[[Lane], float | None], limits: WaitLimits, now_s: float
) -> Iterator[tuple[Lane, list[Work], float]]:
    """Events that must not wait in hand any longer, and for how many seconds they go to a delay queue.

    They have waited too long behind another; or the place of the prefetch that each of them takes is wanted by others,
    and what they wait for is not in hand (`blocked_s`, as `Order` has it). Of those the ones go that have longest to
    wait. `now_s` is the event loop's time.
    """
    blocked: list[tuple[float, Lane]] = []
    for lane in lanes:
        if not lane.waiting or lane.parkers:
            continue
        if all(work.uncopyable for work in lane.waiting):
            continue
        if lane.waiting[0].started_s + limits.park_after_s < now_s:
            yield lane, lane.waiting, BEHIND_WAIT_S
        elif (left_s := blocked_s(lane)) is not None:
            blocked.append((left_s, lane))
    held = Counter(work.incoming.queue for _, lane in blocked for work in lane.waiting)
    crowd_s = {queue: _crowd_s(count, limits.shares.get(queue, count)) for queue, count in held.items()}
    for left_s, lane in sorted(blocked, key=itemgetter(0), reverse=True):
        queues = [work.incoming.queue for work in lane.waiting]
        if any(held[queue] > limits.shares.get(queue, held[queue]) for queue in queues):
            held.subtract(queues)
            yield lane, lane.waiting, max(left_s, *(crowd_s.get(queue, 0.0) for queue in queues))


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
