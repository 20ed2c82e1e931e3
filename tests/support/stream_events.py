"""The lines of a stream, and the events in them, typed (docs/api-contract.md, 2).

The bridge passes lines on as they are; tests read them. A type that nobody knows is an Event
with nothing but its type, and where the API's pages contradict each other both forms are understood.
"""

from collections.abc import AsyncIterator, Mapping

import orjson
from pydantic import AliasChoices, Field

from bridge.core.answer.ndjson import LineSplitter
from bridge.core.errors import LineTooLong, Unreadable
from bridge.edges.amigo.results import Result


class StreamEvent(Result):
    """An event; by itself only of a type that is not known here."""

    type: str


class ConversationCreated(StreamEvent):
    conversation_id: str


class UserMessageAvailable(StreamEvent):
    """`user_message` is the text, or the transcript of what was spoken."""

    message_id: str = ""
    user_message: str = ""


class CurrentAgentAction(StreamEvent):
    """`action` has a `type` of its own, one of 24 or a new one."""

    action: Mapping[str, object] = {}


class NewMessage(StreamEvent):
    """A piece of the answer: text, or base64 of PCM16 with the milliseconds and characters of its transcript."""

    message: str = ""
    transcript_alignment: tuple[tuple[int, str], ...] | None = None
    stop: bool = False
    sequence_number: int = 0
    message_id: str = ""


class InteractionComplete(StreamEvent):
    """The only proof. Some pages show it without its fields (docs/api-contract.md, 7.8)."""

    message_id: str = ""
    interaction_id: str = ""
    full_message: str = ""
    conversation_completed: bool = False


class StreamError(StreamEvent):
    """`http_error_code` is 0 where it was not said."""

    http_error_code: int = 0
    error_description: str = Field("", validation_alias=AliasChoices("error_description", "message"))


KNOWN: Mapping[str, type[StreamEvent]] = {
    "conversation-created": ConversationCreated,
    "user-message-available": UserMessageAvailable,
    "current-agent-action": CurrentAgentAction,
    "new-message": NewMessage,
    "interaction-complete": InteractionComplete,
    "error": StreamError,
}
FILLER = "action-too-long"
"""An action that some pages show as an event of its own (docs/api-contract.md, 7.11)."""


async def lines(chunks: AsyncIterator[bytes], max_line: int) -> AsyncIterator[bytes]:
    """The lines of a stream as they were sent, without their newlines; blank ones are left out.

    Raises LineTooLong for one of more than `max_line` bytes, after the lines before it.
    """
    splitter = LineSplitter(max_line)
    async for chunk in chunks:
        try:
            complete = splitter.feed(chunk)
        except LineTooLong as error:
            for line in error.lines:
                yield line
            raise
        for line in complete:
            yield line
    last = splitter.close()
    if last is not None:
        yield last


def read_event(line: bytes) -> StreamEvent:
    """The event in a line. Raises Unreadable for a line that is no JSON object with a type."""
    try:
        content = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise Unreadable("a line of the stream is not JSON") from None
    kind = content.get("type") if isinstance(content, dict) else None
    if not isinstance(kind, str):
        raise Unreadable("a line of the stream has no type")
    if kind == FILLER:
        kind, content = "current-agent-action", {"type": "current-agent-action", "action": content}
    return KNOWN.get(kind, StreamEvent).read(f"the event {kind[:100]}", content)
