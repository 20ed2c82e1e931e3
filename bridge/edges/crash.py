"""Ending the process at a labelled step, for tests of what a crash there leads to."""

import os
import signal
from collections import Counter
from collections.abc import Callable


def at(place: str) -> Callable[[str, str], None]:
    """A listener that kills the process as `kill -9` does.

    `place` is a label (`before-ack`), perhaps with how often it must be passed (`line:5`), perhaps with the one event
    that counts (`claimed@payment-1`).
    """
    step_of, _, event = place.partition("@")
    label, _, times = step_of.partition(":")
    wanted = int(times or 1)
    seen: Counter[str] = Counter()

    def reached(step: str, event_id: str) -> None:
        if event and event_id != event:
            return
        seen[step] += 1
        if step == label and seen[step] == wanted:
            os.kill(os.getpid(), signal.SIGKILL)

    return reached
