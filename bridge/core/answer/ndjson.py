"""NDJSON lines out of a byte stream (docs/api-contract.md, 2.2, framing).

Only the byte 0x0A ends a line: U+2028 and U+0085 are legal inside the agent's words. Blank lines are dropped,
a carriage return before the newline is kept with the line's own bytes only where it is not alone.
"""

from bridge.core.errors import LineTooLong

_NEWLINE = b"\n"


class LineSplitter:
    """Cuts chunks of any size into lines of at most `max_line` bytes; holds nothing but the unfinished line."""

    __slots__ = ("_held", "_held_bytes", "_max_line")

    def __init__(self, max_line: int) -> None:
        self._max_line = max_line
        self._held: list[bytes] = []
        self._held_bytes = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that `chunk` completes, without their newlines.

        Raises LineTooLong when a line grows beyond the limit; lines completed before it come with the error.
        """
        if _NEWLINE not in chunk:
            self._hold(chunk, [])
            return []
        *complete, rest = chunk.split(_NEWLINE)
        longest = len(chunk) + self._held_bytes
        complete[0] = self._joined(complete[0])
        self._held, self._held_bytes = [], 0
        lines = [line for line in complete if line and not line.isspace()]
        if longest > self._max_line:
            for index, line in enumerate(lines):
                if len(line) > self._max_line:
                    raise LineTooLong(self._max_line, lines[:index])
        if rest:
            self._hold(rest, lines)
        return lines

    def close(self) -> bytes | None:
        """The last line where the stream ended without a newline, else None."""
        line = self._joined(b"")
        self._held, self._held_bytes = [], 0
        return line if line.strip() else None

    def _joined(self, end: bytes) -> bytes:
        return b"".join((*self._held, end)) if self._held else end

    def _hold(self, part: bytes, lines: list[bytes]) -> None:
        self._held_bytes += len(part)
        if self._held_bytes > self._max_line:
            raise LineTooLong(self._max_line, lines)
        self._held.append(part)
