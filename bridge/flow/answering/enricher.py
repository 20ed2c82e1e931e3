"""Publishing what a route wants of an answer after its ending: docs/semantics.md, Enrichments.

complete, with what is owed ▸ each one: read, or given up ▸ written with its bytes ▸ published, confirmed ▸ ack
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

from bridge.core.answer.outbound_message import MessageFactory
from bridge.core.answer.sent_ending import SentEnding
from bridge.core.counters import Counters
from bridge.core.errors import BridgeError, bounded
from bridge.core.event.enrichment import ENRICHMENT_FAILED, WantedEnrichment
from bridge.core.ledger.owed_enrichments import (
    JsonObject,
    OwedEnrichments,
    RecordedMessage,
    enrichment_id,
    failed_enrichment_id,
    owed_of,
)
from bridge.flow import failpoints
from bridge.flow.answering.enrichment_reader import EnrichmentReader, NotToBeHad
from bridge.flow.ledger_journal import LedgerJournal
from bridge.flow.ports.ledger import LeaseLost, LedgerUnavailable
from bridge.flow.ports.runtime import Log
from bridge.flow.settling.outbox import Outbox, Undeliverable
from bridge.flow.settling.refusal_log import RefusalLog
from bridge.flow.settling.refused_events import RefusedEvents
from bridge.flow.work import Work

LEDGER_AGAIN_S = 1.0
"""The wait before something is written again that could not be, beside that for the ledger."""
READ, NONE, FAILED, REFUSED = "read", "none", "failed", "refused"
"""Outcomes of an enrichment. NONE: there was nothing of the kind. REFUSED: the broker does not take it."""


class PutOff(BridgeError):
    """The broker refuses an enrichment for now; what it is of is tried again after `wait_s`."""

    def __init__(self, wait_s: float) -> None:
        super().__init__("the broker refuses an enrichment for now")
        self.wait_s = wait_s


class Enricher:
    """Sees to the enrichments of one event after the other. Whatever goes wrong, the event's ending stands."""

    def __init__(
        self,
        reader: EnrichmentReader,
        journal: LedgerJournal,
        factory: MessageFactory,
        new_outbox: Callable[[], Outbox],
        refused_events: RefusedEvents,
        counters: Counters,
        log: Log,
    ) -> None:
        self._reader = reader
        self._journal = journal
        self._factory = factory
        self._new_outbox = new_outbox
        self._refused_events = refused_events
        self._counters = counters
        self._log = log
        self._refusal_log = RefusalLog(log)

    def owes(self, work: Work) -> bool:
        """True where something is due for an event whose ending is out. First asked then: its time begins to run."""
        event, by_s = work.event, self._reader.by_s
        if work.owed is None and work.answer is not None and event.enrich:
            work.owed = owed_of(work.answer, event.user_id, work.conversation_id, event.enrich, by_s())
        return work.owed is not None

    async def before_the_next(self, work: Work) -> None:
        """See to what has to be read before anything else happens in the lane, as long as there is time for that.

        What is left then goes on with `rest`. Raises LeaseLost where another process has the event.
        """
        if work.owed is not None and work.owed.holds_lane:
            with suppress(TimeoutError, PutOff):
                async with asyncio.timeout(self._reader.left_s(work.owed)):
                    await self._go_on(work, work.owed, lane=True)

    async def rest(self, work: Work) -> float | None:
        """See to everything that is due, to its confirm. Raises LeaseLost where another process has the event.

        Gives the seconds after which to go on where the broker refuses one for now.
        """
        if work.owed is not None:
            try:
                await self._go_on(work, work.owed, lane=False)
                await self._confirmed(work)
            except PutOff as put_off:
                return put_off.wait_s
        work.owed = work.answer = None
        return None

    async def _go_on(self, work: Work, owed: OwedEnrichments, *, lane: bool) -> None:
        """All are read side by side, so that one that has to wait costs the others nothing."""
        await self._written(work)
        self._put(work)
        wanted = [one for one in owed.wanted if one.holds_lane or not lane]
        reading = {asyncio.ensure_future(self._messages(work, owed, one)): one for one in wanted}
        try:
            while reading:
                done, _ = await asyncio.wait(reading, return_when=asyncio.FIRST_COMPLETED)
                for task in [task for task in reading if task in done]:
                    await self._record(work, reading.pop(task), task.result())
        finally:
            for task in reading:
                task.cancel()

    async def _record(self, work: Work, wanted: WantedEnrichment, messages: Sequence[RecordedMessage]) -> None:
        """Have its bytes in the ledger, once those of the one before are out, and only then publish it."""
        failpoints.reached("enrichment-read", work.event.id)
        await self._confirmed(work)
        if work.owed is not None:
            work.owed = work.owed.having(wanted, messages)
        await self._written(work)
        failpoints.reached("enrichment-recorded", work.event.id)
        self._put(work)

    async def _written(self, work: Work) -> None:
        """Return once the ledger has what is owed, or is done without."""
        while True:
            try:
                return await self._journal.owing(work)
            except LeaseLost:
                raise
            except LedgerUnavailable:
                await asyncio.sleep(LEDGER_AGAIN_S)
                await self._journal.available()

    async def _messages(self, work: Work, owed: OwedEnrichments, wanted: WantedEnrichment) -> list[RecordedMessage]:
        """The messages of an enrichment that has been read, or the one that says why it cannot be."""
        try:
            pieces = await self._reader.pieces(owed, wanted)
            made = [
                self._made(work, owed, wanted.type, enrichment_id(work.event.id, wanted, piece.message_id), piece.facts)
                for piece in pieces
            ]
        except NotToBeHad as error:
            return [self._failure(work, owed, wanted, str(error))]
        except Exception as error:
            self._log.critical("enrichment.unhandled", exc_info=True, event_id=work.event.id, enrichment=wanted.kind)
            return [self._failure(work, owed, wanted, f"{type(error).__name__}: {error}")]
        self._counters.enrichments[wanted.type, READ if made else NONE] += 1
        return made

    def _failure(self, work: Work, owed: OwedEnrichments, wanted: WantedEnrichment, error: str) -> RecordedMessage:
        self._counters.enrichments[wanted.type, FAILED] += 1
        facts = {"enrichment": wanted.kind, "error": bounded(error)}
        self._log.warning("enrichment.failed", event_id=work.event.id, **facts)
        return self._made(work, owed, ENRICHMENT_FAILED, failed_enrichment_id(work.event.id, wanted.kind), facts)

    def _made(
        self, work: Work, owed: OwedEnrichments, type_: str, message_id: str, facts: JsonObject
    ) -> RecordedMessage:
        context = work.context.within(owed.conversation_id)
        body = self._factory.own_body(context, type_, facts)
        sent = SentEnding.of(type_, self._factory.messages(context, type_, message_id, body))
        return RecordedMessage(message_id, body, sent)

    def _put(self, work: Work) -> None:
        """Hand over what has been written down; in order with all that follows in the lane."""
        if work.owed is None or not work.owed.recorded or work.enrichments is not None:
            return
        work.enrichments = self._new_outbox()
        self._refused_events.go_on(work, work.enrichments)
        for message in work.owed.recorded:
            again = message.sent.again(self._factory, message.message_id, message.body)
            if again is None:  # its exchanges are configured no more
                again = self._factory.messages(work.context, message.sent.type, message.message_id, message.body)
            work.enrichments.put(again)

    async def _confirmed(self, work: Work) -> None:
        """Return once what was handed over is confirmed, or given up. Raises PutOff where it is refused for now."""
        outbox, owed = work.enrichments, work.owed
        if outbox is None or owed is None:
            return
        wait_s = None
        try:
            wait_s = await self._refused_events.confirmed(work, outbox)
        except Undeliverable as error:
            work.refused_since_s = None
            self._counters.enrichments[owed.recorded[0].sent.type, REFUSED] += 1
            self._refusal_log.error("enrichment.refused", event_id=work.event.id, error=str(error))
        if wait_s is not None:
            work.enrichments = None
            raise PutOff(wait_s)
        failpoints.reached("enrichment-said", work.event.id)
        counters, counts = self._counters, outbox.counts
        counters.published += counts.published
        counters.refused += counts.refused
        counters.lost += counts.lost
        work.enrichments, work.owed = None, owed.published()
