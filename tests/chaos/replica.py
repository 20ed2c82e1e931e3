"""The service as a process that is killed, stopped and started again; it never outlives the program that began it."""

import asyncio
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from deploy.local.child import Child
from tests.support.process import command, environment
from tests.support.world import merged

STEP_S = 0.02
EXPECTED = (0, 128 + signal.SIGTERM, -signal.SIGTERM, -signal.SIGKILL)
"""Exit statuses of a process that was told to end, or killed; the latter also by itself, at a labelled step."""


class Outcome(Exception):
    """A process is gone that nobody ended."""


class Replica:
    """One configuration, one process at a time."""

    def __init__(self, folder: Path, name: str, config: dict[str, Any]) -> None:
        self.name, self.port = name, int(config["http"]["port"])
        self.given: dict[str, str] = {}
        """More variables for its environment."""
        self.log = folder / f"{name}.log"
        self._file = folder / f"{name}.yaml"
        self._config = config
        self._folder = folder
        self._child: Child | None = None

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.exit_status is None

    @property
    def fallen(self) -> int | None:
        """The exit status where it has ended by itself: neither killed nor told to stop."""
        status = None if self._child is None else self._child.exit_status
        return None if status in EXPECTED else status

    def change(self, over: dict[str, Any]) -> None:
        """Lay this over the configuration, from the next start on."""
        self._config = merged(self._config, over)

    def start(self, crash_at: str | None = None) -> None:
        extra = {**self.given, **({"BRIDGE_CRASH_AT": crash_at} if crash_at else {})}
        self._file.write_text(yaml.safe_dump(self._config))
        run = command("run", "--config", str(self._file))
        with self.log.open("a") as log:
            log.write(f'{{"event": "chaos.start", "crash_at": "{crash_at or ""}", "at": {time.time():.3f}}}\n')
        self._child = Child(run, log=self.log, env=environment(extra), cwd=self._folder)

    def kill(self) -> None:
        """kill -9."""
        if self._child is not None:
            self._child.kill()

    async def die(self) -> None:
        """kill -9, and the next process, once that is ready."""
        self.kill()
        self.start()
        await self.ready()

    def terminate(self) -> None:
        """SIGTERM."""
        assert self._child is not None
        self._child.signal(signal.SIGTERM)

    async def ended(self, bound_s: float) -> int | None:
        """The exit status, or None where it still runs after so many seconds."""
        assert self._child is not None
        deadline = time.monotonic() + bound_s
        while True:
            status = self._child.exit_status
            if status is not None or time.monotonic() > deadline:
                return status
            await asyncio.sleep(STEP_S)

    async def stop(self, bound_s: float = 30) -> None:
        if self.running:
            self.terminate()
            if await self.ended(bound_s) is None:
                self.kill()
                raise Outcome(f"{self.name} did not end within {bound_s:g} s of SIGTERM")

    async def ready(self, bound_s: float = 60) -> None:
        """Returns when /readyz says 200; raises Ended."""
        deadline = time.monotonic() + bound_s
        while (await self._get("/readyz"))[0] != 200:
            if not self.running or time.monotonic() > deadline:
                raise Outcome(f"{self.name} ended, or was not ready within {bound_s:g} s; see {self.log}")
            await asyncio.sleep(0.05)

    async def in_hand(self) -> int:
        """Events that it holds, as its metrics say; 0 where it does not run."""
        if not self.running:
            return 0
        for line in (await self._get("/metrics"))[1].splitlines():
            if line.startswith("bridge_in_hand"):
                return int(float(line.split()[-1]))
        return -1

    async def _get(self, path: str) -> tuple[int, str]:
        timeout = aiohttp.ClientTimeout(total=3)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(f"http://127.0.0.1:{self.port}{path}") as answer,
            ):
                return answer.status, await answer.text()
        except (aiohttp.ClientError, TimeoutError, OSError):
            return 0, ""


def sandbox(folder: Path, port: int, pace: float, limits: Sequence[str]) -> Child:
    """The Amigo API as a process."""
    run = [sys.executable, "-m", "bridge", "sandbox", "--port", str(port), "--pace", str(pace), *limits]
    return Child(run, log=folder / "sandbox.log", env=environment(), cwd=folder)
