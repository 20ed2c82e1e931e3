"""The bridge's own endings, which no history has: into the ledger, then to the publisher."""

from collections.abc import Mapping

from bridge.core.answer.outbound_message import MessageFactory, ending_id
from bridge.core.answer.sent_ending import SentEnding
from bridge.flow import failpoints
from bridge.flow.ledger_journal import LedgerJournal
from bridge.flow.work import Work


async def put_ending(
    journal: LedgerJournal, factory: MessageFactory, work: Work, type_: str, facts: Mapping[str, object]
) -> None:
    """Write this ending of the event, and hand it to the publisher. Raises LeaseLost."""
    body = factory.own_body(work.context, type_, facts)
    messages = factory.messages(work.context, type_, ending_id(work.event.id, type_), body)
    failpoints.reached("complete-read", work.event.id)
    await journal.answered(work, body, work.progress, SentEnding.of(type_, messages))
    failpoints.reached("ending-recorded", work.event.id)
    work.outbox.put(messages)
