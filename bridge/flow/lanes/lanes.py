"""Lanes: the events of one (user, service) run one at a time, in order of arrival; different lanes side by side.

A wait goes where it costs least: under a second in memory; waits of the whole lane too, as long as no delivery is held
longer than `park_after` over it; anything longer, and every counted retry, in a delay queue.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from itertools import takewhile

from bridge.core.delivery.outcome import Acknowledge, Again, Behind, DeadLetter, KeptBack, Moved, NotYet
from bridge.core.delivery.retry import delay_level, level_within
from bridge.core.event.event_fields import EventKind
from bridge.core.lanes.lane_turns import Key
from bridge.core.ledger.ledger_entry import UNDELIVERABLE
from bridge.flow.answering.after_answer import AfterAnswer
from bridge.flow.answering.tagging import group_up
from bridge.flow.attempts import Attempts
from bridge.flow.guards.api_breaker import ApiBreaker
from bridge.flow.lanes.lane import Lane, LaneJob, first_done
from bridge.flow.lanes.lane_order import Order
from bridge.flow.lanes.lane_sweep import sweeps
from bridge.flow.lanes.lane_waits import CLOSED_WAIT_S, HELD_AT_MOST_S, IN_MEMORY_S, SWEEP_S, Parking, WaitLimits, Waits
from bridge.flow.ledger_journal import LedgerJournal
from bridge.flow.ports.ledger import LeaseLost
from bridge.flow.ports.runtime import Log, loop_time
from bridge.flow.settling.settler import Settler
from bridge.flow.task_set import TaskSet
from bridge.flow.work import Work


class Lanes:
    """Owns every event that is in hand, and the tasks that work on them."""

    def __init__(
        self,
        attempts: Attempts,
        settler: Settler,
        api_breaker: ApiBreaker,
        journal: LedgerJournal,
        after: AfterAnswer,
        limits: WaitLimits,
        log: Log,
    ) -> None:
        self._attempts = attempts
        self._after = after
        self._settler = settler
        self._api_breaker = api_breaker
        self._journal = journal
        self._limits = limits
        self._park_after_s = limits.park_after_s
        self._log = log
        self._order = Order(journal.lanes, journal.lost, attempts.holding)
        self._lanes: dict[Key, Lane] = {}
        self._in_hand: dict[str, Work] = {}
        self._unparkable: set[Work] = set()
        """Those of which a delay queue took no copy the last time, so that they can only wait in hand."""
        self._beside: dict[Work, asyncio.Task[None]] = {}
        """Those that are in no lane any more, and still owe something to subscribers."""
        self._tasks = TaskSet(log)
        self._stopping = asyncio.Event()

    def find(self, event_id: str) -> Work | None:
        """The work on this event, if it is in hand."""
        return self._in_hand.get(event_id)

    def has(self, key: Key) -> bool:
        """True where events of this lane are in hand, or away in a delay queue."""
        return key in self._lanes or self._order.has_away(key)

    @property
    def open(self) -> list[Lane]:
        """The lanes that have events in hand, or something else to do."""
        return list(self._lanes.values())

    @property
    def in_hand(self) -> list[str]:
        """The ids of the events that are held."""
        return list(self._in_hand)

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """The tasks that work on them."""
        return self._tasks.running

    def add(self, work: Work) -> None:
        """Put an event at the end of its lane, or, where it comes back from a delay queue, in its old place."""
        self._in_hand[work.event.id] = work
        lane = self._lanes.setdefault(work.event.lane, Lane(work.event.lane))
        self._order.arrives(work, lane)
        if lane.task is None:
            lane.task = self._tasks.start(self._run(lane), f"lane {lane.key}")

    def between(self, key: Key, job: LaneJob) -> None:
        """Do this when the lane has nothing else to do just then. Gone without a trace where that is not to be."""
        lane = self._lanes.setdefault(key, Lane(key))
        if any(waiting.about == job.about for waiting in lane.jobs):
            return
        lane.jobs.append(job)
        if lane.task is None:
            lane.task = self._tasks.start(self._run(lane), f"lane {lane.key}")

    async def sweep(self) -> None:
        """Park, every now and then, what has waited too long in hand. Runs until it is cancelled."""
        async for parking in sweeps(lambda: self.open, self._order, self._limits):
            if self._settler.can_park:
                lane = parking.lane
                parker = self._tasks.start(self._park_overdue(parking), f"parking {lane.key}")
                lane.parkers.add(parker)
                parker.add_done_callback(lane.parkers.discard)

    async def listen(self) -> None:
        """Go on with lanes that other processes have left. Runs until it is cancelled."""
        while True:
            for key in self._lanes.keys() & set(await self._journal.lanes.freed()):
                self._lanes[key].wake()

    async def stop(self, grace_s: float) -> int:
        """Start nothing more, give what streams `grace_s` seconds, then cut it. Returns how many events are left."""
        self._stopping.set()
        self._attempts.stop()
        await self._tasks.end(grace_s)
        await self._journal.let_go(self.in_hand)
        return len(self._in_hand)

    async def let_go(self) -> None:
        """Let go of the events that another process may as well take, where the broker has them again."""
        gone: list[Work] = []
        for lane in list(self._lanes.values()):
            free = [work for work in (*lane.works, *lane.parking) if self._may_go(work, lane)]
            if free:
                gone += await self._let_go_of(lane, free)
        gone += await self._let_go_beside()
        for work in gone:
            self._log.info("event.let_go", event_id=work.event.id, answered=work.ledger.answered)
            work.forget()
            await self._journal.released(work)

    def _may_go(self, work: Work, lane: Lane) -> bool:
        """True where nothing is asked for it just now, and nothing of what was is known here alone."""
        if work.delivery.alive or work.handling.asking:
            return False
        # with nobody to take it, its lines wait here for the broker
        return self._written(work) or work in lane.parking or not work.progress.needs_proof

    async def _let_go_of(self, lane: Lane, free: list[Work]) -> list[Work]:
        """End what works on these events; what is left of the lane, or has been delivered anew meanwhile, goes on."""
        busy = lane.handled is not None and lane.handled not in free
        tasks = {*lane.parkers, *(() if busy or lane.task is None else (lane.task,))}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        gone = [work for work in free if not work.delivery.alive]
        rest = [work for work in dict.fromkeys((*lane.works, *free)) if work not in gone]
        for work in gone:
            self._order.let_go(work)
            self._gone(work)
        lane.works = deque(work for work in lane.works if work not in gone)
        if rest:
            self._go_on(rest)
        return gone

    async def _let_go_beside(self) -> list[Work]:
        """The same of those that are in no lane: their endings are out, and the ledger has what they owe."""
        tasks = {work: task for work, task in self._beside.items() if not work.delivery.alive and self._written(work)}
        for task in tasks.values():
            task.cancel()
        if tasks:
            await asyncio.wait(tasks.values())
        left = [work for work in tasks if self._in_hand.get(work.event.id) is work]
        for work in left:
            if work.delivery.alive:  # delivered anew meanwhile
                self.add(work)
            else:
                self._order.let_go(work)
                self._gone(work)
        return [work for work in left if not work.delivery.alive]

    def _written(self, work: Work) -> bool:
        """True where another process could take the event from where it is."""
        return work.ledger.recorded and self._journal.shared

    def _go_on(self, works: list[Work]) -> None:
        """These take their places in their lane, which may be another one by now."""
        lane = self._lanes.setdefault(works[0].event.lane, Lane(works[0].event.lane))
        self._order.stays(works, lane, lane.works[0] if lane.running and lane.works else None)
        if lane.task is None:
            lane.task = self._tasks.start(self._run(lane), f"lane {lane.key}")

    async def _run(self, lane: Lane) -> None:
        try:
            while (lane.works or lane.jobs) and not self._stopping.is_set():
                if self._api_breaker.ramp is not lane.let_go_by:
                    await first_done(lane.let_go(self._api_breaker.turn()), self._stopping.wait())
                elif lane.jobs:  # before the next event: an `after` finish ends the conversation which that would join
                    await lane.next_job(passing=self._api_breaker.passing)
                    lane.let_go_by = None
                elif not self._api_breaker.passing:
                    there = self._api_breaker.wait(self._limits.hold_s(lane, self._unparkable))
                    await self._wait_or_park(lane, there, lambda: self._api_breaker.passing)
                elif lane.works[0].handling.held and self._journal.trouble is not None:
                    back = self._journal.available_within(self._limits.hold_s(lane, self._unparkable))
                    await self._wait_or_park(lane, back, lambda: self._journal.trouble is None)
                elif until_s := self._order.wait_until(lane):
                    await lane.changed_before(until_s, max(self._park_after_s, SWEEP_S), self._stopping)
                else:
                    lane.running, lane.handled, lane.turn_s = True, lane.works[0], loop_time()
                    await self._turn(lane, lane.handled)
                    lane.running, lane.handled, lane.let_go_by = False, None, None
        except Exception:
            self._release(lane.works)
            raise
        finally:
            del self._lanes[lane.key]  # no await since the look at `works`: none was added to a lane that has ended

    async def _turn(self, lane: Lane, work: Work) -> None:
        if work.event.kind is EventKind.TAG:
            ready = takewhile(
                lambda each: not (self._order.waits(each) or self._attempts.keeps_back(each)), lane.waiting
            )
            group_up(work, ready)
        match await self._attempts.handle(work):
            case Acknowledge(repeat):
                await self._acknowledged(lane, work, repeat=repeat)
            case DeadLetter() as letter:
                await self._fail(lane, work, letter)
            case Again() as again:
                work.attempt, work.pauses, work.limit = again.attempt, again.pauses, again.limit
                await self._again(lane, work, again)
            case KeptBack(key):
                await self._keep_back(lane, work, key)
            case NotYet(left_s):
                await self._not_yet(lane, work, left_s)
            case Moved():
                lane.works.remove(work)
                self._journal.lanes.leave(work)
                self.add(work)
            case Behind(before):
                self._order.behind(work, lane, before)

    async def _fail(self, lane: Lane, work: Work, letter: DeadLetter) -> None:
        if (again := await self._settler.bury(work, letter)) is None:
            self._drop(lane, work)
        else:
            await self._again(lane, work, again)

    async def _acknowledged(self, lane: Lane, work: Work, *, repeat: bool) -> None:
        """Ack; where enrichments are due, those first, beside the lane but for what it has to wait for."""
        self._order.turn_ended(lane)
        if self._after.enricher.owes(work):
            try:
                await self._after.enricher.before_the_next(work)
            except LeaseLost:
                await self._again(lane, work, self._attempts.taken(work))
                return
            lane.works.remove(work)
            self._order.left(work)
            self._beside[work] = self._tasks.start(self._rest(work), f"enrichments of {work.event.id}")
        else:
            await self._settler.complete(work, repeat=repeat)
            self._drop(lane, work)
        if (job := self._after.finish(work)) is not None:
            lane.jobs.append(job)

    async def _rest(self, work: Work) -> None:
        """See to what an event still owes, then ack. It counts as in hand until then."""
        try:
            await self._after.rest(work, self._settler)
            self._release((work,))
        except LeaseLost:
            await self._stopped_within(self._attempts.taken(work).after_s)
            if not self._stopping.is_set():
                self.add(work)
        except Exception:
            self._release((work,))
            raise
        finally:
            del self._beside[work]

    async def _again(self, lane: Lane, work: Work, again: Again) -> None:
        if self._stopping.is_set() or (again.outage and not self._api_breaker.passing):
            return
        held_s = loop_time() - work.started_s
        may_hold = again.pauses and not again.away and work.awaits is None
        in_memory_s = self._park_after_s - held_s if may_hold else 0.0
        if again.after_s < IN_MEMORY_S or again.after_s <= in_memory_s or not work.delivery.alive:
            ends = (self._stopping.wait(), *((self._api_breaker.opens(),) if again.outage else ()))
            await first_done(*ends, timeout_s=again.after_s)
            return
        behind = self._order.behind_one_away(lane, work, max(again.after_s, delay_level(again.park_s)))
        waits = await self._order.parked_for(behind, self._limits)
        await self._park_or_wait({work: again.park_s, **waits}, lane, work, again.after_s)

    async def _not_yet(self, lane: Lane, work: Work, left_s: float) -> None:
        """Wait for the event's time: in delay queues that are over before it, and in memory for what is then left."""
        if self._stopping.is_set():
            return
        level_s = level_within(left_s)
        in_memory_s = self._park_after_s - (loop_time() - work.started_s)
        if level_s is None or left_s <= in_memory_s or not work.delivery.alive:
            await self._stopped_within(min(left_s, max(self._park_after_s, SWEEP_S)))
            return
        await self._park_or_wait({work: level_s}, lane, work, left_s)

    async def _keep_back(self, lane: Lane, work: Work, key: str) -> None:
        """Give an event that a person wants to wait to the held queue; nobody waits for it."""
        if self._stopping.is_set() or not work.delivery.alive:
            await self._stopped_within(SWEEP_S)
        else:
            await self._park_or_wait({work: CLOSED_WAIT_S}, lane, work, CLOSED_WAIT_S, key)

    async def _park_or_wait(self, waits: Waits, lane: Lane, work: Work, left_s: float, held_by: str = "") -> None:
        await self._park(waits, lane, held_by)
        if work in self._unparkable and not await self._buried(lane, work, left_s):
            await self._stopped_within(left_s)

    async def _buried(self, lane: Lane, work: Work, after_s: float) -> bool:
        """Dead-letter an event of which no copy can be made, where holding it for so long again would be too much."""
        if loop_time() + after_s - work.started_s <= HELD_AT_MOST_S:
            return False
        unparkable = DeadLetter(UNDELIVERABLE, "it has to wait, and a delay queue does not take it", work.attempt)
        letter = work.handling.letter or unparkable
        if not await self._attempts.given_up(work, letter):
            return False
        await self._settler.bury(work, letter, parkable=False)
        self._drop(lane, work)
        return True

    async def _park_overdue(self, parking: Parking) -> None:
        """Park those of the events whose turn has not come meanwhile."""
        waits, lane = await self._order.parked_for(parking, self._limits), parking.lane
        waiting = set(lane.waiting)
        await self._park({work: wait_s for work, wait_s in waits.items() if work in waiting}, lane)

    async def _park(self, waits: Waits, lane: Lane, held_by: str = "") -> None:
        """Give these events of the lane to delay queues, or the held one; those that stay behind wait for them."""
        here = set(lane.works)
        works = [work for work in waits if work in here and not work.uncopyable]
        if not works:
            return
        self._unparkable.difference_update(works)
        running = lane.works[0] if lane.running and lane.works[0] not in works else None
        for work in works:
            lane.works.remove(work)
        lane.parking += works
        left = deque(works)
        self._order.leaves(works)
        try:
            while left:
                work, after_s = left[0], waits[left[0]]
                self._order.goes(work, lane, after_s, held_by)
                if not await self._settler.set_aside(work, after_s, held_by, api_away=not self._api_breaker.passing):
                    self._unparkable.add(work)
                    break  # those behind it stay as well: a copy of theirs could come back before it
                self._order.gone(work, after_s, held_by)
                self._gone(left.popleft())
        except Exception:
            self._release(left)
            raise
        finally:
            lane.parking = [work for work in lane.parking if work not in works]
            lane.changed.set()
        if left:
            self._order.stays(left, lane, running)

    def _drop(self, lane: Lane, work: Work) -> None:
        lane.works.remove(work)
        self._release((work,))
        if work.event.alone and (waiting := self._lanes.get(work.event.line)) is not None:
            waiting.changed.set()

    def _release(self, works: "deque[Work] | tuple[Work, ...]") -> None:
        """Let go of events: settled ones, or, where something broke, left unacked, to be delivered again as new."""
        for work in works:
            self._order.left(work)
            self._gone(work)

    def _gone(self, work: Work) -> None:
        self._in_hand.pop(work.event.id, None)
        self._unparkable.discard(work)
        self._attempts.left(work)

    async def _wait_or_park(self, lane: Lane, wait: Coroutine[None, None, object], is_over: Callable[[], bool]) -> None:
        """Wait as long as a lane may wait in memory, then park the lane; a stop ends the wait as well."""
        await first_done(wait, self._stopping.wait())
        if not is_over() and not self._stopping.is_set():
            park_s = self._limits.closed_s(api=not self._api_breaker.passing)
            await self._park(dict.fromkeys(lane.works, park_s), lane)
            for work in [work for work in lane.works if work in self._unparkable]:
                await self._buried(lane, work, CLOSED_WAIT_S)

    async def _stopped_within(self, seconds: float) -> None:
        """Wait so long, or until the lanes are stopped."""
        await first_done(self._stopping.wait(), timeout_s=seconds)
