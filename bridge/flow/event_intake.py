"""From a delivery to its lane.

delivery ▸ bytes ▸ event ▸ route ▸ lane        `receive`, without waiting
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping

from bridge.core.counters import Counters
from bridge.core.delivery.outcome import (
    ROWS,
    DeadLetter,
    Outcome,
    of_error,
)
from bridge.core.errors import InvalidEvent
from bridge.core.event.event import read_event
from bridge.core.event.event_fields import usable_id
from bridge.core.event.inbound_message import InboundMessage
from bridge.core.event.route import Defaults, Rendered, RoutedEvent, resolve, timed, unresolved
from bridge.core.event.user import UserByEmail
from bridge.flow.answering.user_lookup import UserLookup
from bridge.flow.lanes.lanes import Lanes
from bridge.flow.ports.api import Routes
from bridge.flow.ports.broker import Delivery
from bridge.flow.ports.runtime import Clock, Log
from bridge.flow.settling.outbox import Outbox
from bridge.flow.settling.settler import Settler
from bridge.flow.work import Work

CLOSING_S = 5.0
"""How long refusals that are under way may still take at the stop."""


class EventRouter:
    """Reads events of messages, and finds the route of each."""

    def __init__(self, routes: Routes, defaults: Defaults, max_bytes: Mapping[str, int], clock: Clock) -> None:
        """`max_bytes` is the largest body that each inbound queue takes; `clock` gives Unix seconds."""
        self._routes = routes
        self._defaults = defaults
        self._max_bytes = max_bytes
        self._clock = clock

    def routed(self, incoming: InboundMessage) -> RoutedEvent:
        """The event of a message, with nothing left to choose. Raises InvalidEvent and NoRoute."""
        event = read_event(incoming, self._max_bytes[incoming.queue])
        route = self._routes.match(event, incoming)
        rendered = self._routes.render(route, event, incoming) if route is not None else Rendered()
        resolved = resolve(event, route, rendered, self._defaults)
        return resolved if resolved.lifetime is None else timed(resolved, incoming, self._clock())


class EventIntake:
    """Takes every delivery, and sees to it that it is settled: in a lane, or by refusing it."""

    def __init__(
        self,
        router: EventRouter,
        lanes: Lanes,
        settler: Settler,
        users: UserLookup,
        new_outbox: Callable[[], Outbox],
        counters: Counters,
        log: Log,
    ) -> None:
        self._router = router
        self._lanes = lanes
        self._settler = settler
        self._users = users
        self._new_outbox = new_outbox
        self._counters = counters
        self._log = log
        self._refusals: set[asyncio.Task[None]] = set()

    @property
    def in_hand(self) -> int:
        """Events that are held: running, waiting for their turn, or being refused."""
        return len(self._lanes.in_hand) + len(self._refusals)

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """The tasks that work on them."""
        return [*self._lanes.tasks, *self._refusals]

    def receive(self, delivery: Delivery) -> None:
        """Take a delivery. Whatever it holds, it will be settled."""
        self._counters.received += 1
        try:
            event = self._router.routed(delivery.incoming)
            self._take(event, delivery)
        except InvalidEvent as error:
            self._refuse(delivery, of_error(error), error.event_id, error.channel)
        except Exception as error:
            self._log.critical("event.unhandled", exc_info=True, queue=delivery.incoming.queue)
            self._refuse(delivery, of_error(error), usable_id(delivery.incoming.message_id))

    async def run(self) -> None:
        """Keep the lanes in order until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._lanes.sweep())
            group.create_task(self._lanes.listen())

    async def stop(self, grace_s: float) -> int:
        """Start nothing more and finish what streams, for so many seconds. Returns how many events are left."""
        left = await self._lanes.stop(grace_s)
        if self._refusals:
            await asyncio.wait(self._refusals, timeout=min(grace_s, CLOSING_S))
        for task in self._refusals:
            task.cancel()
        return left

    async def let_go(self) -> None:
        """The broker has been away for too long: another process may have what is not started, or known to the end."""
        await self._lanes.let_go()

    def _take(self, event: RoutedEvent, delivery: Delivery, refusal: Outcome | None = None) -> None:
        running = self._lanes.find(event.id)
        if running is not None:
            self._repeated(running, delivery)
        elif self._settler.settled_before(event.id, delivery):
            self._counters.repeats += 1
            self._counters.conflicts += self._settler.conflicts(event.id, delivery)
            self._log.info("event.repeated", event_id=event.id, redelivered=delivery.incoming.redelivered, settled=True)
        else:
            if event.user is not None and not event.alone:
                event = self._of_known_user(event, event.user)
            now_s = asyncio.get_running_loop().time()
            self._lanes.add(Work.of(event, delivery, self._new_outbox(), now_s, refusal))

    def _of_known_user(self, event: RoutedEvent, user: UserByEmail) -> RoutedEvent:
        """The event with its user, where that is known, unless an earlier one still stands in the e-mail's line."""
        user_id = self._users.known(user)
        return event if user_id is None or self._lanes.has(event.lane) else event.of_user(user_id)

    def _repeated(self, running: Work, delivery: Delivery) -> None:
        conflict = running.incoming.body != delivery.incoming.body
        self._counters.repeats += 1
        self._counters.conflicts += conflict
        say = self._log.warning if conflict else self._log.info
        say(
            "event.repeated",
            event_id=running.event.id,
            conflict=conflict,
            redelivered=delivery.incoming.redelivered,
            takes_over=not running.delivery.alive,
        )
        running.deliveries.take_over(delivery)

    def _refuse(self, delivery: Delivery, outcome: Outcome, event_id: str | None, channel: str | None = None) -> None:
        """Let an event whose id is known fail as any other does; without an id there is nothing to remember."""
        if event_id is not None:
            self._take(unresolved(event_id, channel), delivery, outcome)
            return
        letter = DeadLetter(ROWS[outcome.kind].reason, outcome.error, delivery.incoming.attempt)
        self._spawn(self._settler.refuse(delivery, letter))

    def _spawn(self, refusal: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(refusal)
        self._refusals.add(task)
        task.add_done_callback(self._refused)

    def _refused(self, task: asyncio.Task[None]) -> None:
        self._refusals.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.critical("refusal.unhandled", exc_info=error)
