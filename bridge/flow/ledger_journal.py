"""The flow's reads and writes of the ledger, and the course where the ledger cannot be had.

`when_lost: hold`    nothing is asked of the API unless the ledger has it; what was asked goes on without the ledger
`when_lost: ask`     the API is asked instead of the ledger, and all goes on

What could not be written of an event that is settled or parked is written once the ledger is back.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

from bridge.core.answer.sent_ending import SentEnding
from bridge.core.control.pause import is_of_refusals
from bridge.core.delivery.outcome import DeadLetter, Outcome, OutcomeKind
from bridge.core.delivery.progress import UNKNOWN, Progress
from bridge.core.lanes.lane_turns import Before
from bridge.core.ledger.attempt_log import Wait, WaitReason
from bridge.core.ledger.due_finish import DueFinish
from bridge.core.ledger.ledger_entry import Claim, Entry, Holder, State
from bridge.core.ledger.ledger_knowledge import first_entry
from bridge.core.ledger.owed_enrichments import OwedEnrichments
from bridge.core.ledger.planned_event import PlannedEvent
from bridge.flow.lanes.lane_journal import LaneJournal
from bridge.flow.lanes.lost_events import LostEvents
from bridge.flow.ports.ledger import EntryUnreadable, LeaseLost, Ledger, LedgerUnavailable
from bridge.flow.ports.runtime import Clock, Log
from bridge.flow.work import Work

UNREMARKABLE = frozenset(
    {
        OutcomeKind.COMPLETE,
        OutcomeKind.SAVED,
        OutcomeKind.USER_FOUND,
        OutcomeKind.LIMITED,
        OutcomeKind.LEDGER_AWAY,
        OutcomeKind.LEASE_LOST,
    }
)
"""Outcomes of which the ledger's log of attempts has nothing."""
T = TypeVar("T")


class NotWritten(LedgerUnavailable):
    """The request must not be made: the ledger does not have it. `taken`: another process has the event now."""

    def __init__(self, error: str, *, taken: bool = False) -> None:
        super().__init__(error)
        self.taken = taken


