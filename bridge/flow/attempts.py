"""From an event in hand to its settlement.

lane ▸ what the ledger knows ▸ plan ▸ attempt ▸ outcome ▸ settlement        `handle`, one at a time a lane
"""

import asyncio
from collections.abc import Awaitable

from bridge.core.counters import Counters
from bridge.core.delivery.handling import HandlingStep
from bridge.core.delivery.outcome import (
    ROWS,
    Acknowledge,
    Again,
    Behind,
    DeadLetter,
    KeptBack,
    Moved,
    Outcome,
    OutcomeKind,
    Settlement,
    decide,
    of_error,
)
from bridge.core.delivery.poison import POISON
from bridge.core.delivery.progress import Doubted, RequestKind
from bridge.core.delivery.retry import Backoff
from bridge.core.errors import InvalidEvent, bounded
from bridge.core.ledger.ledger_entry import Entry, Plan, plan, recall
from bridge.core.ledger.ledger_knowledge import starts_over
from bridge.flow import failpoints
from bridge.flow.answering.interaction import Interaction
from bridge.flow.guards.api_breaker import ApiBreaker
from bridge.flow.guards.turn_guard import TurnGuard
from bridge.flow.ledger_journal import LedgerJournal
from bridge.flow.ports.ledger import LeaseLost, LedgerUnavailable
from bridge.flow.ports.limits import CALLER
from bridge.flow.ports.runtime import Log
from bridge.flow.work import Work

ELSEWHERE_S = 5.0
"""The wait for an event that another process has in hand."""


