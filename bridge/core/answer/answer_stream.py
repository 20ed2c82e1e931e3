"""One stream of the API, read line by line: what is published, and how the stream stands.

Every change of stage is in NEXT; nowhere else assigns `self._stage`. (docs/api-contract.md, 2.2)
"""

import json
from collections.abc import Iterable, Mapping
from enum import StrEnum

import orjson

from bridge.core.answer.ending import COMPLETE
from bridge.core.answer.outbound_message import (
    Address,
    CommonHeaders,
    EventContext,
    MessageFactory,
    OutboundMessage,
    ending_id,
    line_ids,
    with_cloudevents,
)
from bridge.core.event.inbound_message import NO_HEADERS

MAX_TYPE_BYTES = 200
MAX_ID_CHARS = 200
MAX_NUMBER_CHARS = 100
MAX_WORDS_CHARS = 500
MAX_TYPES = 100
"""That are remembered for one stream."""


class Stage(StrEnum):
    """How a stream stands. VOID: it left nothing. UNKNOWN: only the API can tell. SAVED: complete, then an error."""

    REQUESTED = "requested"
    OPEN = "open"
    COMPLETE = "complete"
    SAVED = "saved"
    VOID = "void"
    UNKNOWN = "unknown"


class Signal(StrEnum):
    """Events in the life of a stream. ENDED is the server's clean end; CUT anything else that stops the reading."""

    OPENED = "opened"
    SAID = "said"
    COMPLETED = "completed"
    ERRED = "erred"
    ENDED = "ended"
    CUT = "cut"


NEXT: Mapping[Stage, Mapping[Signal, Stage]] = {
    Stage.REQUESTED: {Signal.OPENED: Stage.OPEN, Signal.ENDED: Stage.UNKNOWN, Signal.CUT: Stage.UNKNOWN},
    Stage.OPEN: {
        Signal.SAID: Stage.OPEN,
        Signal.COMPLETED: Stage.COMPLETE,
        Signal.ERRED: Stage.VOID,
        Signal.ENDED: Stage.UNKNOWN,
        Signal.CUT: Stage.UNKNOWN,
    },
    Stage.COMPLETE: {
        Signal.SAID: Stage.COMPLETE,
        Signal.COMPLETED: Stage.COMPLETE,
        Signal.ERRED: Stage.SAVED,
        Signal.ENDED: Stage.COMPLETE,
        Signal.CUT: Stage.COMPLETE,
    },
    Stage.SAVED: {Signal.ENDED: Stage.SAVED, Signal.CUT: Stage.SAVED},
    Stage.VOID: {Signal.ENDED: Stage.VOID, Signal.CUT: Stage.VOID},
    Stage.UNKNOWN: {Signal.ENDED: Stage.UNKNOWN, Signal.CUT: Stage.UNKNOWN},
}
LISTENING = frozenset({Stage.OPEN, Stage.COMPLETE})
TELLING = frozenset({"conversation-created", "user-message-available", COMPLETE, "error"})
"""The types of line that say something about the conversation, beside what they are to subscribers."""


