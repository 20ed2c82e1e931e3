"""A conversation as a dialogue: who spoke, when, and the words."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from bridge.cli.screen import Screen
from bridge.cli.table import GAP, moment, one_line
from bridge.edges.amigo.results import MessageResult

SPOKEN = frozenset({"user-message", "agent-message"})
"""Types that need no word: the speaker's name says it."""
UNDATED = datetime.max.replace(tzinfo=UTC)


def dialogue(screen: Screen, row: Mapping[str, Any]) -> Iterator[str]:
    """The lines of one message: a head with time, speaker, kind and id, and its text below."""
    message = MessageResult.read("messages", row)
    kinds = [message.message_type] if message.message_type not in SPOKEN else []
    kinds += [message.format] if message.format != "text" else []
    speaker = one_line(message.sender or message.message_type)
    kind = f"[{', '.join(kinds)}]" if kinds else ""
    yield GAP.join(filter(None, (moment(message.created_at), speaker, kind, message.id)))
    yield from screen.wrapped(message.message)


def by_time(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Messages oldest first; the API promises no order where none is asked for."""
    return sorted(rows, key=lambda row: MessageResult.read("messages", row).created_at or UNDATED)
