"""The order of the events that this process has in hand, or has sent to delay queues: each lane's turns.

An event gets its number when it first arrives; one that comes back takes its old place (`core.lanes.lane_turns`).
An event that stands in no lane has no number: its lane is its own.

The ledger is told what others, or who comes after this process, must know: with one process, the events that are sent
away, and those before them; where several share the ledger, each event that has to wait, as soon as it has to. Where
the ledger knows better, because another process has numbered an event before, this order follows.
"""

from collections.abc import Callable, Iterable, Mapping
from math import inf

from bridge.core.delivery.retry import delay_level
from bridge.core.lanes.expected_turn import Prospect, TurnTimes, rest_s
from bridge.core.lanes.lane_claim import InLine
from bridge.core.lanes.lane_turns import Before, Key, LaneTurns
from bridge.flow.lanes.held_events import PASSED_ON_S, HeldEvents
from bridge.flow.lanes.lane import Lane
from bridge.flow.lanes.lane_journal import LaneJournal, passing_of
from bridge.flow.lanes.lane_waits import BEHIND_WAIT_S, Parking, WaitLimits, Waits
from bridge.flow.lanes.lost_events import LostEvents
from bridge.flow.ports.runtime import loop_time
from bridge.flow.work import Work

HERE = "here"
FORGOTTEN_S = 3_600.0
"""How long an event that is lost keeps its place."""
RECHECK_S = 5.0
"""How often a lane that waits for another process's event is looked at without having been woken."""


