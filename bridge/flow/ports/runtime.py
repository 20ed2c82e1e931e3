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


class SparseLog(Protocol):
    """A log for what strangers can make happen over and over: a line of a kind at once, then one now and then.

    `more` are those that were left out. What is not part of the line is left empty.
    """

    def warning(
        self, event: str, exchange: str = "", routing_key: str = "", kind: str = "", **fields: object
    ) -> None: ...
