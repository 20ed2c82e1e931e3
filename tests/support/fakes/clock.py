"""An event loop whose clock jumps: where nothing is left to do but wait, the wait is over at once.

Only for tests without sockets, threads or processes: what comes from outside takes no virtual time.
"""

import asyncio
import selectors
from typing import Any

START_S = 1_000.0
MAX_TURNS = 200_000


class Stuck(RuntimeError):
    """Nothing will ever happen again: every task waits for another one; or too much happens and no time passes."""


class JumpingSelector(selectors.DefaultSelector):
    """Never waits: it moves the clock on by as long as it was told to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = START_S
        self._turns = 0

    def select(self, timeout: float | None = None) -> Any:
        """What is ready now. Raises Stuck where the loop would wait for ever, or turns for ever within an instant."""
        found = super().select(0)
        if found:
            return found
        if timeout is None:
            raise Stuck("every task waits, and no timer is left to wake one")
        self._turns = 0 if timeout > 0 else self._turns + 1
        if self._turns > MAX_TURNS:
            raise Stuck(f"{MAX_TURNS} turns of the event loop within one instant")
        self.now_s += max(timeout, 0.0)
        return found


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """`time()` is virtual, and so are `sleep`, `timeout` and `call_later`."""

    def __init__(self) -> None:
        self._jumping = JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now_s


async def stillness() -> None:
    """Return when nothing else can happen: only then does the virtual clock move, however little."""
    await asyncio.sleep(0.001)
