"""A stream of the API, from the request to its end: read as it comes, published line by line.

chunk ▸ lines ▸ conversation ▸ outbox ▸ publisher      pushed back when too much is unconfirmed
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace

from bridge.core.answer.answer_stream import COMPLETE, AnswerStream, Stage
from bridge.core.answer.history import recovered_ending
from bridge.core.answer.ndjson import LineSplitter
from bridge.core.answer.outbound_message import MessageFactory, ending_id
from bridge.core.delivery.adaptive import Trials
from bridge.core.delivery.ledger_entry import Entry
from bridge.core.delivery.progress import RequestKind
from bridge.core.delivery.reconcile import Finding
from bridge.core.errors import LineTooLong, Lost
from bridge.flow import failpoints
from bridge.flow.ledger_journal import Book
from bridge.flow.ports.api import Stream
from bridge.flow.ports.broker import Publisher
from bridge.flow.read_ahead import Reading
from bridge.flow.work import Work

LINGER_S = 30.0
"""How long the server may take to close a stream after its ending."""


@dataclass(frozen=True, slots=True)
class Limits:
    """A line's most bytes, and how long one stream may take in all (seconds)."""

    max_line_bytes: int
    longest_s: float


class Streaming:
    """Publishes what a stream says, what was recovered in its place, and what of it is void."""

    def __init__(
        self, publisher: Publisher, book: Book, factory: MessageFactory, limits: Limits, new_stream: Callable[[], str]
    ) -> None:
        self._publisher = publisher
        self._book = book
        self._factory = factory
        self._limits = limits
        self._new_stream = new_stream
        self._whole = Trials()
        """Whether to wait for whole answers before the ledger writes: where they take their time, that only costs."""

    def foresee(self, work: Work, request: RequestKind) -> None:
        """This will be the event's first request: its stream gets its id before the claim, so that one write does."""
        work.foreseen = work.progress.requested(request).streaming(self._new_stream(), lost_stream=False)

    async def run(self, work: Work, request: AbstractAsyncContextManager[Stream]) -> AnswerStream:
        """Send the request and publish the answer until the stream is over. Raises ApiError where none was opened.

        Raises NotWritten where none may be sent, and LeaseLost where another process sees to the event from now on.
        """
        foreseen, work.foreseen = work.foreseen, None
        stream_id = foreseen.stream if foreseen is not None and foreseen.stream else self._new_stream()
        conversation = AnswerStream(work.context_of(stream_id), self._factory)
        await self._book.requested(work, conversation.stream)
        failpoints.reached("before-post", work.event.id)
        work.streaming = True
        try:
            async with asyncio.timeout(self._limits.longest_s) as deadline, request as stream:
                failpoints.reached("post-answered", work.event.id)
                conversation.opened()
                self._opened(work, conversation)
                await self._read(work, conversation, stream, deadline)
        except TimeoutError:
            conversation.cut(f"the stream took longer than {self._limits.longest_s:g} s")
        except (Lost, LineTooLong) as error:
            if conversation.stage is Stage.REQUESTED:
                raise
            conversation.cut(str(error))
        finally:
            work.streaming = False
        return conversation

    def recovered(self, work: Work, finding: Finding) -> None:
        """Publish the ending that was found in the history."""
        if finding.answer is None:
            raise ValueError("a finding without an answer cannot be recovered")
        work.conversation_id, work.stream, work.recovered = finding.conversation_id, self._new_stream(), True
        body = recovered_ending(finding.answer, conversation_completed=finding.conversation_completed)
        extra = {"stream": work.stream, "sequence": 1, "recovered": True}
        message_id = ending_id(work.event.id, "interaction-complete")
        work.outbox.put(self._factory.messages(work.context, "interaction-complete", message_id, body, extra))

    def again(self, work: Work, entry: Entry) -> None:
        """Publish an ending that the ledger has, with the ids that it had."""
        if entry.ending is None or entry.progress.stream is None:
            raise ValueError("an entry without an ending cannot be published again")
        work.conversation_id, work.stream = entry.progress.conversation_id, entry.progress.stream
        extra = {"stream": work.stream, "sequence": entry.progress.published}
        message_id = ending_id(work.event.id, COMPLETE)
        work.outbox.put(self._factory.messages(work.context, COMPLETE, message_id, entry.ending, extra))

    def void(self, work: Work, reason: str) -> None:
        """Nothing was carried out: subscribers drop what they saw of it, and the next request needs no proof."""
        progress = work.progress
        if progress.stream is not None and progress.published:
            facts = {"stream": progress.stream, "last_sequence": progress.published, "reason": reason}
            message_id = f"{work.event.id}:{progress.stream}:voided"
            self._own(work, message_id, facts, {"stream": progress.stream})
        work.progress = replace(progress.cleared(), stream=None, published=0, lost_stream=progress.loses_stream)

    def _opened(self, work: Work, conversation: AnswerStream) -> None:
        if work.progress.lost_stream:
            facts = {"stream": None, "before": conversation.stream, "reason": "an earlier attempt left nothing"}
            self._own(work, f"{work.event.id}:{conversation.stream}:voided-before", facts, {})
        work.stream = conversation.stream
        work.progress = work.progress.streaming(conversation.stream, lost_stream=False)

    def _own(self, work: Work, message_id: str, facts: Mapping[str, object], extra: Mapping[str, object]) -> None:
        work.outbox.put(self._factory.own(work.context, "bridge-voided", message_id, facts, extra))
        work.voids += 1

    async def _read(self, work: Work, conversation: AnswerStream, stream: Stream, deadline: asyncio.Timeout) -> None:
        reading = Reading(stream)
        try:
            await self._read_all(work, conversation, reading, deadline)
        finally:
            if conversation.sequence:
                self._note(work, conversation)
                work.lines += conversation.sequence
            await reading.close()

    async def _read_all(
        self, work: Work, conversation: AnswerStream, reading: Reading, deadline: asyncio.Timeout
    ) -> None:
        splitter = LineSplitter(self._limits.max_line_bytes)
        lingering = False
        while (chunk := await reading.chunk()) is not None:
            gathering = self._book.gathering(work) if conversation.sequence == 0 and self._whole.due() else None
            if gathering is not None:
                chunk = await reading.with_more(chunk, gathering)  # of a whole answer the ledger has one write less
            try:
                lines = splitter.feed(chunk)
            except LineTooLong as error:
                await self._publish(work, conversation, error.lines)
                raise
            if conversation.sequence == 0:
                reading.hold()  # the ledger comes first
            await self._publish(work, conversation, lines)
            if gathering is not None:
                self._whole.ended(paid=conversation.complete)
            if not conversation.listening:
                return
            if conversation.complete and not lingering:
                lingering = True
                _within(deadline, LINGER_S)
            if self._publisher.full:
                await reading.on_until(self._publisher.room())
        rest = splitter.close()
        if rest is not None:
            await self._publish(work, conversation, [rest])
        conversation.ended()

    async def _publish(self, work: Work, conversation: AnswerStream, lines: list[bytes]) -> None:
        before = conversation.sequence
        messages = conversation.receive(lines)
        if conversation.sequence == before:
            return
        if before == 0 or conversation.complete:
            await self._recorded(work, conversation, first=before == 0)
        work.outbox.put(messages)
        failpoints.reached("line", work.event.id)

    async def _recorded(self, work: Work, conversation: AnswerStream, *, first: bool) -> None:
        """The ledger first: what may be seen of a stream, and its ending, must be known to the next process."""
        self._note(work, conversation)
        if conversation.ending is not None and not work.answered:
            failpoints.reached("complete-read", work.event.id)
            await self._book.answered(work, conversation.ending, conversation.ending_sequence)
            failpoints.reached("ending-recorded", work.event.id)
        elif first:
            await self._book.opened(work)
            failpoints.reached("conversation-recorded", work.event.id)

    @staticmethod
    def _note(work: Work, conversation: AnswerStream) -> None:
        """What is known of the request by now; not worked out anew for every line."""
        work.conversation_id = conversation.context.conversation_id
        if work.progress.published != conversation.sequence:
            work.progress = work.progress.seen(
                conversation.sequence, work.conversation_id, conversation.announced_message_id
            )


def _within(deadline: asyncio.Timeout, seconds: float) -> None:
    soon = asyncio.get_running_loop().time() + seconds
    deadline.reschedule(min(deadline.when() or soon, soon))
