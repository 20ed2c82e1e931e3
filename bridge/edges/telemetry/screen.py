"""What commands show: lines for a person, or one JSON object a line. What comes from outside is shown as text only."""

import sys
from collections.abc import Mapping
from typing import Any

import orjson
from rich.console import Console
from rich.text import Text

STYLES = {"interaction-complete": "bold green", "new-message": "cyan", "error": "bold red"}
WORDS = ("message", "full_message", "error_description", "error", "reason", "user_message", "conversation_id")
LONGEST_WORDS = 300


class Screen:
    """Writes to standard output, errors to standard error."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self._out = Console(highlight=False, soft_wrap=True)
        self._err = Console(stderr=True, highlight=False, soft_wrap=True)

    def say(self, text: str, **facts: object) -> None:
        """A result: the text for a person, the facts as JSON."""
        if self.as_json:
            self._line(facts)
        else:
            self._out.print(Text(text))

    def note(self, text: str) -> None:
        """Something beside the result, for a person only."""
        self._err.print(Text(text, style="dim"))

    def problem(self, text: str) -> None:
        """Something is wrong."""
        self._err.print(Text(text, style="red"))

    def message(self, seen: Mapping[str, Any]) -> None:
        """An outbound message, as `tail` shows it."""
        body = _decoded(seen["body"])
        if self.as_json:
            self._line({**seen, "body": body})
            return
        type_ = str(seen["type"] or "")
        style = STYLES.get(type_, "yellow" if type_.startswith("bridge-") else "dim")
        event_id = str(seen["headers"].get("event_id", seen["correlation_id"] or ""))
        self._out.print(
            Text.assemble(
                (f"{seen['routing_key']:<34} ", "magenta"), (f"{event_id:<20} ", "blue"), (_words(type_, body), style)
            )
        )

    @staticmethod
    def _line(facts: Mapping[str, Any]) -> None:
        line = orjson.dumps(facts, default=str, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_APPEND_NEWLINE)
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()


def _words(type_: str, body: object) -> str:
    if not isinstance(body, dict):
        return f"{type_} {body}"[:LONGEST_WORDS]
    found = next((body[name] for name in WORDS if isinstance(body.get(name), str) and body[name]), "")
    if not found and isinstance(body.get("action"), dict):
        found = str(body["action"].get("type", ""))
    printable = "".join(char if char.isprintable() else " " for char in found)
    return printable[:LONGEST_WORDS] if type_ == "new-message" else f"[{type_}] {printable}"[:LONGEST_WORDS]


def _decoded(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return body.decode("utf-8", "replace")
