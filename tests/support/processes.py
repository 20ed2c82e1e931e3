"""What runs on this machine, as the kernel tells it."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.waiting import slowness


def processes_in(folder: Path) -> dict[int, str]:
    """Every living process that works in the folder or below: pid and command line.

    A broker that runs in another root has the same folder below that root.
    """
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            if f"{folder}/" in f"{os.readlink(entry / 'cwd')}/":
                found[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
        except (OSError, ValueError):
            continue
    return found


def eventually(condition: Callable[[], object], within_s: float = 10) -> bool:
    """Whether the condition comes to hold in time, as long as the machine makes it."""
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > within_s * slowness():
            return False
        time.sleep(0.02)
    return True
