"""Ending the process at a labelled step, for tests of what a crash there leads to."""

import os
import signal
from collections import Counter
from collections.abc import Callable


def at(labels: str) -> Callable[[str], None]:
    """A listener that kills the process as `kill -9` does. `labels`: `before-ack`, or `line:5` for the fifth time."""
    label, _, times = labels.partition(":")
    wanted = int(times or 1)
    seen: Counter[str] = Counter()

    def reached(step: str) -> None:
        seen[step] += 1
        if step == label and seen[step] == wanted:
            os.kill(os.getpid(), signal.SIGKILL)

    return reached
