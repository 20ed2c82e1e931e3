"""Guards the turn of an event that its lane has come to: poison is kept apart, what is paused or held waits."""

from bridge.core.delivery.outcome import Outcome, Settlement
from bridge.core.event.event_fields import EventKind
from bridge.flow.guards.pauses import Pauses
from bridge.flow.guards.poison_guard import PoisonGuard
from bridge.flow.guards.refusal_holds import RefusalHolds
from bridge.flow.work import Work


class TurnGuard:
    """Asks all before an event goes on."""

    def __init__(self, poison_guard: PoisonGuard, pauses: Pauses, refusal_holds: RefusalHolds) -> None:
        self._poison_guard = poison_guard
        self._pauses = pauses
        self._refusal_holds = refusal_holds

    async def turn(self, work: Work) -> bool:
        """Wait for the turn of an event with which processes may have died; see PoisonGuard."""
        return await self._poison_guard.turn(work)

    def keeps_back(self, work: Work) -> str | None:
        """The key of the pause that keeps back an event which has not started; None where it may go on.

        What is asked of the API already goes on, and so does an event that can only fail, or that cancels another.
        """
        if self._pauses.none or work.progress.needs_proof or work.ledger.answered or work.refusal is not None:
            return None
        event = work.event
        if event.kind is EventKind.CANCEL or work.owed is not None:
            return None
        return self._pauses.keeping_back(work.incoming.queue, event.route, event.user_id)

    def held_by(self, work: Work) -> str | None:
        """The same, for an event that is about to go on: one that probes whether its route is still refused may."""
        key = self.keeps_back(work)
        return None if key is None or self._refusal_holds.probes(work, key) else key

    def learns_of(self, outcome: Outcome) -> bool:
        """True where `ended` is to be told of this outcome."""
        return self._refusal_holds.learns_of(outcome)

    async def ended(self, work: Work, outcome: Outcome, settlement: Settlement) -> Settlement:
        """Learn from how an attempt ended; gives the settlement, which may be another one then."""
        return await self._refusal_holds.ended(work, outcome, settlement)

    def holding(self, key: str) -> bool:
        """True while the pause of this key is not lifted."""
        return self._pauses.holding(key)

    def left(self, work: Work) -> None:
        """The event is in hand no more."""
        self._poison_guard.left(work)
        self._refusal_holds.left(work)

    def stop(self) -> None:
        """Let nobody through any more."""
        self._poison_guard.stop()
