"""Output of the commands: lines for a person, or one JSON object a line.

Whatever is shown passes `printable`, since any of it may have come from outside; only `command` is shown as it is.
"""

import json
import sys
from collections.abc import Mapping

import orjson
from rich.console import Console
from rich.text import Text

from bridge.core import numbers
from bridge.core.printable import printable, printable_json
from bridge.edges.rabbitmq.cli_client import Tailed

STYLES = {"interaction-complete": "bold green", "new-message": "cyan", "error": "bold red"}
WORDS = ("message", "full_message", "error_description", "error", "reason", "user_message", "conversation_id")
MAX_WORDS_CHARS = 300


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Whoever read has gone: the caller decides what that means (rich would end the process with 1)."""
        raise BrokenPipeError


class Screen:
    """Writes to standard output, errors to standard error."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self._out = _Console(highlight=False, soft_wrap=True)
        self._err = _Console(stderr=True, highlight=False, soft_wrap=True)

    def say(self, *lines: str, **facts: object) -> None:
        """A result: the lines for a person, the facts as JSON."""
        if self.as_json:
            self._line(facts)
            return
        for line in lines:
            self._out.print(Text(printable(line)))

    @property
    def width(self) -> int:
        """Columns of the terminal; 80 where the output goes elsewhere, or as COLUMNS says."""
        return self._out.width

    def record(self, row: Mapping[str, object], *lines: str) -> None:
        """An object of the API: the lines for a person, or itself as JSON, its numbers as they came."""
        if not self.as_json:
            self.say(*lines)
            return
        try:
            text = numbers.dumps(row).decode()
        except ValueError:  # half a surrogate pair, which only JSON can write
            text = json.dumps(row, default=str)
        _write(text)

    def wrapped(self, text: str, indent: int = 2) -> list[str]:
        """The text in lines that fit, its own line breaks kept."""
        room = max(self.width - indent, 8)
        lines = [line for part in text.split("\n") for line in Text(printable(part)).wrap(self._out, room) or [Text()]]
        return [(" " * indent + line.plain).rstrip() for line in lines]

    def command(self, text: str) -> None:
        """Something for a shell, as it is: the caller's own words."""
        self._out.print(Text(text))

    def note(self, text: str) -> None:
        """Something beside the result, for a person only."""
        self._err.print(Text(printable(text), style="dim"))

    def problem(self, text: str) -> None:
        """Something is wrong."""
        self._err.print(Text(printable(text), style="red"))

    def message(self, seen: Tailed) -> None:
        """An outbound message, as `tail` shows it."""
        body = _decoded(seen["body"])
        if self.as_json:
            self._line({**seen, "body": _written(body)})
            return
        type_ = str(seen["type"] or "")
        style = STYLES.get(type_, "yellow" if type_.startswith("bridge-") else "dim")
        event_id = str(seen["headers"].get("event_id", seen["correlation_id"] or ""))
        self._out.print(
            Text.assemble(
                (f"{printable(str(seen['routing_key'])):<34} ", "magenta"),
                (f"{printable(event_id):<20} ", "blue"),
                (printable(_words(type_, body))[:MAX_WORDS_CHARS], style),
            )
        )

    @staticmethod
    def _line(facts: Mapping[str, object]) -> None:
        try:
            line = orjson.dumps(facts, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
        except TypeError:  # text that is not UTF-8, as an argument of a command may be
            line = json.dumps(facts, default=str)
        _write(line)


def _write(line: str) -> None:
    sys.stdout.buffer.write(printable_json(line).encode() + b"\n")
    sys.stdout.buffer.flush()


def _words(type_: str, body: object) -> str:
    if not isinstance(body, dict):
        return f"{type_} {body}"[:MAX_WORDS_CHARS]
    words = next((body[name] for name in WORDS if isinstance(body.get(name), str) and body[name]), "")
    if not words and isinstance(body.get("action"), dict):
        words = str(body["action"].get("type", ""))
    return (words if type_ == "new-message" else f"[{type_}] {words}")[:MAX_WORDS_CHARS]


def _decoded(body: bytes) -> object:
    try:
        return numbers.loads(body)
    except ValueError:
        return body.decode("utf-8", "replace")


def _written(body: object) -> object:
    """The body for a line of JSON, with its numbers as they came; as text where it is nested too deep for that."""
    try:
        return orjson.Fragment(numbers.dumps(body))
    except ValueError:
        return str(body)
