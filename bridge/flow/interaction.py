"""One attempt at one event: prove what came before, ask the agent, stream the answer out, see it confirmed.

record says nothing was asked ─┬─▸ create ──▸ stream ──▸ ended
it says otherwise ▸ reconcile ─┤     │ 400/409: the user is busy ▸ on_busy
                               └─▸ interact ▸ stream ──▸ ended
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace

from bridge.core.answer.answer_stream import Conversation, Stage
from bridge.core.answer.history import ConversationRow
from bridge.core.delivery.ledger_entry import Entry
from bridge.core.delivery.outcome import Ended, Outcome, of_error, of_stream
from bridge.core.delivery.progress import Request
from bridge.core.delivery.reconcile import MOST_WAITS, Finding, Finish, Means
from bridge.core.errors import ApiError, NotSent, Refused, SignInRefused, TooEarly, UnknownUser, Unsendable
from bridge.core.event import tags
from bridge.core.event.route import OnBusy
from bridge.flow import failpoints
from bridge.flow.ledger_journal import NotRecorded
from bridge.flow.open_conversations import Open, OpenConversations
from bridge.flow.outbox import Undeliverable
from bridge.flow.ports.api import Agent, Stream
from bridge.flow.ports.ledger import LeaseLost
from bridge.flow.ports.runtime import Log
from bridge.flow.reconciler import Reconciliation
from bridge.flow.relay import Streaming
from bridge.flow.work import Work

MOST_TURNS = 3
"""How often one attempt may turn from create to interact or back before it waits instead."""
NOT_MADE = (NotSent, TooEarly, SignInRefused, UnknownUser, Unsendable, NotRecorded)
"""Errors of a request that was not made: it cannot have reached the API, or the API refused it unread."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where the attempt goes on: in this open conversation, or (None) with a new one."""

    conversation_id: str | None


