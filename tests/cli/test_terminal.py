"""What commands say only to a person at a terminal."""

import asyncio
import os
import pty
import subprocess
from pathlib import Path

from tests.support.history_commands import Commands
from tests.support.process import command, environment


def on_a_terminal(folder: Path, *arguments: str) -> tuple[int, str, str]:
    """Status, standard output, and what a terminal as standard error has shown."""
    terminal, end = pty.openpty()
    try:
        done = subprocess.run(
            command(*arguments),
            cwd=folder,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=end,
            timeout=60,
            check=False,
        )
        os.set_blocking(terminal, False)
        try:
            shown = os.read(terminal, 65_536).decode()
        except BlockingIOError:
            shown = ""
    finally:
        os.close(terminal)
        os.close(end)
    return done.returncode, done.stdout.decode(), shown


async def test_the_configuration_file_that_is_taken_is_said_on_a_terminal_and_nowhere_else(tmp_path: Path) -> None:
    commands = Commands(tmp_path, "http://127.0.0.1:9")
    arguments = ("check", "--config", "bridge.yaml")
    status, out, shown = await asyncio.to_thread(on_a_terminal, tmp_path, *arguments)
    assert (status, "configuration: bridge.yaml" in shown, "configuration:" in out) == (0, True, False), shown
    piped = await commands.run("check")
    assert "configuration: " not in piped.all
    (tmp_path / "config").mkdir()
    commands.file.rename(tmp_path / "config" / "bridge.yaml")
    status, _, shown = await asyncio.to_thread(on_a_terminal, tmp_path, "check")
    assert (status, "configuration: config/bridge.yaml" in shown) == (0, True), shown
