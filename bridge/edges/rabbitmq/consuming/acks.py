"""The acks of one consuming channel: those of one turn of the loop leave in one write.

`aiormq.Channel.basic_ack` waits for each to be written, which takes a task each. Whether the broker got an ack shows at
the next delivery, never here.
"""

import asyncio
from collections.abc import Callable
from functools import partial

from aiormq import Channel as Underlay

from bridge.edges.rabbitmq._internals import write
from bridge.edges.rabbitmq.generation import describe
from bridge.edges.rabbitmq.publishing.frames import ack

AGAIN_S = 0.01
"""The wait when the connection's writer is behind."""


class Acks:
    """`owed` counts those that are not written, `written_s` is when the last one was (event loop time).

    `settled` is called when none is owed any more; what could not be written is lost with the channel, and logged.
    """

    def __init__(self, channel: Underlay, settled: Callable[[], None], lost: Callable[[str], None]) -> None:
        self.owed = 0
        self.written_s = float("-inf")
        self._loop = asyncio.get_running_loop()
        self._channel = channel
        self._settled = settled
        self._lost = lost
        self._tags: list[int] = []
        self._writing = False
        self._idle = asyncio.Event()
        self._idle.set()

    def put(self, delivery_tag: int) -> None:
        """Acknowledge this delivery."""
        self.owed += 1
        self._idle.clear()
        self._tags.append(delivery_tag)
        if not self._writing:
            self._writing = True
            self._loop.call_soon(self._write)

    async def all_written(self) -> None:
        """Return when none is owed."""
        await self._idle.wait()

    def _write(self) -> None:
        if self._channel.is_closed:
            self._over(len(self._tags), "the channel is closed")
            return
        frames = [ack(int(self._channel.number), tag) for tag in self._tags]
        try:
            written = write(self._channel, b"".join(frames))
        except asyncio.QueueFull:
            self._loop.call_later(AGAIN_S, self._write)
            return
        self._tags.clear()
        written.add_done_callback(partial(self._written, len(frames)))

    def _written(self, count: int, written: asyncio.Future[object]) -> None:
        error = asyncio.CancelledError() if written.cancelled() else written.exception()
        if error is None:
            self.written_s = self._loop.time()
        self._over(count, None if error is None else describe(error))

    def _over(self, count: int, error: str | None) -> None:
        """Forget so many that are written, or lost; what has come since is next."""
        self.owed -= count
        self._writing = bool(self.owed)
        if error is not None:
            self._lost(error)
        if self.owed:
            self._write()
        else:
            self._tags.clear()
            self._idle.set()
            self._settled()