class Interaction:
    """Makes attempts. Holds no state of an event: that is the Work's."""

    def __init__(self, agent: Agent, streaming: Streaming, reconciliation: Reconciliation, log: Log) -> None:
        self._agent = agent
        self._streaming = streaming
        self._reconciliation = reconciliation
        self._log = log
        self._open = OpenConversations()

    def foresee(self, work: Work) -> None:
        """Say what the first request will be, where that is plain: the ledger then takes it together with the claim."""
        if not work.comes_again and not work.record.needs_proof and self._known_target(work) is None:
            self._streaming.foresee(work, Request.CREATE)

    async def attempt(self, work: Work) -> Ended:
        """Make one attempt, see all that it published confirmed, and say how it ended.

        Raises nothing that the table of endings has a row for.
        """
        return await self._confirmed(work, await self._made(work))

    async def republish(self, work: Work, entry: Entry) -> Ended:
        """Publish the ending that the ledger has, and see it confirmed."""
        self._streaming.again(work, entry)
        return await self._confirmed(work, Ended(Outcome.COMPLETE))

    async def _confirmed(self, work: Work, ended: Ended) -> Ended:
        try:
            await work.outbox.all_confirmed()
        except Undeliverable as error:
            return Ended(Outcome.UNDELIVERABLE, str(error))
        failpoints.reached("confirmed", work.event.id)
        return ended

    async def _made(self, work: Work) -> Ended:
        try:
            if not work.record.needs_proof:
                return await self._ask(work, None)
            return await self._follow(work, await self._reconciliation.of(work))
        except ApiError as error:
            return of_error(error)
        except NotRecorded as error:
            return Ended(Outcome.LEASE_LOST if error.taken else Outcome.LEDGER_AWAY, str(error))
        except LeaseLost as error:
            return Ended(Outcome.LEASE_LOST, str(error), maybe_sent=True)

    async def _anew(self, work: Work, conversation_id: str | None, reason: str) -> Ended:
        """Ask again after it was proved that nothing was done.

        Where the new request was not even sent (429, say) or was refused as busy, the earlier one may still be running
        and show later: then it stays on record, and is asked about again.
        """
        earlier = work.record
        self._streaming.void(work, reason)
        try:
            return await self._ask(work, conversation_id)
        finally:
            if not work.record.needs_proof:
                work.record = replace(earlier, stream=None, published=0, lost_stream=work.record.lost_stream)

    async def _follow(self, work: Work, finding: Finding) -> Ended:
        match finding.means:
            case Means.ANSWERED:
                self._streaming.recovered(work, finding)
                return Ended(Outcome.COMPLETE)
            case Means.NOT_DONE:
                again = work.record.conversation_id if work.record.request is Request.INTERACT else None
                return await self._anew(work, again, "the attempt left nothing at the API")
            case Means.EMPTY:
                return await self._anew(work, finding.conversation_id, "the attempt left an empty conversation")
            case Means.WAIT if work.record.waits < MOST_WAITS:
                work.record = replace(work.record, waits=work.record.waits + 1)
                return Ended(Outcome.BUSY, finding.error)
            case _:
                return Ended(Outcome.UNCERTAIN, finding.error)

    async def _ask(self, work: Work, conversation_id: str | None) -> Ended:
        """Create or interact; where the user turns out to be busy, go on as the route says, a few times at most."""
        target = conversation_id or self._known_target(work)
        for _ in range(MOST_TURNS):
            ended = await (self._create(work) if target is None else self._interact(work, target))
            if isinstance(ended, Ended):
                return ended
            target = ended.conversation_id
        return Ended(Outcome.BUSY, "the user's conversations with the service keep changing")

    def _known_target(self, work: Work) -> str | None:
        if work.event.conversation_id is not None:
            return work.event.conversation_id
        known = self._open.get(work.event.lane)
        return known.conversation_id if known and work.event.on_busy is OnBusy.INTERACT else None

    async def _create(self, work: Work) -> Ended | Target:
        before = work.record
        work.record = before.requested(Request.CREATE)
        try:
            return await self._stream(work, self._agent.create(work.event))
        except Refused as error:
            ended = of_error(error)
            if not ended.maybe_sent:
                work.record = before
            return await self._busy(work, ended) if ended.outcome is Outcome.CONFLICT else ended
        except NOT_MADE:
            work.record = before
            raise

    async def _busy(self, work: Work, ended: Ended) -> Ended | Target:
        """The user has another conversation open, or something is under way: docs/semantics.md, A busy user."""
        rows = await self._reconciliation.conversations(work.event.user_id, work.event.service_id)
        own = [row for row in rows if row.carries(work.event.fence)]
        if any(row.num_messages or not row.is_finished for row in own):
            work.record = work.record.requested(Request.CREATE)
            return Ended(Outcome.BUSY, "the event has a conversation already")
        unfinished = [row for row in rows if not row.is_finished]
        match work.event.on_busy:
            case OnBusy.REJECT:
                return replace(ended, outcome=Outcome.REJECTED)
            case OnBusy.WAIT if unfinished:
                return replace(ended, outcome=Outcome.BUSY)
            case OnBusy.FINISH if unfinished:
                return await self._finish(work, unfinished)
            case OnBusy.INTERACT if unfinished:
                self._open.remember(work.event.lane, Open(unfinished[0].id, unfinished[0].tags.get("channel")))
                return Target(unfinished[0].id)
        return _nobody_busy(ended)

    async def _finish(self, work: Work, rows: Sequence[ConversationRow]) -> Ended | Target:
        for row in rows:
            if await self._agent.finish(work.event.user_id, row.id) is Finish.RUNNING:
                return Ended(Outcome.BUSY, "the user's open conversation is still running")
        return Target(None)

    async def _interact(self, work: Work, conversation_id: str) -> Ended | Target:
        before = work.record
        try:
            await self._join(work, conversation_id)
            watermark = await self._watermark(work, conversation_id)
            work.conversation_id = conversation_id
            work.record = before.requested(Request.INTERACT, conversation_id, watermark)
            return await self._stream(work, self._agent.interact(work.event, conversation_id))
        except Refused as error:
            self._open.forget(work.event.lane)
            ended = of_error(error)
            if not ended.maybe_sent:
                work.record, work.conversation_id = before, work.event.conversation_id
            return await self._closed(work, conversation_id, error) if error.status in (404, 409) else ended
        except NOT_MADE:
            work.record = before
            raise

    async def _join(self, work: Work, conversation_id: str) -> None:
        """See to it that the conversation's tags name the event's channel, and carry its own tags."""
        known = self._known(work, conversation_id)
        if known is not None and known.channel == work.event.channel and not work.event.tags:
            return
        row = await self._row(work, conversation_id)
        updates = tags.changes(work.event.joining_tags, row.tags) if row is not None else {}
        if updates:
            await self._agent.modify_tags(work.event.user_id, conversation_id, updates)

    async def _watermark(self, work: Work, conversation_id: str) -> str | None:
        """The newest message of the conversation: whatever this event leaves there comes after it."""
        messages = await self._agent.messages(work.event.user_id, conversation_id)
        return messages[-1].id if messages else None

    def _known(self, work: Work, conversation_id: str) -> Open | None:
        known = self._open.get(work.event.lane)
        return known if known is not None and known.conversation_id == conversation_id else None

    async def _row(self, work: Work, conversation_id: str) -> ConversationRow | None:
        rows = await self._agent.conversations(work.event.user_id, conversation_id=conversation_id)
        return next((row for row in rows if row.id == conversation_id), None)

    async def _closed(self, work: Work, conversation_id: str, error: Refused) -> Ended | Target:
        """Interacting was refused: the conversation is over, or something else runs on it just now."""
        row = await self._row(work, conversation_id)
        if error.status == 409 and row is not None and not row.is_finished:
            return Ended(Outcome.BUSY, str(error))
        if work.event.conversation_id == conversation_id:
            return Ended(Outcome.REJECTED, f"the conversation that the event names cannot go on: {error}")
        return Target(None)

    async def _stream(self, work: Work, request: AbstractAsyncContextManager[Stream]) -> Ended:
        conversation = await self._streaming.run(work, request)
        ended = of_stream(conversation)
        if conversation.complete:
            await self._completed(work, conversation)
        elif conversation.stage is Stage.VOID:
            record = work.record
            self._streaming.void(work, conversation.error)
            if ended.maybe_sent:  # looked up before the next try: a void turn may have left its conversation behind
                work.record = replace(record, stream=None, published=0)
        return ended

    async def _completed(self, work: Work, conversation: Conversation) -> None:
        lane, conversation_id = work.event.lane, conversation.context.conversation_id
        if conversation_id is not None:
            self._reconciliation.sight.exists(work.event.user_id, conversation_id)
        if conversation.conversation_completed or conversation_id is None:
            self._open.forget(lane)
        else:
            self._open.remember(lane, Open(conversation_id, work.event.channel))
        if conversation.stage is Stage.SAVED and conversation.conversation_completed and conversation_id is not None:
            await self._repair(work, conversation_id)

    async def _repair(self, work: Work, conversation_id: str) -> None:
        """Post-processing failed after the ending: finish again, and the API retries it (docs/api-contract.md, 6.3)."""
        try:
            await self._agent.finish(work.event.user_id, conversation_id)
        except ApiError as error:
            self._log.warning("conversation.unrepaired", conversation_id=conversation_id, error=str(error))


def _nobody_busy(ended: Ended) -> Ended:
    """Refused as busy, yet nothing unfinished is listed: the list lags (409, or the API says so), or it is not that."""
    if ended.status == 409:
        return replace(ended, outcome=Outcome.BUSY)
    return ended if "unfinished" in ended.error else replace(ended, outcome=Outcome.REJECTED)
