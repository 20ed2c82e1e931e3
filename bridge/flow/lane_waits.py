"""How long the events of a lane wait, where, and why: for the lanes, and for who asks."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bridge.flow.lane import Lane
from bridge.flow.work import Work

IN_MEMORY_S = 1.0
CLOSED_WAIT_S = 30.0
"""The delay of events that are parked because the API or the ledger is away: their queue is not consumed."""
HELD_AT_MOST_S = 600.0
"""How long an event of which no copy can be made may be held unacknowledged; then it is dead-lettered."""
BEHIND_WAIT_S = 10.0
"""The delay of events that are parked because the one before them takes long."""
SWEEP_S = 1.0
LEAST_S = 0.001
"""A wait that rounding has left over is no loop."""


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
