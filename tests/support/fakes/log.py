"""A logger that remembers."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Line:
    """One log line."""

    level: str
    event: str
    fields: dict[str, Any] = field(default_factory=dict)


class FakeLog:
    """The log port: what was said, in order."""

    def __init__(self) -> None:
        self.lines: list[Line] = []

    def of(self, event: str) -> list[dict[str, Any]]:
        """The fields of every line of that name."""
        return [line.fields for line in self.lines if line.event == event]

    def at(self, level: str) -> list[Line]:
        """Every line of that level."""
        return [line for line in self.lines if line.level == level]

    def is_enabled_for(self, _level: int) -> bool:
        return True

    def debug(self, event: str, **fields: Any) -> None:
        self.lines.append(Line("debug", event, fields))

    def info(self, event: str, **fields: Any) -> None:
        self.lines.append(Line("info", event, fields))

    def warning(self, event: str, **fields: Any) -> None:
        self.lines.append(Line("warning", event, fields))

    def error(self, event: str, **fields: Any) -> None:
        self.lines.append(Line("error", event, fields))

    def critical(self, event: str, **fields: Any) -> None:
        self.lines.append(Line("critical", event, fields))