class Order:
    """The turns of all lanes, as far as this process knows."""

    def __init__(self, journal: LaneJournal, lost: LostEvents, holding: Callable[[str], bool]) -> None:
        """`holding` is true of the key of a pause that is not lifted."""
        self._journal = journal
        self._held = HeldEvents(holding)
        self._turn_times = TurnTimes()
        self._first_seen_s: dict[str, float] = {}
        """Events that have come back, and had no place here, each with when it was first seen (Unix seconds)."""
        self._lost = lost
        self._lanes: dict[Key, LaneTurns] = {}
        self._lane_of: dict[str, Key] = {}
        self._lined_up: set[str] = set()
        """Events in hand of which the ledger has a place."""

    def arrives(self, work: Work, lane: Lane) -> None:
        """Number an event, and give it its place: at the end of its lane, or, where it had been away, its old one."""
        lane.works.append(work)
        was_away = self._numbered(work)
        if work.event.id == lane.behind:
            self._turns(work).put_first(work.event.id)
            was_away = True
        if was_away:
            self.place(lane, (), lane.works[0] if lane.running else None)
            lane.wake()
        lane.changed.set()
        if self._journal.shared and len(lane.works) > 1:
            self._journal.line_up(lane.key, self._to_line_up(lane.unclaimed))

    def place(self, lane: Lane, works: Iterable[Work], running: Work | None) -> None:
        """Give these their places among the others, in the order of their numbers, behind the one that is running."""
        lane.place(works, self._number, running)

    def wait_until(self, lane: Lane) -> float:
        """Give the first event the turn of its lane (0), or say when to look again: others come before it."""
        if lane.recheck_s > loop_time():
            return lane.recheck_s
        return 0.0 if self._takes(lane) else loop_time() + RECHECK_S

    def _takes(self, lane: Lane) -> bool:
        work = lane.works[0]
        if self._held:
            self._let_go_held()
        if not self._has(work):
            return True
        before = self._turns(work).take(work.event.id, HERE, self._lost.before_s, passing_of(work))
        if before is None:
            return True
        first = lane.find(before.first)
        if first is not None:  # it has the turn, and an earlier one has come back meanwhile
            lane.put_first([first])
        return first is not None

    def behind(self, work: Work, lane: Lane, before: Before) -> None:
        """Let the event go first that the ledger names, where it is in hand; else wait for it."""
        if self._has(work):
            self._turns(work).yields(work.event.id)
        first = lane.find(before.first)
        if first is None or not self._has(first):
            # Looked at again even if nobody wakes it: who is before it may be another process's, and die.
            lane.wait_behind(before, loop_time() + RECHECK_S)
        else:
            self._turns(first).put_first(first.event.id)
            self.place(lane, (), None)

    def waits(self, work: Work) -> bool:
        """True where one that is away comes before this event."""
        if not self._has(work):
            return False
        before = self._turns(work).before_in_line(work.event.id, self._lost.before_s, passing_of(work))
        return any(place.holder is None for place in before)

    def turn_ended(self, lane: Lane) -> None:
        """The first of the lane is through. How long that took tells the others when their turns are."""
        if len(lane.works) > 1 or len(self._lanes.get(lane.key, ())) > 1:
            self._turn_times.ended(lane.key, loop_time() - lane.turn_s)

    def outlook(self, lane: Lane) -> Parking | None:
        """The events that wait in hand in the lane, and when their turns are; None where the first has its turn now."""
        prospect = self._prospect(lane)
        return None if prospect is None else Parking(lane, self._places(lane, lane.waiting, prospect), prospect)

    def behind_one_away(self, lane: Lane, first: Work, for_s: float) -> Parking:
        """The others of the lane that wait for the first of it, which is about to be away for so long."""
        prospect = Prospect(for_s, self._turn_times.turn_s(lane.key), away=True)
        behind = [work for work in lane.works if work is not first and not passing_of(work).passes(first.awaits)]
        return Parking(lane, self._places(lane, behind, prospect), prospect)

    async def parked_for(self, parking: Parking, limits: WaitLimits) -> Waits:
        """Seconds for each of the events that are to be parked, by the ledger's places where it alone has all."""
        lane, ahead = parking.lane, NOT_ASKED
        if self._journal.shared and all(lane.key) and parking.places:
            ahead = await self._journal.ahead(lane.key, [work.event.id for work in parking.places])
        return parking.waits(ahead, limits, loop_time())

    def _prospect(self, lane: Lane) -> Prospect | None:
        first, turn_s, now_s = lane.waiting[0], self._turn_times.turn_s(lane.key), loop_time()
        if lane.running:
            running_s = now_s - lane.turn_s
            left_s = rest_s(running_s, turn_s)
            return Prospect(left_s, turn_s, guessed=running_s >= turn_s, blocked=lane.works[0].is_refused)
        if lane.recheck_s > now_s:
            left_s = rest_s(now_s - first.started_s, turn_s)
            return Prospect(left_s, turn_s, lane.ahead, guessed=True, blocked=True)
        if not self._has(first):
            return None
        before = next(self._turns(first).before_in_line(first.event.id, self._lost.before_s, passing_of(first)), None)
        if before is None or before.holder is not None:
            return None
        left_s = before.back_s - now_s
        if not 0.0 < left_s < inf:  # on its way there, or back
            left_s = BEHIND_WAIT_S
        return Prospect(left_s, turn_s, blocked=True, away=True)

    def _places(self, lane: Lane, works: Iterable[Work], prospect: Prospect) -> dict[Work, int]:
        """The number of turns before that of each of these events; in their order where they have no numbers here."""
        works = list(works)
        turns = self._lanes.get(lane.key, NOBODY_WAITS)
        ahead = turns.ahead({work.event.id for work in works}, self._lost.before_s)
        return {work: prospect.turns_before(ahead.get(work.event.id, index)) for index, work in enumerate(works, 1)}

    def leaves(self, works: Iterable[Work]) -> None:
        """These events are on their way to a delay queue."""
        for work in works:
            self._leaves(work, inf)

    def goes(self, work: Work, lane: Lane, for_s: float, held_by: str = "") -> None:
        """The ledger is to know that the event is away for so long; before it, those that come before it."""
        if work.in_lane and work.handling.letter is None:  # one that has failed is waited for no more
            away = InLine(work.event.id, delay_level(for_s), work.awaits, held=bool(held_by))
            before = [each for each in lane.works if self._number(each) < self._number(work)]
            self._journal.line_up(lane.key, [*self._to_line_up(before), away])

    def gone(self, work: Work, for_s: float, held_by: str = "") -> None:
        """The event is in a delay queue, or in the held one until that pause is lifted.

        Where any process may get it, only the ledger knows of it from then on.
        """
        if work.in_lane and not held_by and (self._journal.shared or work.handling.letter is not None):
            self.let_go(work)
        else:
            self._leaves(work, loop_time() + delay_level(for_s))
            if work.awaits is not None and self._has(work):
                self._turns(work).wait_for_end(work.event.id, work.awaits)
            if held_by and self._has(work) and self._held.hold(work.event.id, held_by):
                self._turns(work).hold(work.event.id)

    def stays(self, works: Iterable[Work], lane: Lane, running: Work | None) -> None:
        """These did not get into a delay queue, or are in hand again: in their old places."""
        works = list(works)
        for work in works:
            if self._has(work):
                self._turns(work).arrive(work.event.id, HERE)
        self._journal.line_up(lane.key, self._to_line_up([work for work in works if work.in_lane]))
        self.place(lane, works, running)

    def left(self, work: Work) -> None:
        """The event is waited for no more, here or elsewhere."""
        self.let_go(work)
        self._journal.leave(work)

    def let_go(self, work: Work) -> None:
        """The event is in hand no more, and comes again as if it was new, unless the ledger says more."""
        self._lined_up.discard(work.event.id)
        self._drop(work.event.id)

    def has_away(self, lane: Key) -> bool:
        """True where an event of this lane is in a delay queue."""
        return any(place.holder is None for place in self._lanes.get(lane, ()))

    def forget(self) -> None:
        """Let go of those that are lost for so long that nobody expects them."""
        self._let_go_held()
        for lane, turns in list(self._lanes.items()):
            turns.forget(self._lost.before_s - FORGOTTEN_S)
            self._tidy(lane)
        if len(self._lane_of) > 2 * sum(map(len, self._lanes.values())) + 100:
            self._lane_of = {place.event_id: lane for lane, turns in self._lanes.items() for place in turns}
            self._first_seen_s = {each: seen_s for each, seen_s in self._first_seen_s.items() if each in self._lane_of}

    def _let_go_held(self) -> None:
        """Events that no pause holds any more are on their way back: soon, or they are not waited for."""
        for event_id in self._held.overdue(loop_time()):
            self._drop(event_id)
        for event_id in self._held.lifted(loop_time()):
            turns = self._lanes.get(self._lane_of.get(event_id, ("", "")))
            if turns is not None and turns.get(event_id) is not None:
                turns.let_go(event_id)
                turns.leave(event_id, loop_time() + PASSED_ON_S)

    def _drop(self, event_id: str) -> None:
        """Forget the event's place."""
        self._held.drop(event_id)
        self._first_seen_s.pop(event_id, None)
        lane = self._lane_of.pop(event_id, None)
        if lane is not None:
            self._lanes[lane].settle(event_id)
            self._tidy(lane)

    def _numbered(self, work: Work) -> bool:
        """Give it a number. True where it has one, and was away."""
        lane = work.event.lane
        if not lane[0]:
            return False
        if self._lane_of.get(work.event.id, lane) != lane:
            self.let_go(work)
        self._lane_of[work.event.id] = lane
        turns = self._lanes.setdefault(lane, LaneTurns())
        known = turns.get(work.event.id)
        if known is None and work.incoming.copies:
            later = self._first_held(turns) or self._first_later(work, turns)
            self._first_seen_s[work.event.id] = work.incoming.first_seen_s or inf
            if later is not None:
                turns.arrive_before(work.event.id, HERE, later)
                return True
        turns.line_up(work.event.id, HERE, None, None, held=False)
        self._held.drop(work.event.id)
        return known is not None and known.holder is None

    def _first_held(self, turns: LaneTurns) -> str | None:
        """The first event of the lane that was held here: what an earlier process has held comes before it.

        The held queue gives back first what went in first.
        """
        if not self._held:
            return None
        return next((place.event_id for place in turns if place.event_id in self._held), None)

    def _first_later(self, work: Work, turns: LaneTurns) -> str | None:
        """The first event of the lane that came later than this one, which was away and had its number elsewhere.

        Only the ledger knows the order then; until it is asked, this one tells about when which event has its turn.
        """
        seen_s = work.incoming.first_seen_s or inf
        known = (place.event_id for place in turns)
        return next((each for each in known if self._first_seen_s.get(each, inf) > seen_s), None)

    def _number(self, work: Work) -> int:
        place = self._turns(work).get(work.event.id)
        return 0 if place is None else place.number

    def _leaves(self, work: Work, back_s: float) -> None:
        self._lined_up.discard(work.event.id)
        if self._has(work):
            self._turns(work).leave(work.event.id, back_s)

    def _to_line_up(self, works: Iterable[Work]) -> list[InLine]:
        """Those of these, in order, of which the ledger has no place yet. Now it is to have one."""
        new = [work.event.id for work in works if work.event.id not in self._lined_up]
        self._lined_up.update(new)
        return [InLine(event_id) for event_id in new]

    def _has(self, work: Work) -> bool:
        return self._turns(work).get(work.event.id) is not None

    def _turns(self, work: Work) -> LaneTurns:
        """The turns of the lane in which the event has its number, which it may not stand in just now."""
        return self._lanes.get(work.event.lane) or NOBODY_WAITS

    def _tidy(self, lane: Key) -> None:
        if not len(self._lanes[lane]):
            del self._lanes[lane]


NOT_ASKED: Mapping[str, int] = {}
NOBODY_WAITS = LaneTurns()
"""Stands for a lane that is not known. Nobody gets a place in it."""
