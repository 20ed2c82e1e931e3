"""Events that may not start yet, or not any more: docs/semantics.md, Lifetime.

turn ▸ too early ▸ a delay queue        turn ▸ too late ▸ `bridge-expired` into the ledger ▸ published
"""

import asyncio

from bridge.core.answer.ending import EXPIRED
from bridge.core.answer.outbound_message import MessageFactory
from bridge.core.delivery.outcome import Moved, NotYet, Outcome, OutcomeKind
from bridge.core.delivery.progress import RequestKind, StartedOver
from bridge.core.event.lifetime import Overdue
from bridge.flow.answering.own_ending import put_ending
from bridge.flow.ledger_journal import LedgerJournal
from bridge.flow.work import Work


class Expiry:
    """Looks at the lifetime of events whose turn has come. The clock is the factory's."""

    def __init__(self, journal: LedgerJournal, factory: MessageFactory) -> None:
        self._journal = journal
        self._factory = factory

    def apart(self, work: Work) -> NotYet | Moved | None:
        """The next step of an event that stands in no lane: wait, or take its place; None where it expires at once."""
        left_s = self._early_s(work)
        if left_s:
            return NotYet(left_s)
        if self.expires(work):
            return None
        work.event = work.event.in_line()
        return Moved()

    def nothing_asked(self, work: Work) -> None:
        """An event that comes again before its time: nobody can have started it, so nothing is to be found out."""
        if self._early_s(work) and work.progress.request is RequestKind.UNKNOWN:
            work.apply(StartedOver(lost_stream=False))

    def expires(self, work: Work) -> bool:
        """True where the event has not started, and may not any more."""
        return not work.progress.needs_proof and self.overdue(work) is not None

    def overdue(self, work: Work) -> Overdue | None:
        """The limit that is over, for an event of which nothing is asked, or all that was is proved void."""
        lifetime = work.event.lifetime
        if lifetime is None:
            return None
        now_s = self._factory.clock()
        return lifetime.overdue(work.incoming, first_seen_s(work, now_s), now_s)

    async def expired(self, work: Work, overdue: Overdue) -> Outcome:
        """Say that the event has expired. What was said is in the ledger. Raises LeaseLost."""
        await put_ending(self._journal, self._factory, work, EXPIRED, overdue.facts)
        return Outcome(OutcomeKind.EXPIRED, f"{overdue.limit} {overdue.value} was over")

    def _early_s(self, work: Work) -> float:
        lifetime = work.event.lifetime
        return 0.0 if lifetime is None else lifetime.early_s(self._factory.clock())


def first_seen_s(work: Work, now_s: float) -> float:
    """When the event was first seen (Unix seconds): by this process, unless a copy says more. `now_s` is the time."""
    return work.incoming.first_seen_s or now_s - (asyncio.get_running_loop().time() - work.started_s)
