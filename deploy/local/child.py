"""A child process that never outlives its parent.

The child leads a session of its own: a Ctrl-C on the terminal is for the parent, which stops its children in order.
Beside it runs a leash, a shell of a few hundred kilobytes that does nothing but read a pipe whose other end only the
parent holds. When the parent is gone, for whatever reason (exit, crash, SIGKILL), the pipe ends and the shell kills
the child's process group. Unlike PR_SET_PDEATHSIG this holds when the thread that started the child ends, too.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

LEASH = 'read -r released || kill -s KILL -- "-$1"'


class Child:
    """A running process with its output in a file; `stop` asks first, then insists."""

    def __init__(
        self, command: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> None:
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=env,
                cwd=cwd,
                start_new_session=True,
            )
        self._leash = subprocess.Popen(
            ["/bin/sh", "-c", LEASH, "leash", str(self.pid)],
            stdin=subprocess.PIPE,
            start_new_session=True,
            cwd="/",
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_status(self) -> int | None:
        """None while it runs; minus the signal's number where a signal ended it."""
        status = self._process.poll()
        if status is not None:
            self._release()
        return status

    def signal(self, number: signal.Signals) -> None:
        """Send to the process alone, not to its helpers; nothing happens when it has ended."""
        self._process.send_signal(number)

    def stop(self, grace_s: float) -> int:
        """SIGTERM, and SIGKILL when that was not enough; the exit status."""
        self.signal(signal.SIGTERM)
        try:
            status = self._process.wait(grace_s)
        except subprocess.TimeoutExpired:
            return self.kill()
        self._release()
        return status

    def kill(self) -> int:
        """SIGKILL for the process and its group; the exit status."""
        if self._process.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)
        status = self._process.wait()
        self._release()
        return status

    def tail(self, lines: int = 20) -> str:
        """The end of its output."""
        return tail(self.log, lines)

    def _release(self) -> None:
        if self._leash.poll() is None:
            self._leash.communicate(b"released\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(grace_s=10)


def tail(path: Path, lines: int) -> str:
    """The last lines of a text file; empty when there is none."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:])
