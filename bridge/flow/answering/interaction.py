"""One attempt at one event: prove what came before, ask the agent, stream the answer out, see it confirmed.

progress says nothing was asked ─┬─▸ create ──▸ stream ──▸ ended
it says otherwise ▸ reconcile ─┤     │ 400/409: the user is busy ▸ on_busy
                               └─▸ interact ▸ stream ──▸ ended
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace

from bridge.core.answer.answer_stream import AnswerStream, Stage
from bridge.core.answer.history import ConversationRow
from bridge.core.delivery.outcome import ROWS, Outcome, OutcomeKind, Then, of_error, of_stream
from bridge.core.delivery.progress import (
    ConversationListed,
    NotMade,
    ProvedVoid,
    RequestKind,
    StillRunning,
    StreamVoided,
)
from bridge.core.delivery.reconcile import MAX_WAITS, Finding, Finish, Means
from bridge.core.errors import ApiError, Refused, UnknownUser
from bridge.core.event import tags
from bridge.core.event.event_fields import OnBusy
from bridge.core.event.route import NO_TAGS
from bridge.core.ledger.ledger_entry import Entry
from bridge.core.ledger.planned_event import PlannedEvent
from bridge.flow import failpoints
from bridge.flow.answering import reads
from bridge.flow.answering.open_conversations import Open, OpenConversations
from bridge.flow.answering.reconciler import NOT_MADE, Reconciler
from bridge.flow.answering.relay import Asked, Relay
from bridge.flow.answering.steering import STEERING, Steering
from bridge.flow.answering.user_lookup import UserLookup
from bridge.flow.ledger_journal import NotWritten
from bridge.flow.ports.api import Agent, Stream
from bridge.flow.ports.ledger import LeaseLost
from bridge.flow.ports.runtime import Log
from bridge.flow.settling.outbox import Undeliverable
from bridge.flow.work import Work

MAX_TURNS = 3
"""How often one attempt may turn from create to interact or back before it waits instead."""


@dataclass(frozen=True, slots=True)
class Target:
    """The conversation in which the attempt goes on: this open one, or (None) a new one."""

    conversation_id: str | None


class Interaction:
    """Makes attempts. Holds no state of an event: that is the Work's."""

    def __init__(
        self,
        agent: Agent,
        relay: Relay,
        steering: Steering,
        reconciler: Reconciler,
        conversations: OpenConversations,
        users: UserLookup,
        log: Log,
    ) -> None:
        self._agent = agent
        self._relay = relay
        self._steering = steering
        self._reconciler = reconciler
        self._open = conversations
        self._users = users
        self._log = log
        self.expiry = steering.expiry

    def foresee(self, work: Work) -> None:
        """Say what the first request will be, where that is plain: the ledger then takes it together with the claim."""
        if work.event.kind in STEERING or work.event.audio is not None or not work.event.user_id:
            return
        if work.event.lifetime is not None and (work.event.alone or self.expiry.expires(work)):
            return
        if not work.comes_again and not work.progress.needs_proof and self._known_target(work) is None:
            self._relay.foresee(work, RequestKind.CREATE)

    def lacks_user(self, work: Work) -> bool:
        """True where the event's user is still to be found by e-mail."""
        event = work.event
        if event.user is None or (event.lifetime is not None and self.expiry.expires(work)):
            return False
        return not event.user_id

    async def find_user(self, work: Work) -> Outcome:
        """USER_FOUND, and the event names its user; otherwise what stands in the way of that."""
        user, event = work.event.user, work.event
        if user is None:
            raise ValueError("the event names no user to be found")
        try:
            listed = await self._users.of(user)
        except ApiError as error:
            return of_error(error)
        if isinstance(listed, Outcome):
            return listed
        work.event = event.of_user(listed)
        return Outcome(OutcomeKind.USER_FOUND)

    async def attempt(self, work: Work) -> Outcome:
        """Make one attempt, see all that it published confirmed, and say how it ended.

        Raises nothing that the table of endings has a row for.
        """
        self._relay.resume(work)
        return await self._confirmed(work, await self._made(work))

    async def republish(self, work: Work, entry: Entry) -> Outcome:
        """Publish the ending that the ledger has, and see it confirmed; it does not wait for the API."""
        self._relay.resume(work)
        self._relay.again(work, entry)
        return await self._confirmed(work, Outcome(OutcomeKind.COMPLETE))

    async def _confirmed(self, work: Work, outcome: Outcome) -> Outcome:
        """See all confirmed. What is refused for now waits; an attempt without an answer goes on as it is."""
        ended = ROWS[outcome.kind].then is Then.ACK
        try:
            wait_s = await self._relay.confirmed(work, ended=ended)
        except Undeliverable as error:
            return Outcome(OutcomeKind.UNDELIVERABLE, str(error))
        if wait_s is not None and ended:
            return Outcome(OutcomeKind.UNTAKEN, work.outbox.refusal, wait_s)
        failpoints.reached("confirmed", work.event.id)
        return outcome

    async def _made(self, work: Work) -> Outcome:
        try:
            if not work.progress.needs_proof and (overdue := self.expiry.overdue(work)) is not None:
                return await self.expiry.expired(work, overdue)
            if work.event.kind in STEERING:
                return await self._steering.made(work)
            if not work.progress.needs_proof:
                return await self._ask(work, None)
            return await self._follow(work, await self._reconciler.of(work))
        except UnknownUser as error:
            return await self._not_signed_in(work, error)
        except ApiError as error:
            return of_error(error)
        except NotWritten as error:
            return Outcome(OutcomeKind.LEASE_LOST if error.taken else OutcomeKind.LEDGER_AWAY, str(error))
        except LeaseLost as error:
            return Outcome(OutcomeKind.LEASE_LOST, str(error), maybe_sent=True)

    async def _not_signed_in(self, work: Work, error: UnknownUser) -> Outcome:
        """Look once more whose e-mail it is; a user who was just created may be refused for a while."""
        event, user = work.event, work.event.user
        if user is None or (work.progress.needs_proof and not self._users.is_new(user, event.user_id)):
            return of_error(error)
        if self._users.is_new(user, event.user_id):
            return Outcome(OutcomeKind.BUSY, f"the user was created just now: {error}")
        try:
            listed = await self._users.again(user, event.user_id)
        except ApiError as trouble:
            return of_error(trouble)
        if isinstance(listed, Outcome):
            return listed
        if listed == event.user_id:
            return of_error(error)
        work.event = event.of_user(listed)
        return Outcome(OutcomeKind.USER_FOUND)

    async def _anew(self, work: Work, conversation_id: str | None, reason: str, *, expires: bool) -> Outcome:
        """Ask again after it was proved that nothing was done.

        Where the new request was not even sent (429, say) or was refused as busy, the earlier one may still be running
        and show later: it stays on record until another one is made, and is asked about again.
        `expires`: not where the event's time is over by now.
        """
        self._relay.void(work, reason, ProvedVoid())
        if expires and (overdue := self.expiry.overdue(work)) is not None:
            return await self.expiry.expired(work, overdue)
        return await self._ask(work, conversation_id)

    async def _follow(self, work: Work, finding: Finding) -> Outcome:
        match finding.means:
            case Means.ANSWERED:
                await self._tags_of_joined(work)
                self._relay.recovered(work, finding)
                return Outcome(OutcomeKind.COMPLETE)
            case Means.NOT_DONE:
                again = work.progress.conversation_id if work.progress.request is RequestKind.INTERACT else None
                return await self._anew(work, again, "the attempt left nothing at the API", expires=True)
            case Means.EMPTY:
                reason = "the attempt left an empty conversation"
                return await self._anew(work, finding.conversation_id, reason, expires=False)
            case Means.WAIT if work.progress.waits < MAX_WAITS:
                work.apply(StillRunning())
                return Outcome(OutcomeKind.BUSY, finding.error)
            case _:
                return Outcome(OutcomeKind.UNCERTAIN, finding.error)

    async def _ask(self, work: Work, conversation_id: str | None) -> Outcome:
        """Create or interact; where the user turns out to be busy, go on as the route says, a few times at most.

        An event that cannot be resolved any more is only looked for, and is refused where nothing is to be seen of it.
        """
        if work.refusal is not None:
            return work.refusal
        target = conversation_id or self._known_target(work)
        if target is None and work.event.audio is not None:
            target = await self._steering.only_open(work)
            if target is None:
                return Outcome(OutcomeKind.REJECTED, "audio joins an open conversation, and the user has none")
        for _ in range(MAX_TURNS):
            outcome = await (self._create(work) if target is None else self._interact(work, target))
            if isinstance(outcome, Outcome):
                return outcome
            if outcome.conversation_id is None and work.event.audio is not None:
                return Outcome(OutcomeKind.REJECTED, "the conversation that the audio was to join is over")
            target = outcome.conversation_id
        return Outcome(OutcomeKind.BUSY, "the user's conversations with the service keep changing")

    def _known_target(self, work: Work) -> str | None:
        if work.event.conversation_id is not None:
            return work.event.conversation_id
        known = self._open.get(work.event.lane)
        return known.conversation_id if known and work.event.on_busy is OnBusy.INTERACT else None

    async def _create(self, work: Work) -> Outcome | Target:
        try:
            asked = Asked(RequestKind.CREATE, own=True, version_set=work.event.version_set)
            return await self._stream(work, asked, self._agent.create(work.event))
        except Refused as error:
            outcome = replace(of_error(error), request=RequestKind.CREATE)
            if not outcome.maybe_sent:
                work.apply(NotMade())
            return (
                await self._busy(work, outcome, unfinished=error.unfinished)
                if outcome.kind is OutcomeKind.CONFLICT
                else outcome
            )
        except NOT_MADE:
            work.apply(NotMade())
            raise

    async def _busy(self, work: Work, outcome: Outcome, *, unfinished: bool) -> Outcome | Target:
        """The user has another conversation open, or something is under way: docs/semantics.md, A busy user."""
        open_rows = await self._reconciler.unfinished(*work.event.lane)
        if await self._has_own(work, open_rows):
            work.apply(ConversationListed(PlannedEvent.of(work.event, with_text=False)))
            return Outcome(OutcomeKind.BUSY, "the event has a conversation already")
        match work.event.on_busy:
            case OnBusy.REJECT:
                return replace(outcome, kind=OutcomeKind.REJECTED)
            case OnBusy.WAIT if open_rows:
                return self._steering.waits(work, replace(outcome, kind=OutcomeKind.BUSY), open_rows[0].id)
            case OnBusy.FINISH if open_rows:
                return await self._finish(work, open_rows)
            case OnBusy.INTERACT if open_rows:
                self._open.remember(work.event.lane, Open.of(open_rows[0]))
                return Target(open_rows[0].id)
        return _nobody_busy(outcome, unfinished=unfinished)

    async def _has_own(self, work: Work, open_rows: Sequence[ConversationRow]) -> bool:
        """True where one of the conversations is the event's, of an earlier request; that one may be over by now."""
        if any(row.carries(work.event.event_tag) for row in open_rows):
            return True
        earlier = work.progress.needs_proof
        return earlier and any(row.num_messages for row in await self._reconciler.of_event(work.event))

    async def _finish(self, work: Work, rows: Sequence[ConversationRow]) -> Outcome | Target:
        for row in rows:
            if await self._agent.finish(work.event.user_id, row.id) is Finish.RUNNING:
                busy = Outcome(OutcomeKind.BUSY, "the user's open conversation is still running")
                return self._steering.waits(work, busy)
        return Target(None)

    async def _interact(self, work: Work, conversation_id: str) -> Outcome | Target:
        try:
            asked = await self._asked(work, await self._joined(work, conversation_id))
        except Refused as error:
            return await self._not_joined(work, conversation_id, error)
        try:
            return await self._stream(work, asked, self._agent.interact(work.event, conversation_id))
        except Refused as error:
            if not of_error(error).maybe_sent:
                work.apply(NotMade())
            outcome = await self._not_joined(work, conversation_id, error)
            return replace(outcome, request=RequestKind.INTERACT) if isinstance(outcome, Outcome) else outcome
        except NOT_MADE:
            work.apply(NotMade())
            raise

    async def _not_joined(self, work: Work, conversation_id: str, error: Refused) -> Outcome | Target:
        self._open.forget(work.event.lane)
        return await self._closed(work, conversation_id, error) if error.status in (404, 409) else of_error(error)

    async def _joined(self, work: Work, conversation_id: str) -> Open:
        """See to it that the conversation's tags name the event's channel, and carry its own tags."""
        known = await self._looked_up(work, conversation_id)
        work.joined_tags = known.tags or NO_TAGS
        updates = tags.changes(work.event.joining_tags, known.tags) if known.tags is not None else {}
        if updates:
            await self._agent.modify_tags(work.event.user_id, conversation_id, updates)
            known = replace(known, tags={**(known.tags or {}), **updates})
        return known

    async def _looked_up(self, work: Work, conversation_id: str) -> Open:
        """The conversation with its tags, as this process remembers it, else as it is listed."""
        known = self._known(work, conversation_id)
        if known is not None and known.tags is not None:
            return known
        row = await reads.conversation(self._agent, work.event.user_id, conversation_id)
        newest = None if known is None else known.newest
        return Open(conversation_id) if row is None else replace(Open.of(row), newest=newest)

    async def _asked(self, work: Work, known: Open) -> Asked:
        """The interact, with its watermark: whatever this event leaves in the conversation comes after that message.

        A remembered one is good for one request: only an answer that is read to its end tells the next.
        """
        user_id, conversation_id = work.event.user_id, known.conversation_id
        self._open.remember(work.event.lane, replace(known, newest=None))
        asked_s = await self._agent.time_s(user_id) if known.newest is not None else None
        watermark = known.newest
        if asked_s is None:
            newest = await self._agent.newest(user_id, conversation_id)
            watermark = None if newest is None else newest.id
        return Asked(RequestKind.INTERACT, conversation_id, watermark, known.own, asked_s, known.version_set)

    async def _tags_of_joined(self, work: Work) -> None:
        """Look up the tags of a conversation that an earlier process has joined, where a routing key may need them."""
        progress = work.progress
        joined = progress.request is RequestKind.INTERACT and not work.joined_tags
        if not joined or not self._relay.needs_tags or progress.conversation_id is None:
            return
        row = await reads.conversation(self._agent, work.event.user_id, progress.conversation_id)
        work.joined_tags = NO_TAGS if row is None else row.tags

    def _known(self, work: Work, conversation_id: str) -> Open | None:
        known = self._open.get(work.event.lane)
        return known if known is not None and known.conversation_id == conversation_id else None

    async def _closed(self, work: Work, conversation_id: str, error: Refused) -> Outcome | Target:
        """Interacting was refused: the conversation is over, or something else runs on it just now."""
        row = await reads.conversation(self._agent, work.event.user_id, conversation_id)
        if error.status == 409 and row is not None and not row.is_finished:
            return Outcome(OutcomeKind.BUSY, str(error))
        if work.event.conversation_id == conversation_id:
            return Outcome(OutcomeKind.REJECTED, f"the conversation that the event names cannot go on: {error}")
        return Target(None)

    async def _stream(self, work: Work, asked: Asked, request: AbstractAsyncContextManager[Stream]) -> Outcome:
        answer_stream = await self._relay.run(work, asked, request)
        outcome = of_stream(answer_stream, asked.kind)
        if answer_stream.complete:
            await self._completed(work, asked.kind, answer_stream)
        elif answer_stream.stage is Stage.VOID:
            # looked up before the next try: a void turn may have left its conversation behind
            step = StreamVoided() if outcome.maybe_sent else ProvedVoid()
            self._relay.void(work, answer_stream.error, step)
        return outcome

    async def _completed(self, work: Work, request: RequestKind, answer_stream: AnswerStream) -> None:
        lane, conversation_id = work.event.lane, answer_stream.context.conversation_id
        if conversation_id is not None:
            self._reconciler.sight.exists(work.event.user_id, conversation_id)
        if answer_stream.conversation_completed or conversation_id is None:
            self._open.forget(lane)
        else:
            known, newest = self._known(work, conversation_id), answer_stream.last_message_id
            if request is RequestKind.CREATE:
                known = Open(conversation_id, work.event.conversation_tags, version_set=work.progress.version_set)
            newest = newest if answer_stream.stage is Stage.COMPLETE else None
            self._open.remember(lane, replace(known or Open(conversation_id), newest=newest))
        if answer_stream.stage is Stage.SAVED and answer_stream.conversation_completed and conversation_id is not None:
            await self._repair(work, conversation_id)

    async def _repair(self, work: Work, conversation_id: str) -> None:
        """Post-processing failed after the ending: finish again, and the API retries it (docs/api-contract.md, 6.3)."""
        try:
            await self._agent.finish(work.event.user_id, conversation_id)
        except ApiError as error:
            self._log.warning("conversation.unrepaired", conversation_id=conversation_id, error=str(error))


def _nobody_busy(outcome: Outcome, *, unfinished: bool) -> Outcome:
    """Refused as busy, yet nothing unfinished is listed: the list lags (409, or the API says so), or it is not that."""
    if outcome.status == 409:
        return replace(outcome, kind=OutcomeKind.BUSY)
    return outcome if unfinished else replace(outcome, kind=OutcomeKind.REJECTED)
