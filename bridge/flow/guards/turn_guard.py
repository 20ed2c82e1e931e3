"""Guards the turn of an event that its lane has come to: poison is kept apart, what a person has paused waits."""

from bridge.core.event.event_fields import EventKind
from bridge.flow.guards.pauses import Pauses
from bridge.flow.guards.poison_guard import PoisonGuard
from bridge.flow.work import Work


class TurnGuard:
    """Asks both before an event goes on."""

    def __init__(self, poison_guard: PoisonGuard, pauses: Pauses) -> None:
        self._poison_guard = poison_guard
        self._pauses = pauses

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

    def holding(self, key: str) -> bool:
        """True while the pause of this key is not lifted."""
        return self._pauses.holding(key)

    def left(self, work: Work) -> None:
        """The event is in hand no more."""
        self._poison_guard.left(work)

    def stop(self) -> None:
        """Let nobody through any more."""
        self._poison_guard.stop()
