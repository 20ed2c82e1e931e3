"""The process around the flow: its clock, its dice, its log."""

from collections.abc import Callable
from typing import Any, Protocol

Clock = Callable[[], float]
Dice = Callable[[], float]


class Log(Protocol):
    """A structured logger: an event name (`noun.past`) and fields."""

    def debug(self, event: str, **fields: Any) -> Any: ...
    def info(self, event: str, **fields: Any) -> Any: ...
    def warning(self, event: str, **fields: Any) -> Any: ...
    def error(self, event: str, **fields: Any) -> Any: ...
    def critical(self, event: str, **fields: Any) -> Any: ...