class LedgerJournal:
    """The ledger, as far as it can be had. `holds`: it is waited for before anything is asked of the API."""

    def __init__(self, ledger: Ledger, log: Log, clock: Clock, *, holds: bool, lost: LostEvents | None = None) -> None:
        """`clock` gives Unix seconds. `lost` says how long the ledger's lanes wait for events that do not come back."""
        self.holds = holds
        self.lost = lost or LostEvents()
        self.lanes = LaneJournal(ledger, self.lost)
        self._clock = clock
        self._ledger = ledger
        self._log = log
        self._owed: dict[str, Entry] = {}
        """The last entries of events that are in hand no more, where they could not be written."""

    @property
    def trouble(self) -> str | None:
        """Why the ledger cannot be had; None while it can."""
        return self._ledger.trouble

    @property
    def shared(self) -> bool:
        """True where other processes may take what this one lets go of."""
        return self._ledger.shared

    async def available(self) -> None:
        """Return as soon as the ledger can be had."""
        await self._ledger.available()

    async def available_within(self, seconds: float) -> None:
        """Return then, or when so much time is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ledger.available()

    def gathering(self, work: Work) -> Awaitable[None] | None:
        """Done in time for what is to be written next; None where that had better be written now."""
        return None if work.entry is None else self._ledger.gathering()

    async def claim(self, work: Work, *, in_line: bool = True) -> Claim | None:
        """Take the event; None where the API is to be asked instead. Raises LedgerUnavailable where that has to wait.

        What may have been asked of the API by then, as far as the delivery tells, is written with the claim. `in_line`:
        it takes the turn of its lane; False for one that another's turn carries.
        """
        first, line = work.first_request, self.lanes.claim_of(work) if in_line else None
        try:
            if self._owed:
                await self._settle(work.event.id)
            claim = await self._ledger.claim(work.event.id, work.digest, first, line)
        except EntryUnreadable as error:
            self._log.error("entry.unreadable", event_id=work.event.id, error=str(error))
            entry = Entry(work.event.id, State.REQUESTED, work.digest, UNKNOWN)
            claim = Claim(Holder.EARLIER, entry)
        except Exception as error:
            self._untold(error)
            return None
        if claim.holder not in (Holder.ANOTHER, Holder.LANE):
            work.turn_of = None if line is None else line.lane
            work.ledger = work.ledger.having(claim.entry or first_entry(work.event.id, work.digest, first))
        return claim

    async def take_turn(self, work: Work) -> Before | None:
        """Take the turn of the event's lane. Gives those that come before it; without the ledger nobody does."""
        try:
            before = await self.lanes.take_turn(work)
        except Exception as error:
            self._untold(error)
            return None
        work.turn_of = work.event.lane if before is None else None
        return before

    async def deaths(self, work: Work) -> int:
        """How many processes have died with the event in hand; 0 where the ledger cannot tell. Raises as `claim`."""
        try:
            entry = await self._ledger.find(work.event.id)
        except EntryUnreadable:
            return 0
        except Exception as error:
            self._untold(error)
            return 0
        return 0 if entry is None else entry.deaths

    def _untold(self, error: Exception) -> None:
        """Return where the ledger is done without; raises LedgerUnavailable where it is waited for."""
        if not isinstance(error, LedgerUnavailable):
            self._log.critical("ledger.unhandled", exc_info=error)
        if self.holds:
            raise LedgerUnavailable(str(error)) from error

    async def requested(self, work: Work) -> None:
        """About to send a request, as the progress has it: from now on it may have reached the API.

        Where that was foreseen the ledger knows it since the claim. Raises NotWritten where it must not be sent.
        """
        entry = work.entry
        if entry is None:
            if self.holds:
                raise NotWritten("the ledger does not have the event")
        elif entry.state is not State.REQUESTED or entry.progress != work.progress:
            entry = _entry(work, entry, State.REQUESTED, work.progress)
            try:
                await self._needed(entry)
            except LedgerUnavailable as error:
                raise NotWritten(str(error), taken=isinstance(error, LeaseLost)) from None
            work.ledger = work.ledger.having(entry)

    def opened(self, work: Work) -> Awaitable[None]:
        """The API has answered: the conversation is known, and the stream's first line is about to be published."""
        return self._write(work, State.OPEN)

    def due(self, due: DueFinish | None, conversation_id: str | None = None) -> None:
        """A sign of life of a conversation, or (None) its end: written with what is written next."""
        if due is not None:
            self._ledger.keep_due(due)
        elif conversation_id is not None:
            self._ledger.drop_due(conversation_id)

    async def owner_of(self, conversation_id: str) -> tuple[str, str] | None:
        """User and service of a conversation, where the ledger knows them. Raises LedgerUnavailable as `claim`."""
        try:
            due = await self._ledger.find_due(conversation_id)
        except EntryUnreadable:
            return None
        except Exception as error:
            self._untold(error)
            return None
        return None if due is None else (due.user_id, due.service_id)

    async def answered(self, work: Work, ending: bytes, progress: Progress, sent: SentEnding) -> None:
        """The ending is known, and about to be published as `sent`; `progress` is what is known of the request then.

        Raises LeaseLost where another process has taken the event over: that one says how it ended.
        """
        if work.entry is None:
            return
        entry = _entry(work, work.entry, State.ANSWERED, progress, ending, sent=sent)
        work.ledger = work.ledger.having(entry)
        recorded = False
        try:
            await self._ledger.write(entry)
            recorded = True
        except LeaseLost:
            raise
        except LedgerUnavailable:
            pass  # it says so itself
        except Exception:
            self._log.critical("ledger.unhandled", exc_info=True)
        work.ledger = work.ledger.recording(recorded=recorded)

    def complete(self, work: Work) -> None:
        """Every message is confirmed; the event is about to be acknowledged.

        Nobody waits for this one: an event that comes again while it counts as answered has its ending published again,
        under the same id.
        """
        entry = work.entry
        if entry is None:
            return
        if self._ledger.trouble is not None:
            self._owed[work.event.id] = _entry(work, entry, State.COMPLETE)
        elif _only_completes(work, entry):
            self._ledger.complete_soon(entry.event_id, entry.progress)
        else:
            self._ledger.write_soon(_entry(work, entry, State.COMPLETE))

    async def owing(self, work: Work) -> None:
        """The event is complete but for what it owes, of which something may be about to be published.

        Raises LeaseLost where another process has it, and LedgerUnavailable where this has to wait for the ledger.
        """
        known = work.entry
        if known is None or (known.state is State.COMPLETE and known.owed == work.owed):
            return
        entry = _entry(work, known, State.COMPLETE, owed=work.owed)
        recorded = await self._needed(entry)
        work.ledger = work.ledger.having(entry).recording(recorded=recorded)

    async def cancel(self, event_id: str, ending: bytes) -> bool:
        """See the port. Raises NotWritten where that has to wait for the ledger."""
        try:
            return await self._ledger.cancel(event_id, ending)
        except LedgerUnavailable as error:
            raise NotWritten(str(error)) from None

    def attempted(self, work: Work, outcome: Outcome) -> None:
        """An attempt has ended so: a person may ask. Written with what is written next."""
        if outcome.kind not in UNREMARKABLE:
            doubt = work.progress.planned is not None
            planned = None if doubt else PlannedEvent.of(work.event, with_text=False)
            work.log = work.log.having(self._clock(), outcome.kind.value, outcome.error, planned)

    def kept_back(self, work: Work, key: str) -> Awaitable[None]:
        """The event is about to be copied to the held queue, by the pause of this key: until then, nobody knows."""
        reason = WaitReason.REFUSALS if is_of_refusals(key) else WaitReason.PERSON
        work.log = work.log.waiting(Wait(0, reason))
        return self._write(work, State.WAITING)

    async def hold(self, work: Work, key: str) -> None:
        """The event is in the held queue, where the pause of this key keeps it; waits for a ledger that is needed."""
        while True:
            try:
                await self._ledger.hold(work.event.id, work.incoming.queue, key, self._clock())
            except LedgerUnavailable:
                if self.holds:
                    await self._ledger.available()
                    continue
            return

    def waiting(self, work: Work, for_s: float, *, api_away: bool) -> Awaitable[None]:
        """The event is about to be copied to a delay queue, for so many seconds."""
        about = ""
        if work.refused_since_s is not None:
            reason = WaitReason.BROKER
        elif work.handling.held:
            reason = WaitReason.LEDGER
        elif api_away:
            reason = WaitReason.API
        elif work.limit:
            reason, about = WaitReason.LIMIT, work.limit
        else:
            reason = WaitReason.RETRY if work.handling.claimed else WaitReason.LANE
        work.log = work.log.waiting(Wait(int(self._clock() + for_s), reason, about))
        return self._write(work, State.WAITING)

    async def released(self, work: Work) -> None:
        """The event is in hand no more, and not at its end: whoever gets it next may have it."""
        try:
            await self._ledger.release((work.event.id,))
        except LedgerUnavailable:
            if work.entry is not None:
                self._owed[work.event.id] = work.entry
        except Exception:
            self._log.critical("ledger.unhandled", exc_info=True)

    async def failed(self, work: Work, letter: DeadLetter) -> None:
        """The event is about to be dead-lettered.

        Raises LeaseLost where another process has it, and LedgerUnavailable where this has to wait for the ledger.
        """
        if work.entry is None:
            if self.holds and self.trouble is not None:
                raise LedgerUnavailable(self.trouble)
            return
        entry = _entry(work, work.entry, State.FAILED, letter=letter)
        recorded = await self._needed(entry)
        work.ledger = work.ledger.having(entry).recording(recorded=recorded)
        if not recorded:
            self._owed[work.event.id] = entry

    def let_go(self, event_ids: Collection[str]) -> Awaitable[None]:
        """These events are in hand no more: the process ends."""
        return self._carried_out(self._ledger.release, event_ids)

    async def catch_up(self) -> None:
        """Write what is owed, and let go of it."""
        for event_id in list(self._owed):
            await self._carried_out(self._settle, event_id)

    async def _settle(self, event_id: str) -> None:
        """Write what is owed of the event, if anything is. Raises LedgerUnavailable, and it is still owed."""
        entry = self._owed.get(event_id)
        if entry is None:
            return
        try:
            await self._ledger.write(entry)
            await self._ledger.release((event_id,))
        except LeaseLost as error:
            self._log.warning("lease.lost", error=str(error))
        if self._owed.get(event_id) is entry:
            del self._owed[event_id]

    async def _needed(self, entry: Entry) -> bool:
        """Write what must be written before anything follows. False where that failed, and is done without."""
        try:
            await self._ledger.write(entry)
        except LeaseLost as error:
            self._log.warning("lease.lost", error=str(error))
            raise
        except Exception as error:
            self._untold(error)
            return False
        return True

    def _write(self, work: Work, state: State) -> Awaitable[None]:
        """Write what need not be written: the API, or the copy itself, tells as much."""
        if work.entry is None:
            return _nothing()
        entry = _entry(work, work.entry, state)
        work.ledger = work.ledger.having(entry)
        return self._carried_out(self._ledger.write, entry)

    async def _carried_out(self, call: Callable[[T], Awaitable[None]], what: T) -> None:
        try:
            await call(what)
        except LeaseLost as error:
            self._log.warning("lease.lost", error=str(error))
        except LedgerUnavailable:
            pass  # it says so itself
        except Exception:
            self._log.critical("ledger.unhandled", exc_info=True)


