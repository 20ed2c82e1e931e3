"""A stream of the API, from the request to its end: read as it comes, published line by line.

chunk ▸ lines ▸ conversation ▸ outbox ▸ publisher      pushed back when too much is unconfirmed
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace

from bridge.core.conversation import Conversation, Stage
from bridge.core.failure import LineTooLong, Lost
from bridge.core.history import recovered_ending
from bridge.core.ndjson import LineSplitter
from bridge.core.outbound import Stamp, ending_id
from bridge.core.reconcile import Finding
from bridge.flow.ports import Publisher, Stream
from bridge.flow.reading import Reading
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

    def __init__(self, publisher: Publisher, stamp: Stamp, limits: Limits, new_stream: Callable[[], str]) -> None:
        self._publisher = publisher
        self._stamp = stamp
        self._limits = limits
        self._new_stream = new_stream

    async def run(self, work: Work, request: AbstractAsyncContextManager[Stream]) -> Conversation:
        """Send the request and publish the answer until the stream is over. Raises ApiError where none was opened."""
        conversation = Conversation(work.subject, self._new_stream(), self._stamp)
        try:
            async with asyncio.timeout(self._limits.longest_s) as deadline, request as stream:
                conversation.opened()
                self._opened(work, conversation)
                await self._read(work, conversation, stream, deadline)
        except TimeoutError:
            conversation.cut(f"the stream took longer than {self._limits.longest_s:g} s")
        except (Lost, LineTooLong) as error:
            if conversation.stage is Stage.REQUESTED:
                raise
            conversation.cut(str(error))
        return conversation

    def recovered(self, work: Work, finding: Finding) -> None:
        """Publish the ending that was found in the history."""
        if finding.answer is None:
            raise ValueError("a finding without an answer cannot be recovered")
        work.conversation_id, work.stream, work.recovered = finding.conversation_id, self._new_stream(), True
        body = recovered_ending(finding.answer, conversation_completed=finding.conversation_completed)
        extra = {"stream": work.stream, "sequence": 1, "recovered": True}
        message_id = ending_id(work.event.id, "interaction-complete")
        work.outbox.put(self._stamp.messages(work.subject, "interaction-complete", message_id, body, extra))

    def void(self, work: Work, reason: str) -> None:
        """Nothing was carried out: subscribers drop what they saw of it, and the next request needs no proof."""
        record = work.record
        if record.stream is not None and record.published:
            facts = {"stream": record.stream, "last_sequence": record.published, "reason": reason}
            message_id = f"{work.event.id}:{record.stream}:voided"
            self._own(work, message_id, facts, {"stream": record.stream})
        work.record = replace(record.cleared(), stream=None, published=0, lost_stream=record.loses_stream)

    def _opened(self, work: Work, conversation: Conversation) -> None:
        if work.record.lost_stream:
            facts = {"stream": None, "before": conversation.stream, "reason": "an earlier attempt left nothing"}
            self._own(work, f"{work.event.id}:{conversation.stream}:voided-before", facts, {})
        work.stream = conversation.stream
        work.record = replace(work.record, stream=conversation.stream, published=0, lost_stream=False)

    def _own(self, work: Work, message_id: str, facts: Mapping[str, object], extra: Mapping[str, object]) -> None:
        work.outbox.put(self._stamp.own(work.subject, "bridge-voided", message_id, facts, extra))
        work.voids += 1

    async def _read(self, work: Work, conversation: Conversation, stream: Stream, deadline: asyncio.Timeout) -> None:
        reading = Reading(stream)
        try:
            await self._read_all(work, conversation, reading, deadline)
        finally:
            await reading.close()

    async def _read_all(
        self, work: Work, conversation: Conversation, reading: Reading, deadline: asyncio.Timeout
    ) -> None:
        splitter = LineSplitter(self._limits.max_line_bytes)
        lingering = False
        while (chunk := await reading.chunk()) is not None:
            try:
                lines = splitter.feed(chunk)
            except LineTooLong as error:
                self._publish(work, conversation, error.lines)
                raise
            self._publish(work, conversation, lines)
            if not conversation.listening:
                return
            if conversation.complete and not lingering:
                lingering = True
                _within(deadline, LINGER_S)
            if self._publisher.full:
                await reading.on_until(self._publisher.room())
        rest = splitter.close()
        if rest is not None:
            self._publish(work, conversation, [rest])
        conversation.ended()

    def _publish(self, work: Work, conversation: Conversation, lines: list[bytes]) -> None:
        for line in lines:
            work.outbox.put(conversation.receive(line))
        if conversation.sequence != work.record.published:
            work.lines += conversation.sequence - work.record.published
            work.conversation_id = conversation.subject.conversation_id
            work.record = replace(
                work.record,
                published=conversation.sequence,
                conversation_id=work.conversation_id,
                announced=conversation.announced_message_id,
            )


def _within(deadline: asyncio.Timeout, seconds: float) -> None:
    soon = asyncio.get_running_loop().time() + seconds
    deadline.reschedule(min(deadline.when() or soon, soon))
