"""The end of every delivery: acknowledged, parked in a delay queue, or dead-lettered. Exactly one of them, once."""

import asyncio
import logging
from collections import OrderedDict
from datetime import UTC, datetime
from itertools import count
from typing import TypeVar

from bridge.core.answer.ending import FAILED
from bridge.core.answer.outbound_message import MessageFactory, ending_id
from bridge.core.broker import republished_copy
from bridge.core.broker.publish_refusal import PublishRefusal, RefusalKind
from bridge.core.broker.republished_copy import CopyExchanges, RepublishedCopy
from bridge.core.counters import Counters
from bridge.core.delivery.outcome import Again, DeadLetter
from bridge.core.delivery.retry import delay_level
from bridge.flow import failpoints
from bridge.flow.answering.expiry import first_seen_s
from bridge.flow.ledger_journal import LedgerJournal
from bridge.flow.ports.broker import Delivery, Republisher, RepublishRefused
from bridge.flow.ports.runtime import Log, loop_time
from bridge.flow.settling.outbox import PATIENT_TRIES, Undeliverable
from bridge.flow.settling.refusal_log import RefusalLog
from bridge.flow.settling.refused_events import NotTaken, RefusalPatience, RefusedEvents
from bridge.flow.work import Work, digest

MAX_REMEMBERED = 10_000
LATER = 32
"""As if it had been refused so often: the longest pause."""
UNKNOWN_AGAIN_S = 600.0
"""Seconds until the API is asked once more for what has failed, where neither the ledger nor a dead letter says so."""
UNPARKABLE_S = 5.0
"""How long no copy is tried once the delay exchange is missing or refuses one: each closes a channel."""
ACKNOWLEDGED = "ack"
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
        refused_events: RefusedEvents,
        counters: Counters,
        log: Log,
    ) -> None:
        self._republisher = republisher
        self._journal = journal
        self._factory = factory
        self._exchanges = exchanges
        self._refused_events = refused_events
        self._backoff = refused_events.backoff
        self._counters = counters
        self._log = log
        self._refusal_log = RefusalLog(log)
        self._settled_as: OrderedDict[str, tuple[object, ...]] = OrderedDict()
        self._complete: OrderedDict[str, bytes] = OrderedDict()
        self._unparkable_until_s: float | None = None

    @property
    def can_park(self) -> bool:
        """False for some seconds after the delay exchange was found to be missing or forbidden."""
        return self._unparkable_until_s is None or loop_time() >= self._unparkable_until_s

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

    def acknowledge(self, work: Work, settlement: str = ACKNOWLEDGED, **fields: object) -> None:
        """Ack: everything that had to be confirmed is confirmed."""
        work.deliveries.acknowledge()
        _remember(self._settled_as, work.event.id, work.incoming.edition)
        if settlement in (ACKNOWLEDGED, REPEAT):
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
        """Hand the event to a delay queue, with what is known of it, and ack. False where it can only wait here.

        The work says whether that is so for good.
        """
        if not self.can_park:
            return False
        level_s = delay_level(after_s)
        await self._journal.waiting(work, level_s, api_away=api_away)
        failpoints.reached("parking", work.event.id)
        if not await self._copied(work, level_s):
            return False
        # A crash from here to the ack leaves the event twice, original and copy: the ledger's claim keeps one of them.
        failpoints.reached("parked", work.event.id)
        await self._journal.released(work)
        self.acknowledge(work, "parked", delay_s=level_s)
        return True

    async def hold(self, work: Work, key: str) -> bool:
        """Hand the event to the held queue, where the pause of this key keeps it, and ack. False as `park`.

        The ledger's row comes after the copy: whatever it names is in the queue.
        """
        await self._journal.kept_back(work, key)
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
            refused_since_s=work.refused_since_s,
            dead_lettered=work.dead_lettered,
            planned=work.ledger.recorded and work.progress.planned is not None,
            waits_for=None if work.log.wait is None else work.log.wait.words,
        )
        refusal = await self._not_copied(copy, once=work.refused_since_s is not None)
        if refusal is not None:
            work.uncopyable = refusal.kind is RefusalKind.IMPOSSIBLE
            self._unparkable(work.event.id, refusal)
            return False
        self._unparkable_until_s = None
        return True

    def _unparkable(self, event_id: str | None, refusal: PublishRefusal) -> None:
        """The event waits in memory; where all others must as well, that is said once, and tried now and then."""
        known = self._unparkable_until_s is not None
        if refusal.kind in (RefusalKind.FORBIDDEN, RefusalKind.MISSING):
            self._unparkable_until_s = loop_time() + UNPARKABLE_S
        if refusal.kind is RefusalKind.IMPOSSIBLE or not known:
            self._refusal_log.warning("delivery.unparkable", kind=refusal.kind, event_id=event_id, error=refusal.error)

    async def bury(self, work: Work, letter: DeadLetter, *, parkable: bool = True) -> Again | None:
        """Dead-letter an event of which the ledger knows that it failed, say `bridge-failed`, and ack, in this order.

        What was answered is not said to have failed: its ending comes when the dead letter is requeued. Where the
        broker refuses one of them for now, the event is to come back and go on from there; not if it is not `parkable`.
        """
        # Else whoever gets it back asks the API once more; the message itself says that it is invalid.
        known = work.ledger.recorded or work.refusal is not None
        wait_s = await self._lettered(work, letter, parkable=parkable)
        if wait_s is not None and not known:
            wait_s = UNKNOWN_AGAIN_S
        while wait_s is None and not work.ledger.answered:
            wait_s = await self._say_failed(work, letter)
            if wait_s is None or (parkable and known):  # else it would have another letter
                break
            await asyncio.sleep(wait_s)
            wait_s = None
        if wait_s is not None:
            return Again(wait_s, work.attempt, work.pauses, away=True)
        failpoints.reached("failure-said", work.event.id)
        self.acknowledge(work, letter.reason, error=letter.error)
        return None

    async def _lettered(self, work: Work, letter: DeadLetter, *, parkable: bool) -> float | None:
        """See the dead letter to its confirm; else gives the seconds after which to try again."""
        if work.dead_lettered:
            return None
        failpoints.reached("dead-lettering", work.event.id)
        patience = self._refused_events.patience(work.incoming.queue, work.refused_since_s, parkable=parkable)
        work.is_refused = True
        try:
            await self._republished_as_can_be(self._dead(work.delivery, letter, work.conversation_id), patience)
        except NotTaken:
            wait_s, work.refused_since_s = self._refused_events.put_off(patience.since_s)
            return wait_s
        finally:
            work.is_refused = False
            patience.close()
        work.dead_lettered, work.refused_since_s = True, None
        failpoints.reached("dead-lettered", work.event.id)
        return None

    async def refuse(self, delivery: Delivery, letter: DeadLetter) -> None:
        """Dead-letter and ack a message without an event's id; it comes back where its letter has to wait."""
        incoming, copy = delivery.incoming, self._dead(delivery, letter, None)
        patience = self._refused_events.patience(incoming.queue, incoming.refused_since_s)
        try:
            await self._republished_as_can_be(copy, patience)
        except NotTaken:
            if await self._comes_back(delivery, patience):
                return
            await self._republished_as_can_be(copy, None)
        finally:
            patience.close()
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

    async def _comes_back(self, delivery: Delivery, patience: RefusalPatience) -> bool:
        """Give a message without an id to a delay queue, and ack. False where that does not take it either."""
        incoming = delivery.incoming
        wait_s, since_s = self._refused_events.put_off(patience.since_s)
        copy = republished_copy.delayed(
            incoming,
            self._exchanges.delay,
            delay_level(wait_s),
            attempt=incoming.attempt,
            pauses=incoming.pauses,
            progress=None,
            refused_since_s=since_s,
        )
        refusal = await self._not_copied(copy, once=True)
        if refusal is not None:
            self._unparkable(None, refusal)
            return False
        delivery.ack()
        self._counters.settled["parked"] += 1
        self._log.info("delivery.settled", settlement="parked", event_id=None, queue=incoming.queue)
        return True

    async def _not_copied(self, copy: RepublishedCopy, *, once: bool) -> PublishRefusal | None:
        """See a delayed copy to its confirm; else why the broker does not take it: never, or not now.

        Somebody must mend something where it is forbidden or missing. What else is refused for now is tried again,
        unless it is to be tried only `once`.
        """
        try:
            return await self._republished(copy, self._refused_events.spent() if once else None, only_once=True)
        except NotTaken as not_taken:
            return not_taken.refusal

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

    async def _republished_as_can_be(self, letter: RepublishedCopy, patience: RefusalPatience | None) -> None:
        """See a dead letter to its confirm: whole, or with as much of it as the broker takes. Raises NotTaken."""
        while (refusal := await self._republished(letter, patience)) is not None:
            smaller = republished_copy.reduced(letter)
            self._refusal_log.error(
                "copy.reduced", letter.exchange, kind=refusal.kind, error=refusal.error, in_vain=smaller is None
            )
            if smaller is None:
                await self._sleep(self._backoff.pause(LATER), patience, refusal)
            else:
                letter = smaller

    async def _republished(
        self, copy: RepublishedCopy, patience: RefusalPatience | None = None, *, only_once: bool = False
    ) -> PublishRefusal | None:
        """See a copy to its confirm; gives why where the broker will never take it so.

        Without a patience that takes as long as it takes. Raises NotTaken where patience is out. `only_once`: gives why
        also where somebody must mend something first.
        """
        alone = False
        for tries in count(1):
            try:
                await self._republisher.copy(copy, alone=alone)
                break
            except RepublishRefused as error:
                kind = error.refusal.kind
                if kind is RefusalKind.IMPOSSIBLE or (only_once and kind.closes):
                    return error.refusal
                alone = kind.closes or tries >= PATIENT_TRIES
                wait_s = self._backoff.pause(tries)
                self._refusal_log.error(
                    "copy.refused",
                    copy.exchange,
                    copy.routing_key,
                    error.refusal.kind,
                    error=str(error),
                    again_in_s=wait_s,
                )
                await self._sleep(wait_s, patience, error.refusal)
        return None

    @staticmethod
    async def _sleep(seconds: float, patience: RefusalPatience | None, refusal: PublishRefusal) -> None:
        if patience is not None and patience.left_s() < seconds:
            raise NotTaken(refusal)
        await asyncio.sleep(seconds)

    async def _say_failed(self, work: Work, letter: DeadLetter) -> float | None:
        """Publish the ending on every outbound but those that may have the other one already.

        Gives the seconds after which to try again what is refused for now. Where patience is out altogether, the dead
        letter, which is confirmed, must do.
        """
        outbox, requeue = work.outbox, work.ledger.requeue
        facts = {"reason": letter.reason, "error": letter.error, "attempts": letter.attempts}
        message_id = ending_id(work.event.id, FAILED) + (f":{requeue}" if requeue else "")
        outbox.forgive()
        self._refused_events.resume(work)
        messages = work.still_lacking(self._factory.own(work.context, FAILED, message_id, facts, {}))
        outbox.put([message for message in messages if message.to.outbound not in outbox.ended])
        while True:
            try:
                return await self._refused_events.confirmed(work, outbox, ended=True)
            except Undeliverable as error:
                if outbox.gave_up(message_id):
                    self._counters.unsaid += 1
                    self._refusal_log.error("ending.refused", event_id=work.event.id, error=str(error))
                    return None
                outbox.forgive()

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
        if not self._log.is_enabled_for(logging.INFO):
            return
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