async def _nothing() -> None:
    """Write nothing: the event could not be claimed."""


def _only_completes(work: Work, entry: Entry) -> bool:
    """True where the ledger has all of the event but that it is complete."""
    unchanged = entry.attempt == work.attempt and entry.requeue == work.ledger.requeue
    return entry.state is State.ANSWERED and work.ledger.recorded and unchanged


def _entry(
    work: Work,
    known: Entry,
    state: State,
    progress: Progress | None = None,
    ending: bytes | None = None,
    letter: DeadLetter | None = None,
    sent: SentEnding | None = None,
    owed: OwedEnrichments | None = None,
) -> Entry:
    """The entry of the event now. An answer stays in it, even where it cannot be published or waits."""
    if state is State.WAITING and known.owed is not None:
        return known  # it is complete, and waits with what it owes
    if state is State.WAITING and work.handling.letter is not None and work.ledger.recorded:
        return replace(known, log=work.log)  # it has failed, and waits until that can be told
    ending = ending or known.ending
    return Entry(
        event_id=known.event_id,
        state=State.ANSWERED if state is State.WAITING and ending is not None else state,
        digest=known.digest,
        progress=progress or (work.progress if ending is None else known.progress),
        attempt=work.attempt,
        ending=ending,
        letter=letter,
        requeue=work.ledger.requeue,
        deaths=known.deaths,
        sent=sent or known.sent,
        owed=owed,
        log=work.log,
    )
