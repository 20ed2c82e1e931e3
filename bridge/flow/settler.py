"""The end of every delivery: acknowledged, parked in a delay queue, or dead-lettered. Exactly one of them, once."""

import asyncio
from collections import OrderedDict
from datetime import UTC, datetime
from itertools import count
from typing import TypeVar

from bridge.core.answer.outbound_message import EventContext, MessageFactory, ending_id
from bridge.core.broker import republished_copy
from bridge.core.broker.publish_refusal import PublishRefusal, RefusalKind
from bridge.core.broker.republished_copy import CopyExchanges, RepublishedCopy
from bridge.core.counters import Counters
from bridge.core.delivery.outcome import DeadLetter
from bridge.core.delivery.retry import Backoff, delay_level
from bridge.flow import failpoints
from bridge.flow.expiry import first_seen_s
from bridge.flow.ledger_journal import LedgerJournal
from bridge.flow.outbox import Outbox, Undeliverable
from bridge.flow.ports.broker import Delivery, Republisher, RepublishRefused
from bridge.flow.ports.runtime import Log
from bridge.flow.work import Work, digest

MAX_REMEMBERED = 10_000
LATER = 32
"""As if it had been refused so often: the longest pause."""
COMPLETE = "ack"
REPEAT = "repeat"

V = TypeVar("V")


