"""The lanes as the ledger has them: what is asked of it and told to it, for a process that has an order of its own."""

from collections.abc import Collection, Mapping, Sequence

from bridge.core.event.event_fields import EventKind
from bridge.core.lanes.lane_claim import InLine, LaneClaim
from bridge.core.lanes.lane_turns import NOBODY, Before, Key, Passing
from bridge.flow.lanes.lost_events import LostEvents
from bridge.flow.ports.ledger import Ledger, LedgerUnavailable
from bridge.flow.work import Work

PASSING_KINDS = frozenset({EventKind.FINISH, EventKind.TAG})
"""Kinds of event that pass those which wait for the end of a conversation: they may be what brings it."""


class LaneJournal:
    """The ledger's lanes. What cannot be told to it is not told: the order is then this process's alone."""

    def __init__(self, ledger: Ledger, lost: LostEvents) -> None:
        self._ledger = ledger
        self._lost = lost

    @property
    def shared(self) -> bool:
        """True where others number events too, so that a number is wanted as soon as an event has to wait."""
        return self._ledger.shared

    def claim_of(self, work: Work) -> LaneClaim | None:
        """The turn that the event wants with its claim; None where it stands in no lane of the ledger."""
        if not work.in_lane:
            return None
        return LaneClaim(work.event.lane, self._lost.age_s, passing_of(work), work.incoming.requeue)

    async def take_turn(self, work: Work) -> Before | None:
        """Take the turn for an event that is claimed. Raises LedgerUnavailable."""
        line = self.claim_of(work)
        return None if line is None else await self._ledger.take_turn(work.event.id, line)

    def line_up(self, lane: Key, waiting: Sequence[InLine]) -> None:
        """Events wait in a lane, in this order; see the port."""
        if waiting and all(lane):
            self._ledger.line_up(lane, waiting)

    def leave(self, work: Work) -> None:
        """Nobody waits for the event any more."""
        self._ledger.leave_lane(work.event.id)

    async def ahead(self, lane: Key, event_ids: Collection[str]) -> Mapping[str, int]:
        """How many come before each of these events in their lane, as far as the ledger can be asked."""
        try:
            return await self._ledger.ahead(lane, event_ids, self._lost.age_s)
        except LedgerUnavailable:
            return {}

    async def freed(self) -> Collection[Key]:
        """Return as soon as others have left lanes that this process waits in."""
        return await self._ledger.freed()


def passing_of(work: Work) -> Passing:
    """Whom the event may pass in its lane."""
    event = work.event
    if event.kind in PASSING_KINDS:
        return Passing(steers=True)
    return NOBODY if event.conversation_id is None else Passing(joins=event.conversation_id)
