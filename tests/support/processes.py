"""What runs on this machine, as the kernel tells it."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.waiting import MAX_TURN_S, MIN_BOUND_S, slowness


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
    counted_s, turn_s = 0.0, time.monotonic()
    while not condition():
        if counted_s > max(within_s, MIN_BOUND_S) * slowness():
            return False
        time.sleep(0.02)
        counted_s += min(time.monotonic() - turn_s, MAX_TURN_S)
        turn_s = time.monotonic()
    return True
