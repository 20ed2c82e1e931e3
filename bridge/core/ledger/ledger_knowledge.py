"""The ledger's knowledge of an event in hand, from the claim on, and what is to be written next."""

from dataclasses import replace

from bridge.core.delivery.progress import Progress
from bridge.core.ledger.ledger_entry import Entry, Plan, State
from bridge.core.value import value


@value(frozen=True, slots=True)
class LedgerKnowledge:
    """The entry as it was claimed or written last, also where writing it failed; None where none was claimed.

    `requeue` is the number of the requeue that started the event over, 0 without one. `recorded`: the ledger has the
    event's ending, or that it failed.
    """

    entry: Entry | None = None
    requeue: int = 0
    recorded: bool = False

    @property
    def answered(self) -> bool:
        """True where the entry has the ending."""
        return self.entry is not None and self.entry.ending is not None

    def having(self, entry: Entry | None) -> "LedgerKnowledge":
        """The same with this entry, be it claimed or to be written."""
        return LedgerKnowledge(entry, self.requeue, self.recorded)

    def recording(self, *, recorded: bool) -> "LedgerKnowledge":
        """The same once the ending or the failure has been written, or could not be."""
        return LedgerKnowledge(self.entry, self.requeue, recorded)

    def recalled(self, claimed: Entry, plan_: Plan, requeue: int) -> "LedgerKnowledge":
        """The knowledge to go on from where an entry was claimed. `requeue` is the number that the delivery has."""
        recorded = plan_ in (Plan.REPUBLISH, Plan.RESUME_FAILURE, Plan.ENRICH)
        if not starts_over(claimed, plan_):
            return LedgerKnowledge(self.entry, claimed.requeue, recorded)
        entry = replace(claimed, deaths=0)
        if plan_ is Plan.START:
            entry = replace(entry, ending=None, letter=None, sent=None)
        return LedgerKnowledge(entry, requeue, recorded)


UNASKED = LedgerKnowledge()


def starts_over(claimed: Entry, plan_: Plan) -> bool:
    """True where an event that has failed is tried again."""
    return claimed.state is State.FAILED and plan_ is not Plan.RESUME_FAILURE


def first_entry(event_id: str, digest: bytes, request: Progress | None) -> Entry:
    """The ledger's entry of an event that nobody knew, once it is claimed."""
    if request is None:
        return Entry(event_id, State.CLAIMED, digest)
    return Entry(event_id, State.REQUESTED, digest, request)
