"""The tasks that work on lanes: kept until they end, and what breaks one is logged."""

import asyncio
from collections.abc import Coroutine

from bridge.flow.ports.runtime import Log


class TaskSet:
    """Tasks by their names; each is forgotten as soon as it has ended."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def running(self) -> list[asyncio.Task[None]]:
        """Those that have not ended."""
        return list(self._tasks)

    def start(self, coroutine: Coroutine[None, None, None], name: str) -> asyncio.Task[None]:
        """Start one."""
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def end(self, grace_s: float) -> None:
        """Give those that run so many seconds, then cancel them."""
        tasks = self.running
        if tasks:
            await asyncio.wait(tasks, timeout=grace_s)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.critical("lane.broken", task=task.get_name(), exc_info=error)
