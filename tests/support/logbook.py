"""A log that remembers what it was told."""

from typing import Any


class Logbook:
    """The log port: every line as (level, event, fields)."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, Any]]] = []

    def is_enabled_for(self, _level: int) -> bool:
        return True

    def debug(self, event: str, **fields: Any) -> None:
        self.lines.append(("debug", event, fields))

    def info(self, event: str, **fields: Any) -> None:
        self.lines.append(("info", event, fields))

    def warning(self, event: str, **fields: Any) -> None:
        self.lines.append(("warning", event, fields))

    def error(self, event: str, **fields: Any) -> None:
        self.lines.append(("error", event, fields))

    def critical(self, event: str, **fields: Any) -> None:
        self.lines.append(("critical", event, fields))

    def of(self, event: str) -> list[dict[str, Any]]:
        """The fields of every line of this event."""
        return [fields for _, name, fields in self.lines if name == event]

    def at(self, level: str) -> list[str]:
        """The events that were said at this level."""
        return [name for found, name, _ in self.lines if found == level]
