"""The bridge with samples taken of where it is: `python -m tests.bench.profiled FILE run --config …`.

A sample every few milliseconds of CPU time (not of time spent waiting), between SIGUSR1 and SIGUSR2. A tracing profiler
would make the event several times dearer, small functions most of all; this costs next to nothing. FILE is written at
the end: JSON rows of file, line, function, samples in it, samples in it or in what it calls and awaits.
"""

import json
import signal
import sys
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType

from bridge.cli.main import main

EVERY_S = 0.001
"""As far as the system's clock tick allows."""


class Sampler:
    """Counts."""

    def __init__(self) -> None:
        self._own: Counter[CodeType] = Counter()
        self._under: Counter[CodeType] = Counter()

    def start(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_PROF, EVERY_S, EVERY_S)

    def stop(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)

    def sample(self, _: int, frame: FrameType | None) -> None:
        if frame is not None:
            self._own[frame.f_code] += 1
        under: set[CodeType] = set()
        while frame is not None:
            under.add(frame.f_code)
            frame = frame.f_back
        self._under.update(under)

    def write(self, path: Path) -> None:
        rows = [
            (code.co_filename, code.co_firstlineno, code.co_qualname, self._own[code], under)
            for code, under in self._under.items()
        ]
        path.write_text(json.dumps(rows), encoding="utf-8")


def run() -> None:
    path, sampler = Path(sys.argv.pop(1)), Sampler()
    signal.signal(signal.SIGPROF, sampler.sample)
    signal.signal(signal.SIGUSR1, sampler.start)
    signal.signal(signal.SIGUSR2, sampler.stop)
    try:
        main()
    finally:
        sampler.stop()
        sampler.write(path)


if __name__ == "__main__":
    run()
