"""From a delivery to its lane, and from an attempt to its settlement.

in    delivery ▸ bytes ▸ event ▸ route ▸ lane            `receive`, without waiting
ask   lane ▸ attempt ▸ ended ▸ settlement                `handle`, one at a time a lane
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import replace

from bridge.core.answer.outbound_message import EventContext
from bridge.core.counters import Counters
from bridge.core.delivery.ledger_entry import Entry, Plan, State, plan, requests_of
from bridge.core.delivery.outcome import (
    ROWS,
    Acknowledge,
    Again,
    DeadLetter,
    Outcome,
    OutcomeKind,
    Settlement,
    decide,
    of_error,
)
from bridge.core.delivery.poison import POISON
from bridge.core.delivery.progress import RequestKind
from bridge.core.delivery.retry import RetryPolicy, pause
from bridge.core.errors import InvalidEvent
from bridge.core.event.event import read_event, usable_id
from bridge.core.event.route import Defaults, Rendered, RoutedEvent, resolve
from bridge.flow import failpoints
from bridge.flow.api_breaker import Gate
from bridge.flow.interaction import Interaction
from bridge.flow.lanes import Lanes
from bridge.flow.ledger_journal import Book
from bridge.flow.outbox import Outbox
from bridge.flow.poison_guard import Suspects
from bridge.flow.ports.api import Routes
from bridge.flow.ports.broker import Delivery
from bridge.flow.ports.ledger import LeaseLost, LedgerUnavailable
from bridge.flow.ports.runtime import Dice, Log
from bridge.flow.settler import Settling
from bridge.flow.work import Work

ELSEWHERE_S = 5.0
"""The wait for an event that another process has in hand."""
CLOSING_S = 5.0
"""How long refusals that are under way may still take at the stop."""


class Dispatcher:
    """Takes every delivery, and sees to it that it is settled."""

    def __init__(
        self,
        *,
        routes: Routes,
        defaults: Defaults,
        max_bytes: Mapping[str, int],
        interaction: Interaction,
        settling: Settling,
        book: Book,
        gate: Gate,
        new_outbox: Callable[[], Outbox],
        policy: RetryPolicy,
        park_after_s: float,
        dice: Dice,
        counters: Counters,
        log: Log,
    ) -> None:
        self._routes = routes
        self._defaults = defaults
        self._max_bytes = max_bytes
        self._interaction = interaction
        self._settling = settling
        self._book = book
        self._gate = gate
        self._suspects = Suspects(book, park_after_s, log)
        self._new_outbox = new_outbox
        self._policy = policy
        self._dice = dice
        self._counters = counters
        self._log = log
        self._lanes = Lanes(self, settling, gate, book, park_after_s, log)
        self._refusals: set[asyncio.Task[None]] = set()

    @property
    def in_hand(self) -> int:
        """Events that are held: running, waiting for their turn, or being refused."""
        return len(self._lanes.in_hand) + len(self._refusals)

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """What is at work on them."""
        return [*self._lanes.tasks, *self._refusals]

    def receive(self, delivery: Delivery) -> None:
        """Take a delivery. Whatever it holds, it will be settled."""
        self._counters.received += 1
        try:
            event = self._routed(delivery)
            self._take(event, delivery)
        except InvalidEvent as error:
            self._refuse(delivery, of_error(error), error.event_id, error.channel)
        except Exception as error:
            self._log.critical("event.unhandled", exc_info=True, queue=delivery.incoming.queue)
            self._refuse(delivery, of_error(error), usable_id(delivery.incoming.message_id))

    async def handle(self, work: Work) -> Settlement:
        """One attempt at an event, and what follows from how it ended; before the first, what the ledger says.

        What cannot go on without the ledger is `held`: it is tried again once the ledger is there.
        """
        work.held = False
        try:
            return await self._recorded(work)
        except LeaseLost:
            return self._taken(work)
        except LedgerUnavailable as error:
            return self._held(work, str(error))

    async def _recorded(self, work: Work) -> Settlement:
        """The settlement; a failure is in the ledger before anything is said of it."""
        settlement = work.letter or await self._settlement(work)
        if isinstance(settlement, DeadLetter):
            work.letter = settlement
            await self._book.failed(work, settlement)
        return settlement

    async def _settlement(self, work: Work) -> Settlement:
        if work.planned:
            return await self._ended(work, self._interaction.attempt(work))
        if work.comes_again and not await self._suspects.turn(work):
            return Again(ELSEWHERE_S, work.attempt, work.pauses + 1)
        plan_ = await self._plan(work)
        match plan_:
            case Plan.REPEAT:
                return Acknowledge(repeat=True)
            case Plan.RESUME_FAILURE if work.entry is not None and work.entry.letter is not None:
                return work.entry.letter
            case Plan.CONDEMN if work.entry is not None:
                error = f"{work.entry.deaths} processes died with it in hand"
                work.conversation_id = work.progress.conversation_id
                self._log.error("event.condemned", event_id=work.event.id, deaths=work.entry.deaths)
                return DeadLetter(POISON, error, work.attempt)
            case Plan.DELAY:
                return Again(ELSEWHERE_S, work.attempt, work.pauses + 1)
            case Plan.REPUBLISH if work.entry is not None:
                return await self._ended(work, self._interaction.republish(work, work.entry))
            case _:
                return await self._ended(work, self._interaction.attempt(work))

    async def given_up(self, work: Work, letter: DeadLetter) -> bool:
        """The ledger has it that the event failed. False where that has to wait."""
        try:
            await self._book.failed(work, letter)
        except LedgerUnavailable:
            return False
        return True

    def _held(self, work: Work, error: str) -> Again:
        """Not without the ledger, which may know more of the event by then; if it is there, something else is wrong."""
        self._log.info("event.held", event_id=work.event.id, error=error)
        work.held = True
        if work.letter is None:
            work.plan_anew()
        pauses = work.pauses + 1
        wait_s = 0.0 if self._book.trouble is not None else pause(pauses, self._policy, self._dice())
        return Again(wait_s, work.attempt, pauses)

    def _taken(self, work: Work) -> Again:
        """Another process has the event, and sees to it; this delivery finds out later what became of it."""
        work.letter = None
        work.plan_anew()
        return Again(ELSEWHERE_S, work.attempt, work.pauses + 1)

    def left(self, work: Work) -> None:
        """The event is in hand no more."""
        self._suspects.left(work)

    async def _plan(self, work: Work) -> Plan:
        self._interaction.foresee(work)
        claim = await self._book.claim(work)
        if claim is None:
            if not work.progress.needs_proof:
                work.progress = replace(work.progress, request=RequestKind.UNKNOWN)
            work.planned = True
            return Plan.RECONCILE
        plan_ = plan(claim, redelivered=work.redelivered, requeue=work.incoming.requeue, sure=self._book.holds)
        work.planned = plan_ is not Plan.DELAY
        if claim.entry is not None and plan_ is not Plan.DELAY:
            self._known(work, claim.entry, plan_)
        if plan_ is not Plan.CONDEMN:
            failpoints.reached("claimed", work.event.id)
        return plan_

    def _known(self, work: Work, entry: Entry, plan_: Plan) -> None:
        """Go on from what the ledger knows of the event."""
        conflict = entry.digest != work.digest
        started_over = entry.state is State.FAILED and plan_ is not Plan.RESUME_FAILURE
        work.progress = requests_of(entry, plan_)
        work.recorded = plan_ in (Plan.REPUBLISH, Plan.RESUME_FAILURE)
        work.requeue = work.incoming.requeue if started_over else entry.requeue
        if started_over:
            work.entry = replace(entry, deaths=0)
        if started_over and plan_ is Plan.START:
            work.entry = replace(entry, deaths=0, ending=None, letter=None)
        else:
            work.attempt = max(work.attempt, entry.attempt)
        self._counters.repeats += plan_ in (Plan.REPEAT, Plan.RESUME_FAILURE)
        self._counters.conflicts += conflict
        say = self._log.warning if conflict else self._log.info
        say(
            "event.known",
            event_id=work.event.id,
            state=entry.state,
            plan=plan_,
            conflict=conflict,
            requeue=work.requeue,
        )

    async def _ended(self, work: Work, attempt: Awaitable[Outcome]) -> Settlement:
        self._counters.streaming += 1
        try:
            outcome = await attempt
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            self._log.critical("attempt.cancelled", event_id=work.event.id)
            outcome = Outcome(OutcomeKind.UNKNOWN, "the attempt was cancelled, and nobody here had asked for it")
        except Exception as error:
            self._log.critical("attempt.unhandled", exc_info=True, event_id=work.event.id)
            outcome = Outcome(OutcomeKind.BUG, f"{type(error).__name__}: {error}")
        finally:
            self._counters.streaming -= 1
        self._counters.outcomes[outcome.kind] += 1
        self._gate.saw(outcome)
        settlement = self._follows(work, outcome)
        if outcome.kind is not OutcomeKind.COMPLETE:
            self._log.info(
                "attempt.ended",
                event_id=work.event.id,
                attempt=work.number,
                outcome=outcome.kind,
                status=outcome.status,
                error=outcome.error,
                follows=type(settlement).__name__.lower(),
                after_s=getattr(settlement, "after_s", None),
            )
        return settlement

    def _follows(self, work: Work, outcome: Outcome) -> Settlement:
        match outcome.kind:
            case OutcomeKind.LEDGER_AWAY:
                return self._held(work, outcome.error)
            case OutcomeKind.LEASE_LOST:
                return self._taken(work)
            case _:
                return decide(outcome, work.number, work.pauses, self._policy, self._dice())

    async def run(self) -> None:
        """Keep the lanes in order until cancelled."""
        await self._lanes.sweep()

    async def stop(self, grace_s: float) -> int:
        """Start nothing more and finish what streams, for so many seconds. Returns how many events are left."""
        self._suspects.stop()
        left = await self._lanes.stop(grace_s)
        if self._refusals:
            await asyncio.wait(self._refusals, timeout=min(grace_s, CLOSING_S))
        for task in self._refusals:
            task.cancel()
        await self._book.let_go(self._lanes.in_hand)
        return left

    async def let_go(self) -> None:
        """The broker has been away for too long: another process may have what is not started, or known to the end."""
        for work in await self._lanes.let_go():
            self._log.info("event.let_go", event_id=work.event.id, answered=work.answered)
            work.outbox.forget()
            await self._book.released(work)

    def _routed(self, delivery: Delivery) -> RoutedEvent:
        incoming = delivery.incoming
        event = read_event(incoming, self._max_bytes[incoming.queue])
        route = self._routes.match(event, incoming)
        rendered = self._routes.render(route, event, incoming) if route is not None else Rendered()
        return resolve(event, route, rendered, self._defaults)

    def _take(self, event: RoutedEvent, delivery: Delivery) -> None:
        running = self._lanes.find(event.id)
        if running is not None:
            self._repeated(running, delivery)
        elif self._settling.settled_before(event.id, delivery):
            self._counters.repeats += 1
            self._counters.conflicts += self._settling.conflicts(event.id, delivery)
            self._log.info("event.repeated", event_id=event.id, redelivered=delivery.incoming.redelivered, settled=True)
        else:
            now_s = asyncio.get_running_loop().time()
            self._lanes.add(Work.of(event, delivery, self._new_outbox(), now_s))

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
        running.take_over(delivery)

    def _refuse(self, delivery: Delivery, outcome: Outcome, event_id: str | None, channel: str | None = None) -> None:
        if event_id is not None and self._settling.settled_before(event_id, delivery):
            return
        letter = DeadLetter(ROWS[outcome.kind].reason, outcome.error, delivery.incoming.attempt)
        context = EventContext(event_id=event_id, channel=channel) if event_id else None
        self._spawn(self._settling.refuse(delivery, context, self._new_outbox(), letter))

    def _spawn(self, refusal: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(refusal)
        self._refusals.add(task)
        task.add_done_callback(self._refused)

    def _refused(self, task: asyncio.Task[None]) -> None:
        self._refusals.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.critical("refusal.unhandled", exc_info=error)
