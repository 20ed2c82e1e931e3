"""What the flow writes into the ledger and reads from it. Without a ledger the API is asked instead, and it is said."""

from collections.abc import Awaitable, Collection
from dataclasses import replace

from bridge.core.ending import DeadLetter
from bridge.core.ledger import Claim, Entry, Holder, State
from bridge.core.record import Record
from bridge.flow.ports import LeaseLost, Ledger, LedgerUnavailable, Log
from bridge.flow.work import Work


class Book:
    """The ledger, as far as it can be had."""

    def __init__(self, ledger: Ledger, log: Log) -> None:
        self._ledger = ledger
        self._log = log

    @property
    def trouble(self) -> str | None:
        """Why the ledger cannot be had; None while it can."""
        return self._ledger.trouble

    async def claim(self, work: Work) -> Claim | None:
        """Take the event; None where the ledger cannot tell."""
        try:
            claim = await self._ledger.claim(work.event.id, work.digest)
        except LedgerUnavailable:
            return None
        except Exception:
            self._log.critical("ledger.unhandled", exc_info=True)
            return None
        if claim.holder is not Holder.ANOTHER:
            work.entry = claim.entry or Entry(work.event.id, State.CLAIMED, work.digest)
        return claim

    async def requested(self, work: Work, stream: str) -> None:
        """About to send a request, whose answer will be this stream: from now on it may have reached the API."""
        await self._write(work, State.REQUESTED, record=replace(work.record, stream=stream, published=0))

    async def opened(self, work: Work) -> None:
        """The API has answered: the conversation is known, and the stream's first line is about to be published."""
        await self._write(work, State.OPEN)

    async def answered(self, work: Work, ending: bytes, sequence: int) -> None:
        """The ending is known, and about to be published under this sequence."""
        await self._write(work, State.ANSWERED, record=replace(work.record, published=sequence), ending=ending)

    async def complete(self, work: Work) -> None:
        """Every message is confirmed; the event is about to be acknowledged."""
        await self._write(work, State.COMPLETE)

    async def waiting(self, work: Work) -> None:
        """The event is about to be copied to a delay queue."""
        await self._write(work, State.WAITING)

    async def failed(self, work: Work, letter: DeadLetter) -> None:
        """The event is about to be dead-lettered."""
        await self._write(work, State.FAILED, letter=letter)

    async def let_go(self, event_ids: Collection[str]) -> None:
        """These events are in hand no more."""
        await self._carried_out(self._ledger.release(event_ids))

    async def _write(
        self,
        work: Work,
        state: State,
        *,
        record: Record | None = None,
        ending: bytes | None = None,
        letter: DeadLetter | None = None,
    ) -> None:
        """What was answered stays answered, even where it cannot be published or has to wait."""
        if work.entry is None:
            return
        known = ending or work.entry.ending
        work.entry = replace(
            work.entry,
            state=State.ANSWERED if state is State.WAITING and known is not None else state,
            record=record or (work.record if known is None else work.entry.record),
            attempt=work.attempt,
            ending=known,
            letter=letter,
            replay=work.replay,
        )
        await self._carried_out(self._ledger.write(work.entry))

    async def _carried_out(self, call: Awaitable[None]) -> None:
        try:
            await call
        except LeaseLost as error:
            self._log.warning("lease.lost", error=str(error))
        except LedgerUnavailable:
            pass  # it says so itself
        except Exception:
            self._log.critical("ledger.unhandled", exc_info=True)
