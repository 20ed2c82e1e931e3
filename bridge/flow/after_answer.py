"""Enrichments, and the finish of the conversation: the rest of an event whose answer is out."""

from dataclasses import replace

from bridge.flow.due_finisher import DueFinisher
from bridge.flow.enricher import Enricher
from bridge.flow.lane import LaneJob, finish_job
from bridge.flow.ledger_journal import LedgerJournal
from bridge.flow.work import Work


class AfterAnswer:
    """Tells the lanes what is left to be done for an event that is answered."""

    def __init__(self, enricher: Enricher, finisher: DueFinisher, journal: LedgerJournal) -> None:
        self.enricher = enricher
        self._finisher = finisher
        self._journal = journal

    def finish(self, work: Work) -> LaneJob | None:
        """The finish of the event's conversation, where that is the lane's next job: before the next event can join."""
        due = work.due
        if due is None:
            return None
        if due.again_s:  # it waited for what had to be read before it
            due = replace(due, again_s=0.0)
            self._journal.due(due)
        return None if due.finish_s else finish_job(self._finisher, due)
