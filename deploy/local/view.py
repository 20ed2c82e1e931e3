"""What the demonstration shows: plain text in a pipe, the same in colour on a terminal.

Everything that came from outside is shown as text: no markup, no control characters.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

KEY_COLUMN, EVENT_COLUMN = 36, 17
MAX_INTERVAL = 400
PIPE_WIDTH = 1000
PALETTE = ("cyan", "magenta", "yellow", "green", "bright_blue", "bright_red")
ENDINGS = ("interaction-complete", "bridge-failed", "bridge-coalesced", "bridge-expired", "conversation-finished")


class View:
    """One line for everything that happens; the colours tell the events apart."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False, emoji=False)
        if not self._console.is_terminal:
            self._console.width = PIPE_WIDTH
        self._start = time.monotonic()
        self._styles: dict[str, str] = {}

    def step(self, text: str) -> None:
        """Something that the demonstration does."""
        self._console.print(Text(f"· {text}", style="dim"))

    def heading(self, text: str) -> None:
        self._console.print(Text(f"\n{text}", style="bold"))

    def places(self, rows: Mapping[str, str]) -> None:
        """Names and where they are found; never broken, so that they can be copied."""
        width = max(map(len, rows)) + 2
        for name, place in rows.items():
            line = Text.assemble(("  " + name.ljust(width), "dim"), place)
            self._console.print(line, soft_wrap=True)

    def event_in(self, routing_key: str, event_id: str, body: bytes) -> None:
        self._row("→", routing_key, event_id, Text(printable(body.decode("utf-8", "replace")), style="bold"))

    def event_out(self, routing_key: str, event_id: str, type_: str, body: bytes) -> None:
        self._row("←", routing_key, event_id, self._words(type_, event_id, body))

    def dead_letter(self, reason: str, event_id: str, error: str) -> None:
        self._row("✗", f"bridge.dead {reason}", event_id, Text(printable(error), style="red"))

    def failure(self, message: str, log: str) -> None:
        """Why it ends, after the end of the log that may explain it."""
        if log:
            self._console.print(Text(log, style="dim"), soft_wrap=True)
        self._console.print(Text(f"demo: {message}", style="bold red"), soft_wrap=True)

    def _row(self, arrow: str, key: str, event_id: str, text: Text) -> None:
        style = self._styles.setdefault(event_id, PALETTE[len(self._styles) % len(PALETTE)])
        row = Table.grid(padding=(0, 1))
        row.add_column(width=6, justify="right", no_wrap=True)
        row.add_column(width=1)
        row.add_column(min_width=KEY_COLUMN, no_wrap=True)
        row.add_column(min_width=EVENT_COLUMN, no_wrap=True)
        row.add_column(overflow="fold")
        clock = Text(f"{time.monotonic() - self._start:.2f}", style="dim")
        row.add_row(clock, Text(arrow, style=style), Text(printable(key)), Text(printable(event_id), style=style), text)
        self._console.print(row)

    def _words(self, type_: str, event_id: str, body: bytes) -> Text:
        said = _decoded(body)
        if type_ == "new-message":
            return Text(printable(str(said.get("message", ""))), style=self._styles.get(event_id, ""))
        if type_ == "interaction-complete":
            return Text(printable(f"✓ {said.get('full_message', '')}"), style="bold green")
        if type_ == "error" or type_.startswith("bridge-"):
            return Text(printable(f"{said.get('reason', '')} {_explained(said)}".strip()), style="red")
        return Text(printable(_fact(said)), style="dim")


def printable(text: str) -> str:
    """At most MAX_INTERVAL characters, none of which a terminal would act on."""
    clean = "".join(char if char.isprintable() else " " for char in text[: MAX_INTERVAL + 1])
    return clean if len(clean) <= MAX_INTERVAL else clean[: MAX_INTERVAL - 1] + "…"


def _explained(said: Mapping[str, Any]) -> str:
    return str(said.get("error") or said.get("error_description") or "")


def _fact(said: Mapping[str, Any]) -> str:
    action = said.get("action")
    if isinstance(action, dict):
        return str(action.get("filler") or action.get("type", ""))
    return str(said.get("user_message") or said.get("conversation_id") or "")


def _decoded(body: bytes) -> Mapping[str, Any]:
    try:
        said = json.loads(body)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