class Attempts:
    """Makes the attempts at events, and says what follows from each."""

    def __init__(
        self,
        interaction: Interaction,
        journal: LedgerJournal,
        turn_guard: TurnGuard,
        api_breaker: ApiBreaker,
        backoff: Backoff,
        counters: Counters,
        log: Log,
    ) -> None:
        self._interaction = interaction
        self._journal = journal
        self._turn_guard = turn_guard
        self._api_breaker = api_breaker
        self._backoff = backoff
        self._counters = counters
        self._log = log

    async def handle(self, work: Work) -> Settlement:
        """One attempt at an event, and what follows from how it ended; before the first, what the ledger says.

        What cannot go on without the ledger is `held`: it is tried again once the ledger is there.
        """
        work.follow(HandlingStep.TURN)
        CALLER.set(work.event.id)
        try:
            return await self._recorded(work)
        except LeaseLost:
            return self.taken(work)
        except LedgerUnavailable as error:
            return self._held(work, str(error))

    async def _recorded(self, work: Work) -> Settlement:
        """The settlement; a failure is in the ledger before anything is said of it."""
        letter = work.handling.letter
        if letter is None:
            settlement = await self._settlement(work)
            if not isinstance(settlement, DeadLetter):
                return settlement
            letter = settlement
            work.follow(HandlingStep.FAILED, letter)
        await self._journal.failed(work, letter)
        return letter

    async def _settlement(self, work: Work) -> Settlement:
        if work.owed is not None:
            return Acknowledge(repeat=True)
        if work.handling.claimed:
            return await self._attempted(work)
        if work.comes_again and not await self._turn_guard.turn(work):
            return Again(ELSEWHERE_S, work.attempt, work.pauses + 1)
        if work.event.alone:
            self._interaction.expiry.nothing_asked(work)
        plan_ = await self._plan(work)
        match plan_:
            case Plan.REPEAT:
                return Acknowledge(repeat=True)
            case Plan.ENRICH:
                return self._owing(work)
            case Plan.RESUME_FAILURE if work.entry is not None and work.entry.letter is not None:
                work.fails_as_planned()
                return work.entry.letter
            case Plan.POISON if work.entry is not None:
                work.fails_as_planned()
                error = f"{work.entry.deaths} processes died with it in hand"
                self._log.error("event.poison", event_id=work.event.id, deaths=work.entry.deaths)
                return DeadLetter(POISON, error, work.attempt)
            case Plan.LANE if work.before is not None:
                return Behind(work.before)
            case Plan.DELAY:
                return Again(ELSEWHERE_S, work.attempt, work.pauses + 1)
            case _:
                return await self._attempted(work)

    @staticmethod
    def _owing(work: Work) -> Settlement:
        """Ended; what it owes is seen to in the lane of its user, whom the ledger knows."""
        event = work.event
        if work.owed is None or event.user is None or event.user_id:
            return Acknowledge(repeat=True)
        work.event = event.of_user(work.owed.user_id)
        return Moved()

    async def _attempted(self, work: Work) -> Settlement:
        """One attempt, or what has to come before it; an ending that the ledger has is only published."""
        if work.resumes_plan():
            return Moved()
        if work.event.alone and not work.ledger.answered:
            apart = self._interaction.expiry.apart(work)
            if apart is not None:
                return apart
        if work.ledger.answered and work.entry is not None:
            return await self._ended(work, self._interaction.republish(work, work.entry))
        if (key := self._turn_guard.held_by(work)) is not None:
            return KeptBack(key)
        if work.event.seeks_owner:
            return await self._owned(work)
        if self._interaction.lacks_user(work):
            return await self._ended(work, self._interaction.find_user(work))
        if work.refusal is not None and not work.event.service_id:  # nothing was asked for it
            return DeadLetter(ROWS[work.refusal.kind].reason, work.refusal.error, work.attempt)
        if work.lacks_turn and (before := await self._journal.take_turn(work)) is not None:
            return Behind(before)
        work.awaits = None
        return await self._ended(work, self._interaction.attempt(work))

    async def _owned(self, work: Work) -> Settlement:
        """On to the lane of the conversation that the event names, or, where it stands in that, to its turn."""
        lane = work.event.lane
        try:
            work.event = work.event.owned_by(await self._journal.owner_of(work.event.conversation_id or ""))
        except InvalidEvent as error:
            outcome = of_error(error)
            return DeadLetter(ROWS[outcome.kind].reason, outcome.error, work.attempt)
        return Again(0.0, work.attempt, work.pauses) if work.event.lane == lane else Moved()

    async def given_up(self, work: Work, letter: DeadLetter) -> bool:
        """The ledger has it that the event failed. False where that has to wait."""
        try:
            await self._journal.failed(work, letter)
        except LedgerUnavailable:
            return False
        return True

    def holding(self, key: str) -> bool:
        """True while the pause of this key is not lifted."""
        return self._turn_guard.holding(key)

    def keeps_back(self, work: Work) -> bool:
        """True where a pause would keep the event back."""
        return self._turn_guard.keeps_back(work) is not None

    def left(self, work: Work) -> None:
        """The event is in hand no more."""
        self._turn_guard.left(work)

    def stop(self) -> None:
        """Begin with nothing more that waits for its turn."""
        self._turn_guard.stop()

    def _held(self, work: Work, error: str) -> Again:
        """Not without the ledger, which may know more of the event by then; if it is there, something else is wrong."""
        self._log.info("event.held", event_id=work.event.id, error=error)
        work.follow(HandlingStep.LEDGER_LOST)
        if work.handling.letter is None:
            work.plan_anew()
        pauses = work.pauses + 1
        wait_s = 0.0 if self._journal.trouble is not None else self._backoff.pause(pauses)
        return Again(wait_s, work.attempt, pauses)

    def taken(self, work: Work) -> Again:
        """Another process has the event, and sees to it; this delivery finds out later what became of it."""
        work.follow(HandlingStep.TAKEN)
        work.plan_anew()
        return Again(ELSEWHERE_S, work.attempt, work.pauses + 1)

    async def _plan(self, work: Work) -> Plan:
        self._interaction.foresee(work)
        claim = await self._journal.claim(work)
        if claim is None:
            if not work.progress.needs_proof:
                work.apply(Doubted())
            work.follow(HandlingStep.CLAIMED)
            return Plan.RECONCILE
        plan_ = plan(claim, redelivered=work.redelivered, requeue=work.incoming.requeue, sure=self._journal.holds)
        if plan_ is Plan.LANE:
            work.before = claim.before
        elif plan_ is not Plan.DELAY:
            work.trust_headers(known=claim.entry is not None, failed=plan_ is Plan.RESUME_FAILURE)
            work.follow(HandlingStep.CLAIMED)
            if claim.entry is not None:
                self._known(work, claim.entry, plan_)
        if plan_ not in (Plan.POISON, Plan.LANE):
            failpoints.reached("claimed", work.event.id)
        return plan_

    def _known(self, work: Work, entry: Entry, plan_: Plan) -> None:
        """Go on from what the ledger knows of the event."""
        conflict = not entry.is_of(work.digest)
        work.apply(recall(entry, plan_))
        work.log = entry.log.waiting(None)
        work.ledger = work.ledger.recalled(entry, plan_, work.incoming.requeue)
        if plan_ is not Plan.START or not starts_over(entry, plan_):
            work.attempt = max(work.attempt, entry.attempt)
        work.owed = entry.owed
        if work.refused_since_s is None:  # else it was told to come back
            self._counters.repeats += plan_ in (Plan.REPEAT, Plan.RESUME_FAILURE, Plan.ENRICH)
        self._counters.conflicts += conflict
        say = self._log.warning if conflict else self._log.info
        say(
            "event.known",
            event_id=work.event.id,
            state=entry.state,
            plan=plan_,
            conflict=conflict,
            requeue=work.ledger.requeue,
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
        if work.event.version_weights is not None:
            self._count_version_set(work, outcome)
        self._api_breaker.saw(outcome)
        settlement = self._follows(work, outcome)
        if self._turn_guard.learns_of(outcome):
            settlement = await self._turn_guard.ended(work, outcome, settlement)
        self._journal.attempted(work, outcome)
        if outcome.kind is not OutcomeKind.COMPLETE:
            self._log.info(
                "attempt.ended",
                event_id=work.event.id,
                attempt=work.number,
                outcome=outcome.kind,
                status=outcome.status,
                error=bounded(outcome.error),
                follows=type(settlement).__name__.lower(),
                after_s=getattr(settlement, "after_s", None),
            )
        return settlement

    def _count_version_set(self, work: Work, outcome: Outcome) -> None:
        started = work.progress.request is RequestKind.CREATE
        if started and outcome.kind in (OutcomeKind.COMPLETE, OutcomeKind.SAVED):
            self._counters.version_sets[work.event.route or "", work.event.version_set] += 1

    def _follows(self, work: Work, outcome: Outcome) -> Settlement:
        match outcome.kind:
            case OutcomeKind.LEDGER_AWAY:
                return self._held(work, outcome.error)
            case OutcomeKind.LEASE_LOST:
                return self.taken(work)
            case _:
                return decide(outcome, work.number, work.pauses, self._backoff.policy, self._backoff.dice())