class Settler:
    """Settles deliveries. Copies are confirmed before the original is acked, so a crash repeats and never loses."""

    def __init__(
        self,
        republisher: Republisher,
        journal: LedgerJournal,
        factory: MessageFactory,
        exchanges: CopyExchanges,
        backoff: Backoff,
        counters: Counters,
        log: Log,
    ) -> None:
        self._republisher = republisher
        self._journal = journal
        self._factory = factory
        self._exchanges = exchanges
        self._backoff = backoff
        self._counters = counters
        self._log = log
        self._settled_as: OrderedDict[str, tuple[object, ...]] = OrderedDict()
        self._complete: OrderedDict[str, bytes] = OrderedDict()

    def settled_before(self, event_id: str, delivery: Delivery) -> bool:
        """True where the event had its ending, or this very message was settled and its ack was lost; acks it then.

        Only as far as this process remembers: ten thousand events.
        """
        if event_id in self._complete:
            delivery.ack()
            return True
        if not delivery.incoming.redelivered or self._settled_as.get(event_id) != delivery.incoming.edition:
            return False
        delivery.ack()
        return True

    def conflicts(self, event_id: str, delivery: Delivery) -> bool:
        """True where an event that had its ending comes again with another body."""
        known = self._complete.get(event_id)
        return known is not None and known != digest(delivery.incoming.body)

    def acknowledge(self, work: Work, settlement: str = COMPLETE, **fields: object) -> None:
        """Ack: everything that had to be confirmed is confirmed."""
        work.deliveries.acknowledge()
        _remember(self._settled_as, work.event.id, work.incoming.edition)
        if settlement in (COMPLETE, REPEAT):
            _remember(self._complete, work.event.id, work.digest)
        self._settled(work, settlement, **fields)

    async def complete(self, work: Work, *, repeat: bool) -> None:
        """Ack, once the ledger knows that everything is confirmed."""
        if repeat:
            self.acknowledge(work, REPEAT)
            return
        failpoints.reached("before-complete", work.event.id)
        self._journal.complete(work)
        failpoints.reached("before-ack", work.event.id)
        self.acknowledge(work)

    async def set_aside(self, work: Work, after_s: float, held_by: str, *, api_away: bool) -> bool:
        """Park the event, or hold it where a pause has this key. False where it can only wait here."""
        return await (self.hold(work, held_by) if held_by else self.park(work, after_s, api_away=api_away))

    async def park(self, work: Work, after_s: float, *, api_away: bool = False) -> bool:
        """Hand the event to a delay queue, with what is known of it, and ack. False where it can only wait here."""
        level_s = delay_level(after_s)
        await self._journal.waiting(work, level_s, api_away=api_away)
        failpoints.reached("parking", work.event.id)
        if not await self._copied(work, level_s):
            return False
        failpoints.reached("parked", work.event.id)
        await self._journal.released(work)
        self.acknowledge(work, "parked", delay_s=level_s)
        return True

    async def hold(self, work: Work, key: str) -> bool:
        """Hand the event to the held queue, where the pause of this key keeps it, and ack. False as `park`.

        The ledger's row comes after the copy: whatever it names is in the queue.
        """
        await self._journal.kept_back(work)
        failpoints.reached("holding", work.event.id)
        if not await self._copied(work, None):
            return False
        failpoints.reached("held", work.event.id)
        await self._journal.hold(work, key)
        await self._journal.released(work)
        self.acknowledge(work, "held", by=key)
        return True

    async def _copied(self, work: Work, level_s: int | None) -> bool:
        """The event's copy is in a delay queue, or (None) in the held queue. False where it can only wait here."""
        copy = republished_copy.delayed(
            work.incoming,
            self._exchanges.delay,
            level_s,
            attempt=work.attempt,
            pauses=work.pauses,
            progress=work.progress.dump(),
            first_seen_s=first_seen_s(work, self._factory.clock()),
        )
        refusal = await self._republished(copy)
        if refusal is not None:
            self._log.warning("delivery.unparkable", event_id=work.event.id, error=refusal.error)
        return refusal is None

    async def bury(self, work: Work, letter: DeadLetter) -> None:
        """Dead-letter an event of which the ledger knows that it failed, say `bridge-failed`, and ack, in this order.

        What was answered is not said to have failed: its ending comes with the replay of the dead letter.
        """
        failpoints.reached("dead-lettering", work.event.id)
        await self._republished_as_can_be(self._dead(work.delivery, letter, work.conversation_id))
        failpoints.reached("dead-lettered", work.event.id)
        if not work.ledger.answered:
            await self._say_failed(work.context, work.outbox, letter, work.ledger.requeue)
        failpoints.reached("failure-said", work.event.id)
        self.acknowledge(work, letter.reason, error=letter.error)

    async def refuse(self, delivery: Delivery, letter: DeadLetter) -> None:
        """Dead-letter and ack a message of which not even the event's id is known."""
        await self._republished_as_can_be(self._dead(delivery, letter, None))
        delivery.ack()
        self._counters.settled[letter.reason] += 1
        self._log.warning(
            "delivery.settled",
            settlement="dead-letter",
            reason=letter.reason,
            error=letter.error,
            event_id=None,
            queue=delivery.incoming.queue,
            routing_key=delivery.incoming.routing_key,
            body_bytes=len(delivery.incoming.body),
        )

    def _dead(self, delivery: Delivery, letter: DeadLetter, conversation_id: str | None) -> RepublishedCopy:
        return republished_copy.dead(
            delivery.incoming,
            self._exchanges.dead,
            reason=letter.reason,
            error=letter.error,
            attempts=letter.attempts,
            failed_at=datetime.fromtimestamp(self._factory.clock(), UTC).isoformat(timespec="milliseconds"),
            conversation_id=conversation_id,
        )

    async def _republished_as_can_be(self, letter: RepublishedCopy) -> None:
        """See a dead letter to its confirm: whole, or with as much of it as the broker takes."""
        while (refusal := await self._republished(letter)) is not None:
            smaller = republished_copy.reduced(letter)
            self._log.error("copy.reduced", exchange=letter.exchange, error=refusal.error, in_vain=smaller is None)
            if smaller is None:
                await asyncio.sleep(self._backoff.pause(LATER))
            else:
                letter = smaller

    async def _republished(self, copy: RepublishedCopy) -> PublishRefusal | None:
        """See a copy to its confirm, however long that takes; gives why where the broker will never take it so."""
        alone = False
        for tries in count(1):
            try:
                await self._republisher.copy(copy, alone=alone)
                break
            except RepublishRefused as error:
                if error.refusal.kind is RefusalKind.IMPOSSIBLE:
                    return error.refusal
                alone = error.refusal.kind.closes
                wait_s = self._backoff.pause(tries)
                self._log.error(
                    "copy.refused",
                    exchange=copy.exchange,
                    routing_key=copy.routing_key,
                    error=str(error),
                    again_in_s=wait_s,
                )
                await asyncio.sleep(wait_s)
        return None

    async def _say_failed(self, context: EventContext, outbox: Outbox, letter: DeadLetter, requeue: int) -> None:
        """Publish the ending on every outbound but those that may have the other one already.

        Where patience is out with that as well, the dead letter, which is confirmed, must do.
        """
        facts = {"reason": letter.reason, "error": letter.error, "attempts": letter.attempts}
        message_id = ending_id(context.event_id, "bridge-failed") + (f":{requeue}" if requeue else "")
        await outbox.all_told()
        messages = self._factory.own(context, "bridge-failed", message_id, facts, {})
        outbox.put([message for message in messages if message.to.outbound not in outbox.ended])
        try:
            await outbox.all_confirmed()
        except Undeliverable as error:
            self._log.error("ending.refused", event_id=context.event_id, error=str(error))

    def _settled(self, work: Work, settlement: str, **fields: object) -> None:
        """The one line that tells a whole delivery."""
        counts, sent, counters = work.counts, work.outbox.counts, self._counters
        counters.settled[settlement] += 1
        counters.lines += counts.lines
        counters.voids += counts.voids
        counters.recovered += counts.recovered
        counters.published += sent.published
        counters.refused += sent.refused
        counters.lost += sent.lost
        self._log.info(
            "delivery.settled",
            settlement=settlement,
            event_id=work.event.id,
            user_id=work.event.user_id,
            service_id=work.event.service_id,
            channel=work.event.channel,
            route=work.event.route,
            conversation_id=work.conversation_id,
            stream=work.stream,
            attempt=work.number,
            lines=counts.lines,
            published=sent.published,
            refused=sent.refused,
            repeated=sent.lost,
            voids=counts.voids,
            recovered=counts.recovered,
            redelivered=work.incoming.redelivered,
            queue=work.incoming.queue,
            ms=round((asyncio.get_running_loop().time() - work.started_s) * 1000),
            **fields,
        )


def _remember(memory: OrderedDict[str, V], event_id: str, value: V) -> None:
    memory[event_id] = value
    if len(memory) > MAX_REMEMBERED:
        memory.popitem(last=False)
