"""One lane, as it is in hand: its events, what else takes its turn, and the tasks that work on it."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field

from bridge.flow.lane_order import Key
from bridge.flow.work import Work


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
    that park some beside the lane's own.
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

    @property
    def waiting(self) -> list[Work]:
        return list(self.works)[self.running :]
