"""The bridge as a process: started from a configuration file, seen through its exit status, output and HTTP faces."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from tests.support.waiting import until

ROOT = Path(__file__).resolve().parents[2]
CANARY = "canary-"
# What a Python service prints when something was forgotten.
FORGOTTEN = re.compile(
    r"Traceback \(most|never retrieved|never awaited|Unclosed |was destroyed but it is pending|[A-Z][A-Za-z]*Warning\b"
)


def environment(extra: dict[str, str] | None = None) -> dict[str, str]:
    """Of the caller's environment only what finds programs: no AMIGO_ or BRIDGE_ variable comes through.

    Python's warnings are errors; where nobody can be told of one, it is printed, and FORGOTTEN finds it.
    """
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error", **(extra or {})}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "bridge", *arguments]


@dataclass(frozen=True)
class Output:
    status: int
    out: str
    err: str

    @property
    def all(self) -> str:
        return self.out + self.err


async def run_command(
    folder: Path, *arguments: str, stdin: str = "", env: dict[str, str] | None = None, bound_s: float = 120
) -> Output:
    """One command of the bridge that ends by itself."""
    done = await asyncio.to_thread(
        subprocess.run,
        command(*arguments),
        cwd=folder,
        env=environment(env),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=bound_s,
    )
    assert CANARY not in done.stdout + done.stderr, f"a secret was printed:\n{done.stdout}{done.stderr}"
    assert not FORGOTTEN.search(done.stderr), done.stderr
    return Output(done.returncode, done.stdout, done.stderr)


class BridgeProcess:
    """`amigo-bridge run` with one configuration; may be started again after it has ended."""

    def __init__(self, folder: Path, config: dict[str, Any], name: str = "bridge") -> None:
        self.folder, self.config, self.name = folder, config, name
        self.file = folder / f"{name}.yaml"
        self.port = int(config["http"]["port"])
        self._end_was_seen = False
        self._process: subprocess.Popen[bytes] | None = None
        self._outputs: list[Path] = []

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, env: dict[str, str] | None = None) -> None:
        assert not self.running
        self.file.write_text(yaml.safe_dump(self.config))
        output = self.folder / f"{self.name}-{len(self._outputs) + 1}.log"
        self._outputs.append(output)
        with output.open("wb") as sink:
            self._process = subprocess.Popen(
                command("run", "--config", str(self.file)),
                cwd=self.folder,
                env=environment(env),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
            )
        self._end_was_seen = False

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    async def exit_status(self, bound_s: float = 20) -> int:
        assert self._process is not None
        process = self._process
        await until(lambda: process.poll() is not None, "the bridge has ended", bound_s)
        self._end_was_seen = True
        return int(process.returncode)

    async def kill(self) -> None:
        self.signal(signal.SIGKILL)
        await self.exit_status()

    async def stop(self, bound_s: float = 20) -> int:
        self.signal(signal.SIGTERM)
        return await self.exit_status(bound_s)

    # --- HTTP

    async def get(self, path: str, timeout_s: float = 10.0) -> tuple[int, str] | None:
        """Status and body, or None where nobody answers."""
        url = f"http://127.0.0.1:{self.port}{path}"
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=timeout_s)) as session,
                session.get(url) as response,
            ):
                return response.status, await response.text()
        except (aiohttp.ClientError, TimeoutError, ConnectionError):
            return None

    async def readiness(self) -> tuple[int, dict[str, Any]] | None:
        found = await self.get("/readyz")
        if found is None:
            return None
        status, body = found
        return status, json.loads(body)

    async def is_ready(self) -> bool:
        assert self.running, f"the bridge has ended:\n{self.log}"
        found = await self.readiness()
        return found is not None and found[0] == 200

    async def is_not_ready(self) -> bool:
        found = await self.readiness()
        return found is not None and found[0] == 503

    async def ready(self, bound_s: float = 20) -> None:
        await until(self.is_ready, "/readyz says 200", bound_s, step_s=0.05)

    async def not_ready(self, bound_s: float = 20) -> dict[str, Any]:
        """Waits for 503 and gives its body."""
        await until(self.is_not_ready, "/readyz says 503", bound_s, step_s=0.05)
        found = await self.readiness()
        assert found is not None
        return found[1]

    # --- what it said

    @property
    def log(self) -> str:
        return "".join(path.read_text(errors="replace") for path in self._outputs)

    def log_lines(self) -> list[dict[str, Any]]:
        """Every line of the log; a line that is not JSON is a fault by itself."""
        lines = []
        for line in self.log.splitlines():
            try:
                lines.append(json.loads(line))
            except ValueError:
                raise AssertionError(f"the log has a line that is not JSON: {line}") from None
        return lines

    async def close(self) -> None:
        """Ends it as an operator would, and judges what it left behind."""
        assert self.running or self._end_was_seen or self._process is None, "the bridge ended by itself"
        if self.running:
            status = await self.stop()
            assert status == 0, f"exit status {status} on SIGTERM"
        self.judge_log()

    def judge_log(self) -> None:
        log = self.log
        assert CANARY not in log, "a secret or a body is in the log"
        found = FORGOTTEN.search(log)
        assert found is None, f"the log speaks of {found and found.group()!r}"
        critical = [line for line in self.log_lines() if line.get("level") == "critical"]
        assert not critical, critical
