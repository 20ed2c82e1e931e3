"""Ctrl-C, SIGTERM and a closed terminal: each ends the program once, in order; a second one is not heard."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")
HEARD = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(BaseException):
    """Raised wherever the program is when it is asked to stop."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Interruptions:
    """Turns the first of the signals into `Stopped`, in plain code as in a coroutine, and ignores the following."""

    def __init__(self) -> None:
        self._number = 0
        self._cancel: Callable[[], object] | None = None
        for number in HEARD:
            # nohup's wish is respected; that background jobs of a script start with SIGINT ignored is not a wish.
            if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._heard)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """`asyncio.run`; a signal cancels the coroutine, and Stopped is raised when it has ended."""
        try:
            return asyncio.run(self._cancellable(work))
        except asyncio.CancelledError:
            raise Stopped(self._number) from None

    @staticmethod
    def ignore() -> None:
        """From here on nothing interrupts."""
        for number in HEARD:
            signal.signal(number, signal.SIG_IGN)

    def _heard(self, number: int, _: FrameType | None) -> None:
        self.ignore()
        self._number = number
        if self._cancel is None:
            raise Stopped(number)
        self._cancel()

    async def _cancellable(self, work: Coroutine[Any, Any, T]) -> T:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None
        self._cancel = lambda: loop.call_soon_threadsafe(task.cancel)
        try:
            return await work
        finally:
            self._cancel = None