class AnswerStream:
    """Turns the lines of one stream into outbound messages, each once and in order."""

    def __init__(self, context: EventContext, factory: MessageFactory) -> None:
        """Raises ValueError for a subject that is no stream's."""
        if context.stream is None:
            raise ValueError("a conversation needs the id of its stream")
        self.context = context
        self.stream = context.stream
        self.sequence = 0
        self.announced_message_id: str | None = None
        self.last_message_id: str | None = None
        self.conversation_completed = False
        self.ending: bytes | None = None
        self.ending_sequence = 0
        self.error = ""
        self.error_code: int | None = None
        self._factory = factory
        self._ids = line_ids(context.event_id, context.stream)
        self._common: dict[str, tuple[list[Address], CommonHeaders]] = {}
        self._stage = Stage.REQUESTED

    @property
    def stage(self) -> Stage:
        return self._stage

    @property
    def listening(self) -> bool:
        """False once no further line of the stream can matter."""
        return self._stage in LISTENING

    @property
    def complete(self) -> bool:
        return self._stage in (Stage.COMPLETE, Stage.SAVED)

    def opened(self) -> None:
        """The API has answered 2xx, which proves nothing yet."""
        self._advance(Signal.OPENED)

    def ended(self) -> None:
        """The server has closed the stream in good order."""
        if self._stage is Stage.OPEN:
            self.error = self.error or f"the stream ended without {COMPLETE}"
        self._advance(Signal.ENDED)

    def cut(self, error: str) -> None:
        """The reading has stopped for any other reason, which `error` says."""
        self.error = self.error or error
        self._advance(Signal.CUT)

    def receive(self, lines: Iterable[bytes]) -> list[OutboundMessage]:
        """The messages of these lines: the bytes of each, once an outbound. A line that is not JSON cuts the stream."""
        made: list[OutboundMessage] = []
        now_s, ids, known = int(self._factory.clock()), self._ids, self._common
        for line in lines:
            if self._stage not in LISTENING:
                break
            try:
                content = orjson.loads(line)
            except orjson.JSONDecodeError:
                try:
                    content = _leniently(line)
                except ValueError as error:
                    self.cut(f"line {self.sequence + 1} of the stream is not JSON: {error}")
                    break
            type_ = content.get("type", "") if type(content) is dict else ""
            common = known.get(type_) if type(type_) is str else None
            if common is None:
                type_ = _type(type_)
                if type_ == COMPLETE and self.complete:
                    continue  # one ending an event: a second one on the stream says nothing new
            sequence = self.sequence = self.sequence + 1
            if common is None:
                self._notice(type_, content, line)
                common = self._in_common(type_)
            addresses, common_headers = common
            message_id = f"{ids}{sequence}" if type_ != COMPLETE else ending_id(self.context.event_id, type_)
            for to in addresses:
                own = NO_HEADERS
                if to.cloudevents:
                    own = with_cloudevents(own, type_, message_id, self.context, now_s)
                made.append(OutboundMessage(to, line, message_id, now_s, common_headers, own, sequence))
        return made

    def _in_common(self, type_: str) -> tuple[list[Address], CommonHeaders]:
        """The constant part of lines of a type, until the context changes. Those that tell something are looked at."""
        common = self._factory.addresses(self.context, type_), self.context.common_headers
        if type_ not in TELLING and len(self._common) < MAX_TYPES:
            self._common[type_] = common
        return common

    def _notice(self, type_: str, content: Mapping[str, object], line: bytes) -> None:
        """Take in a line that tells something. Lines of any other type leave the stage as it is (SAID in NEXT)."""
        match type_:
            case "conversation-created":
                self.context = self.context.within(_text(content.get("conversation_id")))
                self._common.clear()
                self._advance(Signal.SAID)
            case "user-message-available":
                self.announced_message_id = _text(content.get("message_id"))
                self._advance(Signal.SAID)
            case "interaction-complete":
                self.ending, self.ending_sequence = line, self.sequence
                self.conversation_completed = content.get("conversation_completed") is True
                self.last_message_id = _text(content.get("message_id"))
                self._advance(Signal.COMPLETED)
            case "error":
                code = content.get("http_error_code")
                self.error_code = code if isinstance(code, int) else None
                self.error = _words(content.get("error_description") or content.get("message")) or "error on the stream"
                self._advance(Signal.ERRED)

    def _advance(self, signal: Signal) -> None:
        self._stage = NEXT[self._stage][signal]


def _leniently(line: bytes) -> object:
    """Read JSON that orjson refuses and JavaScript takes: lone surrogates, huge numbers. Raises ValueError."""
    try:
        return json.loads(line.decode("utf-8"), parse_int=_integer)
    except RecursionError:
        raise ValueError("nested too deep") from None


def _integer(digits: str) -> int | float:
    """Python refuses to read integers of thousands of digits; what is so large is no number that matters here."""
    return int(digits) if len(digits) < MAX_NUMBER_CHARS else float(digits)


def _type(name: object) -> str:
    """The type of a line that says an odd one, or none: one that can be written into a header."""
    if not isinstance(name, str) or not name:
        return "unknown"
    if name.isascii() and len(name) <= MAX_TYPE_BYTES:
        return name
    return name.encode("utf-8", "replace")[:MAX_TYPE_BYTES].decode("utf-8", "ignore")


def _words(value: object) -> str:
    """The API's own words, such as can be written anywhere; empty where there are none."""
    try:
        return str(value or "")[:MAX_WORDS_CHARS].encode("utf-8", "replace").decode()
    except RecursionError:
        return ""


def _text(value: object) -> str | None:
    """An id, where it is one that can be written into a header."""
    return value if isinstance(value, str) and 0 < len(value) <= MAX_ID_CHARS and value.isascii() else None
