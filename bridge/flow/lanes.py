"""Lanes: the events of one (user, service) run one at a time, in order of arrival; different lanes side by side.

A wait goes where it costs least: under a second, and waits of the whole lane up to `park_after`, in memory; anything
longer, and every counted retry, in a delay queue, from which the events of the lane come back in the same order.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

from bridge.core.backoff import delay_level
from bridge.core.ending import Acknowledge, Again, DeadLetter, Settlement
from bridge.flow.gate import Gate
from bridge.flow.ports import Log
from bridge.flow.settling import Settling
from bridge.flow.work import Work

IN_MEMORY_S = 1.0
CLOSED_WAIT_S = 30.0
"""The delay of events that are parked because the gate is closed; they come back to a queue that is not consumed."""
BEHIND_WAIT_S = 10.0
"""The delay of events that are parked because the one before them takes long."""
SWEEP_S = 1.0

Key = tuple[str, str]


class Handler(Protocol):
    """Whoever makes the attempts."""

    async def handle(self, work: Work) -> Settlement:
        """One attempt, and what follows from it. Never raises."""


@dataclass(slots=True)
class Lane:
    """The events of one (user, service) that are in hand, the first of them running or waiting."""

    key: Key
    works: deque[Work] = field(default_factory=deque)
    task: asyncio.Task[None] | None = None


class Lanes:
    """Owns every event that is in hand, and the tasks that work on them."""

    def __init__(self, handler: Handler, settling: Settling, gate: Gate, park_after_s: float, log: Log) -> None:
        self._handler = handler
        self._settling = settling
        self._gate = gate
        self._park_after_s = park_after_s
        self._log = log
        self._lanes: dict[Key, Lane] = {}
        self._closed_until: dict[Key, float] = {}
        self._in_hand: dict[str, Work] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()

    def find(self, event_id: str) -> Work | None:
        """The work on this event, if it is in hand."""
        return self._in_hand.get(event_id)

    @property
    def in_hand(self) -> int:
        return len(self._in_hand)

    def add(self, work: Work) -> None:
        """Put an event at the end of its lane; where the lane is away in a delay queue, send it after."""
        self._in_hand[work.event.id] = work
        key = work.event.lane
        left_s = self._closed_until.get(key, 0.0) - _now()
        if left_s > 0:
            self._start(self._parked([work], left_s + IN_MEMORY_S), f"park {work.event.id}")
            return
        lane = self._lanes.setdefault(key, Lane(key))
        lane.works.append(work)
        if lane.task is None:
            lane.task = self._start(self._run(lane), f"lane {key}")

    async def sweep(self) -> None:
        """Park, every now and then, what has waited too long behind a long answer. Runs until it is cancelled."""
        while True:
            await asyncio.sleep(SWEEP_S)
            now = _now()
            self._closed_until = {key: until for key, until in self._closed_until.items() if until > now}
            for lane in list(self._lanes.values()):
                waiting = list(lane.works)[1:]
                if waiting and waiting[0].started_s + self._park_after_s < now:
                    await self._park(lane, waiting, BEHIND_WAIT_S)

    async def stop(self, grace_s: float) -> int:
        """Start nothing more, give what streams `grace_s` seconds, then cut it. Returns how many events are left."""
        self._stopping.set()
        tasks = list(self._tasks)
        if tasks:
            await asyncio.wait(tasks, timeout=grace_s)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return len(self._in_hand)

    def _start(self, coroutine: "asyncio._CoroutineLike[None]", name: str) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.critical("lane.broken", task=task.get_name(), exc_info=error)

    async def _run(self, lane: Lane) -> None:
        try:
            while lane.works and not self._stopping.is_set():
                if not await self._gate_opens():
                    await self._park(lane, list(lane.works), CLOSED_WAIT_S)
                elif not self._stopping.is_set() and lane.works:
                    await self._turn(lane, lane.works[0])
        except Exception:
            for work in lane.works:  # left unacked: the broker will deliver them again, and then they are new
                del self._in_hand[work.event.id]
            raise
        finally:
            del self._lanes[lane.key]

    async def _turn(self, lane: Lane, work: Work) -> None:
        match await self._handler.handle(work):
            case Acknowledge():
                self._settling.acknowledge(work)
                self._drop(lane, work)
            case DeadLetter() as letter:
                await self._settling.bury(work, letter)
                self._drop(lane, work)
            case Again() as again:
                work.attempt, work.pauses = again.attempt, again.pauses
                await self._again(lane, work, again)

    async def _again(self, lane: Lane, work: Work, again: Again) -> None:
        if self._stopping.is_set():
            return
        in_memory_s = self._park_after_s if again.pauses else IN_MEMORY_S
        if again.after_s < IN_MEMORY_S or again.after_s <= in_memory_s or not work.delivery.alive:
            await self._stopped_within(again.after_s)
        else:
            await self._park(lane, list(lane.works), again.after_s)

    async def _park(self, lane: Lane, works: list[Work], after_s: float) -> None:
        """Give these events of the lane, and all that come after them for a while, to the delay queues."""
        self._closed_until[lane.key] = _now() + delay_level(after_s)
        for work in works:
            lane.works.remove(work)
        await self._parked(works, after_s)

    async def _parked(self, works: list[Work], after_s: float) -> None:
        for work in works:
            await self._settling.park(work, after_s)
            del self._in_hand[work.event.id]

    def _drop(self, lane: Lane, work: Work) -> None:
        lane.works.remove(work)
        del self._in_hand[work.event.id]

    async def _gate_opens(self) -> bool:
        """Wait for the gate as long as a lane may wait in memory; a stop ends the wait as well."""
        if self._gate.is_open:
            return True
        opens = asyncio.ensure_future(self._gate.wait(self._park_after_s))
        stops = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait((opens, stops), return_when=asyncio.FIRST_COMPLETED)
            return self._stopping.is_set() or await opens
        finally:
            opens.cancel()
            stops.cancel()

    async def _stopped_within(self, seconds: float) -> None:
        """Wait so long, or until the lanes are stopped."""
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return


def _now() -> float:
    return asyncio.get_running_loop().time()
