"""What runs on this machine, as the kernel tells it."""

import time
from collections.abc import Callable
from pathlib import Path


def processes_in(folder: Path) -> dict[int, str]:
    """Every living process that works in the folder or below: pid and command line."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            if (entry / "cwd").resolve(strict=True).is_relative_to(folder):
                found[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
        except (OSError, ValueError):
            continue
    return found


def eventually(condition: Callable[[], object], within_s: float = 10) -> bool:
    """Whether the condition comes to hold in time."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
