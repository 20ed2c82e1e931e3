"""What the flow writes into the ledger and reads from it. Without a ledger the API is asked instead, and it is said."""

from collections.abc import Awaitable, Callable, Collection
from typing import TypeVar

from bridge.core.ending import DeadLetter
from bridge.core.ledger import Claim, Entry, Holder, State
from bridge.core.record import Record
from bridge.flow.ports import LeaseLost, Ledger, LedgerUnavailable, Log
from bridge.flow.work import Work

T = TypeVar("T")


class Book:
    """The ledger, as far as it can be had."""

    def __init__(self, ledger: Ledger, log: Log) -> None:
        self._ledger = ledger
        self._log = log

    @property
    def trouble(self) -> str | None:
        """Why the ledger cannot be had; None while it can."""
        return self._ledger.trouble

    def gathering(self, work: Work) -> Awaitable[None] | None:
        """Done in time for what is to be written next; None where that had better be written now."""
        return None if work.entry is None else self._ledger.gathering()

    async def claim(self, work: Work) -> Claim | None:
        """Take the event; None where the ledger cannot tell."""
        try:
            claim = await self._ledger.claim(work.event.id, work.digest, durable=work.redelivered, record=work.foreseen)
        except LedgerUnavailable:
            return None
        except Exception:
            self._log.critical("ledger.unhandled", exc_info=True)
            return None
        if claim.holder is not Holder.ANOTHER:
            work.entry = claim.entry or _first_entry(work)
        return claim

    async def deaths(self, work: Work) -> int:
        """How many processes have died with the event in hand; 0 where the ledger cannot tell."""
        try:
            entry = await self._ledger.find(work.event.id)
        except LedgerUnavailable:
            return 0
        except Exception:
            self._log.critical("ledger.unhandled", exc_info=True)
            return 0
        return 0 if entry is None else entry.deaths

    async def requested(self, work: Work, stream: str) -> None:
        """About to send a request, whose answer will be this stream: from now on it may have reached the API.

        Where that was foreseen the ledger knows it since the claim.
        """
        record, entry = work.record.streaming(stream, lost_stream=work.record.lost_stream), work.entry
        if entry is None or entry.state is not State.REQUESTED or entry.record != record:
            await self._write(work, State.REQUESTED, record=record)

    def opened(self, work: Work) -> Awaitable[None]:
        """The API has answered: the conversation is known, and the stream's first line is about to be published."""
        return self._write(work, State.OPEN)

    def answered(self, work: Work, ending: bytes, sequence: int) -> Awaitable[None]:
        """The ending is known, and about to be published under this sequence."""
        record = work.record.seen(sequence, work.record.conversation_id, work.record.announced)
        return self._write(work, State.ANSWERED, record=record, ending=ending)

    def complete(self, work: Work) -> None:
        """Every message is confirmed; the event is about to be acknowledged.

        Nobody waits for this one: an event that comes again while it counts as answered has its ending published again,
        under the same id.
        """
        entry = work.entry
        if entry is None:
            return
        if (entry.state, entry.attempt, entry.replay) == (State.ANSWERED, work.attempt, work.replay):
            self._ledger.complete_soon(entry)
        else:  # an ending that was found in the history, say
            self._ledger.write_soon(_entry(work, entry, State.COMPLETE))

    def waiting(self, work: Work) -> Awaitable[None]:
        """The event is about to be copied to a delay queue."""
        return self._write(work, State.WAITING)

    def failed(self, work: Work, letter: DeadLetter) -> Awaitable[None]:
        """The event is about to be dead-lettered."""
        return self._write(work, State.FAILED, letter=letter)

    def let_go(self, event_ids: Collection[str]) -> Awaitable[None]:
        """These events are in hand no more."""
        return self._carried_out(self._ledger.release, event_ids)

    def _write(
        self,
        work: Work,
        state: State,
        *,
        record: Record | None = None,
        ending: bytes | None = None,
        letter: DeadLetter | None = None,
    ) -> Awaitable[None]:
        if work.entry is None:
            return _nothing()
        work.entry = _entry(work, work.entry, state, record, ending, letter)
        return self._carried_out(self._ledger.write, work.entry)

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
    """What is written of an event that could not be claimed."""


def _first_entry(work: Work) -> Entry:
    """What the ledger has of an event that nobody knew, once it is claimed."""
    if work.foreseen is None:
        return Entry(work.event.id, State.CLAIMED, work.digest)
    return Entry(work.event.id, State.REQUESTED, work.digest, work.foreseen)


def _entry(
    work: Work,
    known: Entry,
    state: State,
    record: Record | None = None,
    ending: bytes | None = None,
    letter: DeadLetter | None = None,
) -> Entry:
    """What is known of the event now. What was answered stays answered, even where it cannot be published or waits."""
    ending = ending or known.ending
    return Entry(
        event_id=known.event_id,
        state=State.ANSWERED if state is State.WAITING and ending is not None else state,
        digest=known.digest,
        record=record or (work.record if ending is None else known.record),
        attempt=work.attempt,
        ending=ending,
        letter=letter,
        replay=work.replay,
        deaths=known.deaths,
    )
