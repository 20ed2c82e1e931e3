"""Enrichments, and the finish of the conversation: the rest of an event whose answer is out."""

import asyncio
from dataclasses import replace

from bridge.flow.answering.enricher import Enricher
from bridge.flow.finishing.due_finisher import DueFinisher
from bridge.flow.lanes.lane import LaneJob, finish_job
from bridge.flow.ledger_journal import LedgerJournal
from bridge.flow.settling.settler import Settler
from bridge.flow.work import Work


class AfterAnswer:
    """Tells the lanes what is left to be done for an event that is answered."""

    def __init__(self, enricher: Enricher, finisher: DueFinisher, journal: LedgerJournal) -> None:
        self.enricher = enricher
        self._finisher = finisher
        self._journal = journal

    async def rest(self, work: Work, settler: Settler) -> None:
        """See to what the event still owes, then ack; what the broker refuses for now waits in a delay queue."""
        while (wait_s := await self.enricher.rest(work)) is not None:
            if await settler.park(work, wait_s):
                return
            await asyncio.sleep(wait_s)
        await settler.complete(work, repeat=False)

    def finish(self, work: Work) -> LaneJob | None:
        """The finish of the event's conversation, where that is the lane's next job: before the next event can join."""
        due = work.due
        if due is None:
            return None
        if due.again_s:  # it waited for what had to be read before it
            due = replace(due, again_s=0.0)
            self._journal.due(due)
        return None if due.finish_s else finish_job(self._finisher, due)
