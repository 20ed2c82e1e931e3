"""A stream of the API, from the request to its end: read as it comes, published line by line.

chunk ▸ lines ▸ conversation ▸ outbox ▸ publisher      pushed back when too much is unconfirmed
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace

from bridge.core.answer.answer_stream import AnswerStream, Stage
from bridge.core.answer.ending import COMPLETE, type_of
from bridge.core.answer.history import recovered_ending
from bridge.core.answer.ndjson import LineSplitter
from bridge.core.answer.outbound_message import MessageFactory, OutboundMessage, ending_id
from bridge.core.answer.sent_ending import SentEnding
from bridge.core.delivery.adaptive import AdaptiveInterval
from bridge.core.delivery.handling import HandlingStep
from bridge.core.delivery.progress import (
    LinesSeen,
    ProvedVoid,
    Recovered,
    Requested,
    RequestKind,
    StreamOpened,
    StreamVoided,
)
from bridge.core.delivery.reconcile import Finding
from bridge.core.errors import LineTooLong, Lost
from bridge.core.event.enrichment import DEFAULT_ENRICH_FOR_S, any_holds_lane
from bridge.core.ledger.due_finish import DueFinish
from bridge.core.ledger.ledger_entry import Entry
from bridge.core.ledger.planned_event import PlannedEvent
from bridge.core.value import value
from bridge.flow import failpoints
from bridge.flow.answering.read_ahead import ReadAhead
from bridge.flow.ledger_journal import LedgerJournal
from bridge.flow.ports.api import Stream
from bridge.flow.ports.broker import Publisher
from bridge.flow.settling.refused_events import RefusedEvents
from bridge.flow.work import Work

LINGER_S = 30.0
"""How long the server may take to close a stream after its ending."""


@dataclass(frozen=True, slots=True)
class Limits:
    """A line's most bytes, how long one stream may take in all, and enrichments after it (seconds)."""

    max_line_bytes: int
    longest_s: float
    enrich_for_s: float = DEFAULT_ENRICH_FOR_S


@value(frozen=True, slots=True)
class Asked:
    """The request that is to be sent; for an interact its conversation, and the newest message there before it.

    `own`: the bridge starts the conversation, or has started it, so that it sees to its end. `version_set` is the
    conversation's own, where it is known. `asked_s` is the API's time now, where that message was remembered: something
    may have been said since.
    """

    kind: RequestKind
    conversation_id: str | None = None
    watermark: str | None = None
    own: bool = False
    asked_s: float | None = None
    version_set: str | None = None


@value(frozen=True, slots=True)
class Answering:
    """The answer to a request of an event, as it is read."""

    work: Work
    asked: Asked
    stream: AnswerStream


