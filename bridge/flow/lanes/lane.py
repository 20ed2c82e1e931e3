"""The events of one lane, and the jobs that may take its turn beside them."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

from bridge.core.delivery.breaker import Ramp
from bridge.core.lanes.lane_turns import Before, Key
from bridge.core.ledger.due_finish import DueFinish
from bridge.flow.finishing.due_finisher import DueFinisher
from bridge.flow.ports.runtime import loop_time
from bridge.flow.work import Work

LEAST_S = 0.001
"""A wait that rounding has left over is no loop."""


@dataclass(frozen=True, slots=True)
class LaneJob:
    """Something that takes a lane's turn like an event; `first`: before the events that wait, otherwise not at all.

    `about` tells it from others: the same waits once.
    """

    about: str
    run: Callable[[], Coroutine[None, None, None]]
    first: bool


@dataclass(slots=True)
class Lane:
    """The events of one (user, service) that are in hand. `running`: the first of them is being handled.

    `handled` is that one, also while it is on its way to a delay queue. `parking` are all that are, `parkers` the tasks
    that park some beside the lane's own. `behind` is the event of another process, or one that is away, that comes
    before all of these, `ahead` how many do, and `recheck_s` when (event loop time) that is looked at again; `turn_s`
    when the turn of the first began. `let_go_by` is the ramp after an outage whose turn the lane has, unused.
    """

    key: Key
    works: deque[Work] = field(default_factory=deque)
    jobs: list[LaneJob] = field(default_factory=list)
    task: asyncio.Task[None] | None = None
    running: bool = False
    handled: Work | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    parking: list[Work] = field(default_factory=list)
    parkers: set[asyncio.Task[None]] = field(default_factory=set)
    behind: str | None = None
    let_go_by: Ramp | None = None
    ahead: int = 0
    recheck_s: float = 0.0
    turn_s: float = 0.0

    def place(self, works: Iterable[Work], number: Callable[[Work], float], running: Work | None) -> None:
        """Give these their places among the others, in the order of their numbers, behind the one that is running."""
        rest = [work for work in dict.fromkeys((*works, *self.works)) if work is not running]
        first = [running] if running is not None and running in self.works else []
        self.works = deque([*first, *sorted(rest, key=number)])

    def find(self, event_id: str) -> Work | None:
        """The work on this event, where it waits or runs here."""
        return next((work for work in self.works if work.event.id == event_id), None)

    def put_first(self, works: Sequence[Work]) -> None:
        """These come before the others, in this order."""
        self.works = deque([*works, *(work for work in self.works if work not in works)])

    def wait_behind(self, before: Before, until_s: float) -> None:
        """Wait for events that are not in hand here, and look again at that time."""
        self.behind, self.ahead, self.recheck_s = before.first, before.count, until_s

    def wake(self) -> None:
        """Look now whether the lane may go on."""
        self.behind, self.ahead, self.recheck_s = None, 0, 0.0
        self.changed.set()

    async def let_go(self, turn: Awaitable[Ramp | None]) -> None:
        """Wait for a turn after an outage."""
        self.let_go_by = await turn

    async def changed_before(self, until_s: float, longest_s: float, stopping: asyncio.Event) -> None:
        """Wait for the events that come before the first, until that time or so long at the most, or for the stop."""
        self.changed.clear()
        timeout_s = min(max(until_s - loop_time(), LEAST_S), longest_s)
        await first_done(self.changed.wait(), stopping.wait(), timeout_s=timeout_s)

    @property
    def unclaimed(self) -> list[Work]:
        """The events, in order, of which the ledger has not been asked, or has not answered yet."""
        return [work for work in self.works if work.entry is None]

    async def next_job(self, *, passing: bool) -> None:
        """Do the next job, where calls are `passing` and no event of the lane comes before it; else it is gone."""
        job = self.jobs.pop(0)
        if passing and (job.first or not self.works):
            await job.run()

    @property
    def waiting(self) -> list[Work]:
        return list(self.works)[self.running :]


def finish_job(finisher: DueFinisher, due: DueFinish) -> LaneJob:
    """The finish of a conversation as a job of its lane."""
    return LaneJob(due.conversation_id, partial(finisher.finish, due), first=not due.finish_s)


async def first_done(*waits: Coroutine[None, None, object], timeout_s: float | None = None) -> None:
    """Return once one of them is over, or the time is; the others are cancelled."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
