"""Commands with curl, run as a person would run them, and what was answered."""

import asyncio
import re
import shutil
import subprocess
from collections.abc import Iterator

from tests.support.process import environment


async def shell(script: str, env: dict[str, str] | None = None) -> str:
    """What a script for bash prints; the first command that fails ends it."""
    for tool in ("bash", "curl", "openssl"):
        assert shutil.which(tool), f"{tool} is needed for this test: ./dev installs it"
    done = await asyncio.to_thread(
        subprocess.run,
        ["bash", "-euo", "pipefail", "-c", script],
        env=environment(env),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def answers(printed: str) -> Iterator[tuple[str, str]]:
    """Status lines and bodies, of what `curl -i` prints."""
    for answer in re.split(r"(?=HTTP/1\.1 )", printed)[1:]:
        head, _, body = answer.replace("\r\n", "\n").partition("\n\n")
        if not head.startswith("HTTP/1.1 100"):
            yield head.splitlines()[0], body