class Relay:
    """Publishes what a stream says, what was recovered in its place, and what of it is void."""

    def __init__(
        self,
        publisher: Publisher,
        journal: LedgerJournal,
        factory: MessageFactory,
        limits: Limits,
        new_stream: Callable[[], str],
        refused_events: RefusedEvents,
    ) -> None:
        self._publisher = publisher
        self._journal = journal
        self._factory = factory
        self._limits = limits
        self._new_stream = new_stream
        self._refused_events = refused_events
        self._whole = AdaptiveInterval()
        """Waiting for whole answers before the ledger writes: where they take their time, that only costs."""

    @property
    def needs_tags(self) -> bool:
        """True where routing keys name tags."""
        return self._factory.names_tags

    def foresee(self, work: Work, request: RequestKind) -> None:
        """This will be the event's first request: its stream gets its id before the claim, so that one write does."""
        asked = Asked(request, version_set=work.event.version_set)
        work.foreseen = work.progress.after(_requested(work, asked, self._new_stream()))

    def resume(self, work: Work) -> None:
        """Go on with what the broker refused at an earlier try of the event."""
        self._refused_events.resume(work)

    async def confirmed(self, work: Work, *, ended: bool) -> float | None:
        """Return None when all is confirmed, or seconds after which to try again. Raises Undeliverable."""
        return await self._refused_events.confirmed(work, work.outbox, ended=ended)

    async def run(self, work: Work, asked: Asked, request: AbstractAsyncContextManager[Stream]) -> AnswerStream:
        """Send the request and publish the answer until the stream is over. Raises ApiError where none was opened.

        Raises NotWritten where none may be sent, and LeaseLost where another process sees to the event from now on.
        """
        foreseen, work.foreseen = work.foreseen, None
        stream_id = foreseen.stream if foreseen is not None and foreseen.stream else self._new_stream()
        known = None if foreseen is None or asked.kind is not foreseen.request else foreseen.planned
        work.apply(_requested(work, asked, stream_id, known))
        answer_stream = AnswerStream(work.context_of(stream_id), self._factory)
        await self._journal.requested(work)
        failpoints.reached("before-post", work.event.id)
        work.follow(HandlingStep.ASKED)
        try:
            async with asyncio.timeout(self._limits.longest_s) as deadline, request as stream:
                failpoints.reached("post-answered", work.event.id)
                answer_stream.opened()
                self._opened(work, answer_stream)
                await self._read(Answering(work, asked, answer_stream), stream, deadline)
        except TimeoutError:
            answer_stream.cut(f"the stream took longer than {self._limits.longest_s:g} s")
        except (Lost, LineTooLong) as error:
            if answer_stream.stage is Stage.REQUESTED:
                raise
            answer_stream.cut(str(error))
        finally:
            work.follow(HandlingStep.ANSWERED)
        return answer_stream

    def recovered(self, work: Work, finding: Finding) -> None:
        """Publish the ending that was found in the history."""
        if finding.answer is None:
            raise ValueError("a finding without an answer cannot be recovered")
        own = work.progress.request is RequestKind.CREATE
        work.apply(Recovered(finding.conversation_id))
        work.stream, work.counts.recovered = self._new_stream(), True
        if not finding.conversation_completed:
            work.due = self._due(work) if own else None
            self._journal.due(work.due)
        body = recovered_ending(finding.answer, conversation_completed=finding.conversation_completed)
        work.answer = body
        extra = {"stream": work.stream, "sequence": 1, "recovered": True}
        message_id = ending_id(work.event.id, "interaction-complete")
        work.outbox.put(self._factory.messages(work.context, "interaction-complete", message_id, body, extra))

    def again(self, work: Work, entry: Entry) -> None:
        """Publish an ending that the ledger has, as the message that it was, whatever the configuration says now."""
        if entry.ending is None:
            raise ValueError("an entry without an ending cannot be published again")
        work.stream, type_ = entry.progress.stream, type_of(entry.ending)
        message_id = ending_id(work.event.id, type_)
        messages = None if entry.sent is None else entry.sent.again(self._factory, message_id, entry.ending)
        if messages is None:
            messages = self._as_now(work, entry, type_, entry.ending)
        work.answer = entry.ending
        work.outbox.put(work.still_lacking(messages))

    def _as_now(self, work: Work, entry: Entry, type_: str, ending: bytes) -> list[OutboundMessage]:
        """The messages of an ending whose way is not known, or leads nowhere any more."""
        extra = {} if work.stream is None else {"stream": work.stream, "sequence": entry.progress.published}
        return self._factory.messages(work.context, type_, ending_id(work.event.id, type_), ending, extra)

    def void(self, work: Work, reason: str, step: StreamVoided | ProvedVoid) -> None:
        """Subscribers drop what they saw of the request."""
        progress = work.progress
        if progress.stream is not None and progress.published:
            facts = {"stream": progress.stream, "last_sequence": progress.published, "reason": reason}
            message_id = f"{work.event.id}:{progress.stream}:voided"
            self._own(work, message_id, facts, {"stream": progress.stream})
        work.apply(step)

    def _opened(self, work: Work, answer_stream: AnswerStream) -> None:
        if work.progress.lost_stream:
            facts = {"stream": None, "before": answer_stream.stream, "reason": "an earlier attempt left nothing"}
            self._own(work, f"{work.event.id}:{answer_stream.stream}:voided-before", facts, {})
        work.stream = answer_stream.stream
        work.apply(StreamOpened())

    def _own(self, work: Work, message_id: str, facts: Mapping[str, object], extra: Mapping[str, object]) -> None:
        work.outbox.put(self._factory.own(work.context, "bridge-voided", message_id, facts, extra))
        work.counts.voids += 1

    async def _read(self, answering: Answering, stream: Stream, deadline: asyncio.Timeout) -> None:
        read_ahead = ReadAhead(stream)
        try:
            await self._read_all(answering, read_ahead, deadline)
        finally:
            if answering.stream.sequence:
                self._note(answering)
                answering.work.counts.lines += answering.stream.sequence
            await read_ahead.close()

    async def _read_all(self, answering: Answering, read_ahead: ReadAhead, deadline: asyncio.Timeout) -> None:
        work, answer_stream = answering.work, answering.stream
        splitter = LineSplitter(self._limits.max_line_bytes)
        lingering = False
        while (chunk := await read_ahead.chunk()) is not None:
            gathering = self._journal.gathering(work) if answer_stream.sequence == 0 and self._whole.due() else None
            if gathering is not None:
                chunk = await read_ahead.with_more(chunk, gathering)  # of a whole answer the ledger has one write less
            try:
                lines = splitter.feed(chunk)
            except LineTooLong as error:
                await self._publish(answering, error.lines)
                raise
            await self._publish(answering, lines)
            if gathering is not None:
                self._whole.ended(paid=answer_stream.complete)
            if not answer_stream.listening:
                return
            if answer_stream.complete and not lingering:
                lingering = True
                _within(deadline, LINGER_S)
            if self._publisher.full:
                await read_ahead.on_until(self._publisher.room())
        rest = splitter.close()
        if rest is not None:
            await self._publish(answering, [rest])
        answer_stream.ended()

    async def _publish(self, answering: Answering, lines: list[bytes]) -> None:
        work, answer_stream = answering.work, answering.stream
        before = answer_stream.sequence
        messages = answer_stream.receive(lines)
        if answer_stream.sequence == before:
            return
        if before == 0 or answer_stream.complete:
            await self._recorded(answering, messages, first=before == 0)
        work.outbox.put(messages)
        failpoints.reached("line", work.event.id)

    async def _recorded(self, answering: Answering, messages: Sequence[OutboundMessage], *, first: bool) -> None:
        """The ledger first: what may be seen of a stream, and its ending, must be known to the next process."""
        work, answer_stream = answering.work, answering.stream
        self._note(answering)
        if answering.asked.own:
            self._keep_due(answering)
        if answer_stream.ending is not None and not work.ledger.answered:
            failpoints.reached("complete-read", work.event.id)
            known = work.progress
            if known.published != answer_stream.ending_sequence:  # an error came after it
                ended = LinesSeen(answer_stream.ending_sequence, known.conversation_id, known.announced)
                known = known.after(ended)
            sent, work.answer = SentEnding.of(COMPLETE, messages), answer_stream.ending
            await self._journal.answered(work, answer_stream.ending, known, sent)
            failpoints.reached("ending-recorded", work.event.id)
        elif first:
            await self._journal.opened(work)
            failpoints.reached("conversation-recorded", work.event.id)

    def _keep_due(self, answering: Answering) -> None:
        """Keep the finish of the bridge's own conversation up to date; of a new one that is over there was none."""
        work, before = answering.work, answering.work.due
        work.due = None if answering.stream.conversation_completed else self._due(work)
        if work.due is not None or before is not None or answering.asked.kind is not RequestKind.CREATE:
            self._journal.due(work.due, work.conversation_id)

    def _due(self, work: Work) -> DueFinish | None:
        """The finish of the event's conversation; it waits for what has to be read before it, as long as that may."""
        due = work.due_finish(self._factory.clock())
        if due is None or not any_holds_lane(work.event.enrich):
            return due
        return replace(due, again_s=due.last_s + self._limits.enrich_for_s)

    @staticmethod
    def _note(answering: Answering) -> None:
        """Keep the progress up to date; not worked out anew for every line."""
        work, answer_stream = answering.work, answering.stream
        if work.progress.published != answer_stream.sequence:
            conversation_id = answer_stream.context.conversation_id
            work.apply(LinesSeen(answer_stream.sequence, conversation_id, answer_stream.announced_message_id))


def _within(deadline: asyncio.Timeout, seconds: float) -> None:
    soon = asyncio.get_running_loop().time() + seconds
    deadline.reschedule(min(deadline.when() or soon, soon))


def _requested(work: Work, asked: Asked, stream_id: str, planned: PlannedEvent | None = None) -> Requested:
    return Requested(
        asked.kind,
        stream_id,
        asked.conversation_id,
        asked.watermark,
        asked_s=asked.asked_s,
        version_set=asked.version_set,
        planned=planned or PlannedEvent.of(work.event, with_text=asked.kind is RequestKind.INTERACT),
    )
