"""What the agent says in a benchmark: lines of the API's own form, each marked so that it can be found again.

The mark stands where the API has an id of 24 hex digits, so that clients that rebuild the line keep it:
6 digits which stream, 4 which line of it, 14 when it was written (CLOCK_MONOTONIC, one clock for all processes).
"""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

PLACE = b"@" * 24
PIECE = (
    b'{"type":"new-message","message_id":"%s","sequence_number":%d,"stop":%s,'
    b'"transcript_alignment":null,"message":"%s"}'
)
CREATED = b'{"type":"conversation-created","conversation_id":"%s"}' % PLACE
HEARD = b'{"type":"user-message-available","message_id":"%s","user_message":"The appointment was moved."}' % PLACE
COMPLETE = (
    b'{"type":"interaction-complete","message_id":"%s","interaction_id":"5f0000000000000000000001",'
    b'"full_message":"%s","conversation_completed":%s}'
)
WORDS = b"Your appointment has moved to half past three and the doctor will see you then. "
MARK = re.compile(rb'"(?:message_id|conversation_id)":\s*"([0-9a-f]{24})"')
ENDING = re.compile(rb'"type":\s*"interaction-complete"')
LOOKED_AT = 4096
"""A mark stands near the front of its line, also where the line is megabytes long."""


def mark(stream: int, index: int) -> bytes:
    """The mark of a line that is written now."""
    return b"%06x%04x%014x" % (stream, index, time.monotonic_ns())


def created() -> bytes:
    """The first line of a stream, with PLACE where its mark goes."""
    return CREATED


def piece(index: int, size: int, *, last: bool = False) -> bytes:
    """A piece of the answer of about `size` bytes, with PLACE where its mark goes."""
    stop = b"true" if last else b"false"
    return PIECE % (PLACE, index, stop, _words(size - len(PIECE % (PLACE, index, stop, b""))))


def complete(size: int, *, over: bool = True) -> bytes:
    """The last line of a stream, with PLACE where its mark goes; the conversation is `over` with it, or goes on."""
    completed = b"true" if over else b"false"
    return COMPLETE % (PLACE, _words(size - len(COMPLETE % (PLACE, b"", completed))), completed)


def script(lines: int, size: int, *, joins: bool = False) -> list[bytes]:
    """A whole answer of so many lines, at least two; of a conversation that is started, or joined and goes on."""
    pieces = [piece(index, size, last=index == lines - 2) for index in range(1, lines - 1)]
    return [HEARD if joins else created(), *pieces, complete(size, over=not joins)]


def _words(size: int) -> bytes:
    return (WORDS * (max(size, 1) // len(WORDS) + 1))[: max(size, 1)]


@dataclass(slots=True)
class Account:
    """What came out at the other end: nothing may be missing, and each stream must come in its order.

    `waits_ns` are the times from the API's write to the receipt of every line, `first_waits_ns` of streams' first
    lines; both only while `timing`. `large_bytes` and longer lines are left out of them.
    """

    timing: bool = False
    large_bytes: int = 1 << 20
    lines: int = 0
    ended: int = 0
    repeats: int = 0
    disorder: int = 0
    strange: int = 0
    waits_ns: list[int] = field(default_factory=list)
    first_waits_ns: list[int] = field(default_factory=list)
    large_waits_ns: list[int] = field(default_factory=list)
    _next: dict[int, int] = field(default_factory=dict)

    def heard(self, line: bytes, now_ns: int) -> None:
        """A message has come."""
        head = line if len(line) <= LOOKED_AT else line[:LOOKED_AT]
        found = MARK.search(head)
        if found is None:
            self.strange += 1
            return
        said = found[1]
        stream, index = int(said[:6], 16), int(said[6:10], 16)
        expected = self._next.get(stream, 0)
        if index < expected:
            self.repeats += 1
            return
        self.disorder += index > expected
        self._next[stream] = index + 1
        self.lines += 1
        self.ended += ENDING.search(head) is not None
        if self.timing:
            self._time(len(line), index, now_ns - int(said[10:], 16))

    def start_timing(self) -> None:
        """Begin a new window of times; the account itself goes on."""
        self.timing = True
        self.waits_ns, self.first_waits_ns, self.large_waits_ns = [], [], []

    def faults(self, status: Mapping[str, int]) -> dict[str, int]:
        """What differs from what the API says it sent; empty when every line came, in order."""
        found = {
            "lost": max(0, status["lines"] - self.lines),
            "too many": max(0, self.lines - status["lines"]),
            "out of order": self.disorder,
            "streams without their ending": status["opened"] - self.ended,
            "streams cut": status["cut"],
            "unknown messages": self.strange,
        }
        return {name: number for name, number in found.items() if number}

    def _time(self, size: int, index: int, wait_ns: int) -> None:
        if size >= self.large_bytes:
            self.large_waits_ns.append(wait_ns)
            return
        self.waits_ns.append(wait_ns)
        if index == 0:
            self.first_waits_ns.append(wait_ns)
