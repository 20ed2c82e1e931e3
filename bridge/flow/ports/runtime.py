"""The process around the flow: its clocks, its dice, its log."""

import asyncio
from collections.abc import Callable
from typing import Protocol

Clock = Callable[[], float]
Dice = Callable[[], float]


def loop_time() -> float:
    """Seconds on the event loop's clock."""
    return asyncio.get_running_loop().time()


class Log(Protocol):
    """A structured logger: an event name (`noun.past`) and fields."""

    def is_enabled_for(self, level: int) -> bool:
        """True where lines of this level of `logging` are written: else many fields need not be worked out."""

    def debug(self, event: str, **fields: object) -> object: ...
    def info(self, event: str, **fields: object) -> object: ...
    def warning(self, event: str, **fields: object) -> object: ...
    def error(self, event: str, **fields: object) -> object: ...
    def critical(self, event: str, **fields: object) -> object: ...
