"""Events that steer instead of speaking: `finish` and `tag` change a conversation, `cancel` another event.

target ▸ written as requested ▸ call ▸ ending into the ledger ▸ published      a crash anywhere: docs/semantics.md
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from bridge.core.answer.ending import CANCEL_SETTLED, CONVERSATION_FINISHED, CONVERSATION_TAGGED, cancelled
from bridge.core.answer.outbound_message import MessageFactory
from bridge.core.delivery.outcome import Outcome, OutcomeKind, of_error
from bridge.core.delivery.progress import NotMade, ProvedVoid, Recovered, Requested, RequestKind, Waited
from bridge.core.delivery.reconcile import Blind, Finish
from bridge.core.delivery.retry import busy_wait_s
from bridge.core.errors import Refused
from bridge.core.event.event_fields import EventKind
from bridge.core.ledger.planned_event import PlannedEvent
from bridge.flow import failpoints
from bridge.flow.answering import reads
from bridge.flow.answering.expiry import Expiry
from bridge.flow.answering.open_conversations import OpenConversations
from bridge.flow.answering.own_ending import put_ending
from bridge.flow.answering.reconciler import NOT_MADE, Reconciler
from bridge.flow.answering.tagging import Tagging
from bridge.flow.ledger_journal import LedgerJournal
from bridge.flow.ports.api import Agent
from bridge.flow.work import Work

STEERING = (EventKind.FINISH, EventKind.TAG, EventKind.CANCEL)
Facts = Mapping[str, Any]


class Steering:
    """Makes the attempts at these events. Raises ApiError, NotWritten and LeaseLost as an interaction does."""

    def __init__(
        self,
        agent: Agent,
        reconciler: Reconciler,
        journal: LedgerJournal,
        factory: MessageFactory,
        conversations: OpenConversations,
        busy_for_s: float,
    ) -> None:
        self._agent = agent
        self._reconciler = reconciler
        self._journal = journal
        self._factory = factory
        self.expiry = Expiry(journal, factory)
        self._open = conversations
        self._tagging = Tagging(agent, journal, conversations)
        self._busy_for_s = busy_for_s
        self._steps: Mapping[EventKind, Callable[[Work], Any]] = {
            EventKind.FINISH: self._finish,
            EventKind.TAG: self._tag,
            EventKind.CANCEL: self._cancel,
        }

    async def made(self, work: Work) -> Outcome:
        """One attempt. What was done is in the ledger, and handed to the publisher, where it is COMPLETE."""
        done: Outcome | tuple[str, Facts] = await self._steps[work.event.kind](work)
        if isinstance(done, Outcome):
            return done
        await put_ending(self._journal, self._factory, work, *done)
        return Outcome(OutcomeKind.COMPLETE)

    def waits(self, work: Work, outcome: Outcome, awaits: str | None = None) -> Outcome:
        """A busy conversation is waited for, though not for ever; until it has ended, where the event `awaits` that."""
        now_s = int(self._factory.clock())
        work.apply(Waited(now_s))
        since_s = work.progress.busy_since_s or now_s
        if now_s - since_s < self._busy_for_s:
            work.awaits = awaits
            return outcome if awaits is None else replace(outcome, wait_s=busy_wait_s(now_s - since_s))
        error = f"the conversation has been busy for {now_s - since_s} s, conversations.busy_for is over"
        return Outcome(OutcomeKind.REJECTED, f"{error}: {outcome.error}")

    async def _finish(self, work: Work) -> Outcome | tuple[str, Facts]:
        if work.progress.needs_proof:
            known = await self._found_of_finish(work)
            if known is not None:
                return known
            if (overdue := self.expiry.overdue(work)) is not None:
                return await self.expiry.expired(work, overdue)
        target = work.event.conversation_id or work.progress.conversation_id or await self.only_open(work)
        if target is None:
            if self._reconciler.sight.lists is False:
                return Outcome(OutcomeKind.REJECTED, Blind.CONVERSATIONS.words)
            return CONVERSATION_FINISHED, {"conversation_id": None, "already": True, "by": "event"}
        return await self._finished(work, target)

    async def _found_of_finish(self, work: Work) -> Outcome | tuple[str, Facts] | None:
        """See what an earlier finish of this event has come to. None: it has not been carried out; make it again."""
        target = work.event.conversation_id or work.progress.conversation_id
        if target is None:  # the ledger has no request of it: none was made, unless the ledger was lost since
            work.apply(ProvedVoid())
            return None
        if await self._is_open(work, target):
            work.apply(ProvedVoid())
            return None
        work.apply(Recovered(target))
        self._over(work, target)
        return CONVERSATION_FINISHED, {"conversation_id": target, "by": "event"}

    async def _finished(self, work: Work, target: str) -> Outcome | tuple[str, Facts]:
        work.apply(self._about(work, RequestKind.FINISH, target))
        try:
            await self._journal.requested(work)
            failpoints.reached("before-post", work.event.id)
            finish = await self._agent.finish(work.event.user_id, target)
            failpoints.reached("post-answered", work.event.id)
        except Refused as error:
            return self._refused(work, error)
        except NOT_MADE:
            work.apply(NotMade())
            raise
        if finish is Finish.RUNNING and await self._is_open(work, target):
            return self.waits(work, Outcome(OutcomeKind.BUSY, "something still runs in the conversation"))
        self._over(work, target)
        already = finish is not Finish.DONE
        return CONVERSATION_FINISHED, {"conversation_id": target, "already": already, "by": "event"}

    async def _tag(self, work: Work) -> Outcome | tuple[str, Facts]:
        if self._tagging.is_done(work):
            return CONVERSATION_TAGGED, {"conversation_id": work.progress.conversation_id}
        target = work.event.conversation_id or await self.only_open(work)
        if target is None:
            return Outcome(OutcomeKind.REJECTED, "no conversation of the user with the service is open to be tagged")
        try:
            await self._tagging.tag(work, self._about(work, RequestKind.TAG, target))
        except Refused as error:
            return self._refused(work, error)
        return CONVERSATION_TAGGED, {"conversation_id": target}

    async def _cancel(self, work: Work) -> tuple[str, Facts]:
        cancels = work.event.cancels or ""
        in_time = await self._journal.cancel(cancels, cancelled(cancels, work.event.id))
        return CANCEL_SETTLED, {"cancels": cancels, "outcome": "cancelled" if in_time else "too-late"}

    def _about(self, work: Work, request: RequestKind, target: str) -> Requested:
        known = self._open.get(work.event.lane)
        version_set = known.version_set if known is not None and known.conversation_id == target else None
        planned = PlannedEvent.of(work.event, with_text=False)
        return Requested(request, None, target, version_set=version_set, planned=planned)

    def _over(self, work: Work, conversation_id: str) -> None:
        """Nothing is due any more; that is written before the ending is, so that only this event says it."""
        self._open.forget(work.event.lane)
        self._journal.due(None, conversation_id)

    def _refused(self, work: Work, error: Refused) -> Outcome:
        outcome = of_error(error)
        if not outcome.maybe_sent:
            work.apply(NotMade())
        return outcome

    async def only_open(self, work: Work) -> str | None:
        """The conversation that the user has open with the service: the API takes one at a time."""
        rows = await self._reconciler.unfinished(*work.event.lane)
        return rows[0].id if rows else None

    async def _is_open(self, work: Work, conversation_id: str) -> bool:
        row = await reads.conversation(self._agent, work.event.user_id, conversation_id)
        return row is not None and not row.is_finished
