"""The source of the 24-hex ids."""

import itertools
import random

from bridge.sandbox.state.clock import Clock


class IdSource:
    """Ids like MongoDB's: seconds, a value of this source, a counter; so they sort by birth."""

    def __init__(self, clock: Clock, dice: random.Random) -> None:
        self._clock = clock
        self._source = dice.getrandbits(40)
        self._counter = itertools.count(dice.getrandbits(20))

    def new(self) -> str:
        """A fresh id, 24 lower-case hex digits."""
        return f"{self._clock.now_ms() // 1000:08x}{self._source:010x}{next(self._counter) % 0x1000000:06x}"
