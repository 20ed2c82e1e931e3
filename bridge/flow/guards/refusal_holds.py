"""Holds a route of which the API refuses event after event (docs/semantics.md, Refusals in a row).

refused, refused, … ▸ a pause in the ledger ▸ its events wait ▸ one a minute probes ▸ answered ▸ the pause is lifted
                                                     ▴                          └▸ refused  ▸ it goes on waiting
                                                     └──────────────────────────────────────┘
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from bridge.core.control.pause import UNROUTED, Pause, PauseScope, is_of_refusals, pause_key
from bridge.core.delivery.outcome import DeadLetter, KeptBack, Outcome, OutcomeKind, Settlement
from bridge.core.delivery.progress import RequestKind
from bridge.core.delivery.refusal_runs import RefusalRuns, RefusalSubject, speaks_of_route
from bridge.core.event.event_fields import EventKind
from bridge.flow.guards.pauses import TICK_S, Pauses
from bridge.flow.ports.broker import Delivery, HeldQueues, HeldQueueUnavailable
from bridge.flow.ports.ledger import LedgerUnavailable
from bridge.flow.ports.runtime import Clock, Log
from bridge.flow.work import Work

PROBE_EVERY_S = 60.0
MAX_TAKEN = 20
"""Messages that are taken from a held queue in a row, to find one that may probe: others may be kept there too."""
TURN_S = 0.25
"""How long one of them has for its turn to come before the next is taken."""
ANSWERED = frozenset({OutcomeKind.COMPLETE, OutcomeKind.SAVED})
ASKING = frozenset({RequestKind.CREATE, RequestKind.INTERACT})
BRIDGE = "the bridge"


class RefusalHolds:
    """The holds of all routes, and what this process has seen refused."""

    def __init__(
        self, limit: int, configuration: str, pauses: Pauses, held: HeldQueues, clock: Clock, log: Log
    ) -> None:
        """`limit` refusals in a row are too many; 0: never. `configuration` tells this one from others."""
        self._runs = RefusalRuns(limit)
        self._limit = limit
        self._configuration = configuration
        self._pauses = pauses
        self._held = held
        self._clock = clock
        self._log = log
        self._began_s = clock()
        self._holding: set[str] = set()
        """Routes that this process has known to be held; one that is not any more begins anew."""
        self._ordering: set[str] = set()
        """Routes whose hold is being written."""
        self._lifting: dict[str, str] = {}
        """Routes whose hold is to be lifted, and why."""
        self._may_take: dict[str, int] = {}
        """Messages that may still be taken for this probe, by the key of the hold."""
        self._open: dict[str, float] = {}
        """Keys of holds whose next event may probe, and until when (Unix seconds)."""
        self._probing: dict[str, str] = {}
        """Events that probe, by the key of the hold that lets each through."""
        self._chosen = asyncio.Event()

    def learns_of(self, outcome: Outcome) -> bool:
        """True where `ended` is to be told of this outcome: hardly ever, so that it costs nothing to ask."""
        if outcome.kind is OutcomeKind.REJECTED:
            return speaks_of_route(outcome.request, outcome.status)
        return outcome.kind in ANSWERED and not (self._runs.none and self._pauses.none)

    async def ended(self, work: Work, outcome: Outcome, settlement: Settlement) -> Settlement:
        """Count a refusal or an answer; gives the settlement: what is refused while its route is held goes on waiting.

        Raises LedgerUnavailable where a hold cannot be written, and is none then.
        """
        event = work.event
        subject = RefusalSubject(event.route or UNROUTED, event.service_id, event.version_set)
        if outcome.kind in ANSWERED:
            if outcome.request in ASKING:
                self._runs.answered(subject)
                if self._pauses.holding(pause_key(PauseScope.REFUSALS, subject.route)):
                    self._lifting[subject.route] = f"event {event.id} was answered"
            return settlement
        if not self._limit or outcome.status is None or not isinstance(settlement, DeadLetter):
            return settlement
        key = pause_key(PauseScope.REFUSALS, subject.route)
        if self._probing.get(key) == event.id:
            del self._probing[key]
        await self._pauses.read_shared()
        if subject.route in self._ordering or self._holds(subject.route, key):
            return KeptBack(key)
        if not self._runs.refused(subject, outcome.status, event.id):
            return settlement
        await self._hold(subject, outcome)
        return KeptBack(key)

    def _holds(self, route: str, key: str) -> bool:
        """True where the route is held; where it is not any more, its refusals are counted anew."""
        if self._pauses.holding(key):
            self._holding.add(route)
            return True
        if route in self._holding:
            self._forget(route)
        return False

    def probes(self, work: Work, key: str) -> bool:
        """True where the event may go on although the hold of this key keeps its route back."""
        if not is_of_refusals(key) or work.event.kind in (EventKind.FINISH, EventKind.TAG):
            return False
        if self._probing.get(key) == work.event.id:
            return True
        if self._open.pop(key, 0.0) <= self._clock():
            return False
        self._probing[key] = work.event.id
        self._chosen.set()
        self._log.info("route.probed", route=work.event.route, event_id=work.event.id)
        return True

    def left(self, work: Work) -> None:
        """The event is in hand no more."""
        if self._probing:
            self._probing = {key: event_id for key, event_id in self._probing.items() if event_id != work.event.id}

    async def run(self, receive: Callable[[Delivery], None]) -> None:
        """Probe what is held, each minute anew, and lift what another configuration was held for. Until cancelled.

        `receive` takes what is to probe, and settles it sooner or later.
        """
        while True:
            try:
                for route, why in list(self._lifting.items()):
                    await self._lift(route, why)
                    del self._lifting[route]
                for pause in self._pauses.of_refusals:
                    await self._look(pause, receive)
            except LedgerUnavailable:
                await self._pauses.available()
            await asyncio.sleep(TICK_S)

    async def _look(self, pause: Pause, receive: Callable[[Delivery], None]) -> None:
        if pause.configuration != self._configuration and pause.since_s < self._began_s:
            await self._lift(pause.name, "the configuration is another one")
            return
        now_s = self._clock()
        if pause.probed_s + PROBE_EVERY_S <= now_s and await self._pauses.take_probe(pause, PROBE_EVERY_S):
            self._open[pause.key], self._may_take[pause.key] = now_s + PROBE_EVERY_S, MAX_TAKEN
            self._probing.pop(pause.key, None)
        if pause.key in self._open:
            await self._take(pause.key, receive)

    async def _take(self, key: str, receive: Callable[[Delivery], None]) -> None:
        """Take events of the held queues in hand, until one of them probes. Where there are none, the next does.

        So many for each probe: those that may not probe go back to the end, and what waits holds a channel.
        """
        for queue in self._pauses.queues:
            try:
                while self._may_take.get(key, 0):
                    if not await self._held.take(queue, receive):
                        break
                    self._may_take[key] -= 1
                    if await self._is_chosen(key):
                        return
            except HeldQueueUnavailable as error:
                self._log.info("route.unprobed", queue=queue, error=str(error))

    async def _is_chosen(self, key: str) -> bool:
        """True as soon as an event probes; False where none does soon."""
        self._chosen.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(TURN_S):
                while key in self._open:
                    await self._chosen.wait()
                    self._chosen.clear()
        return key not in self._open

    async def _hold(self, subject: RefusalSubject, outcome: Outcome) -> None:
        now_s = self._clock()
        reason = (
            f"{self._limit} different events in a row refused ({outcome.status}) for service {subject.service_id}, "
            f"version set {subject.version_set}; the last: {outcome.error}"
        )
        pause = Pause(PauseScope.REFUSALS, subject.route, reason, BRIDGE, now_s, None, self._configuration, now_s)
        self._ordering.add(subject.route)
        try:
            await self._pauses.order(pause)
        finally:
            self._ordering.discard(subject.route)
        self._holding.add(subject.route)
        self._log.error("route.held", route=subject.route, status=outcome.status, error=outcome.error)

    async def _lift(self, route: str, why: str) -> None:
        if self._pauses.holding(key := pause_key(PauseScope.REFUSALS, route)):
            self._log.warning("route.released", route=route, why=why)
            self._forget(route)
            await self._pauses.lift(key)

    def _forget(self, route: str) -> None:
        self._holding.discard(route)
        self._runs.forget(route)
