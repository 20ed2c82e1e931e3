"""`python -m tests.bench compare BEFORE [AFTER]`: two versions of the bridge, many pairs of runs, a ratio of each.

In `fill` the two of a pair take turns at one queue in the same seconds, and CPU per event is compared; in `webhooks`
one runs after the other, and webhooks per second of one core are. Which of the two comes first changes with each pair.
Exit status: 0 where they cannot be told apart by more than LIMIT, or the later one is better; 1 where it is worse; 2
usage, or runs that lost something or got stuck.
"""

import argparse
import gc
import math
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from tests.bench import hooks, machine
from tests.bench.amqp import AmqpError
from tests.bench.api import Script
from tests.bench.contestants import BRIDGE, ROOT, Contestant
from tests.bench.rig import Rig, Stuck
from tests.bench.side_by_side import Load, side_by_side
from tests.bench.topology import KIND_OF

LIMIT = 0.03
"""It counts as worse only where the whole interval lies beyond this."""
PAIRS = 15
CONFIDENCE = 0.95
LOAD = Load(Script(lines=40, size=250), concurrent=50, conversations=2_000, users=400)
HOOKS_S, HOOKS_A_S = 2.0, 1_000.0
Measure = Callable[[Rig, tuple[Contestant, Contestant]], tuple[float, float]]


class Faulty(Exception):
    """A run that lost something."""


@dataclass(frozen=True)
class Interval:
    """The median of the pairs' ratios, and where it lies with 95 % confidence."""

    median: float
    low: float
    high: float


def interval(ratios: Sequence[float]) -> Interval:
    """By order alone: it holds whatever the distribution. The whole range where there are fewer than six."""
    ordered, count = sorted(ratios), len(ratios)
    outside = cut = 0
    while True:  # how many at each end can be left out
        outside += math.comb(count, cut)
        if 2 * outside / 2**count > 1 - CONFIDENCE:
            break
        cut += 1
    first = max(0, cut - 1)
    return Interval(statistics.median(ordered), ordered[first], ordered[count - 1 - first])


def filled(rig: Rig, pair: tuple[Contestant, Contestant]) -> tuple[float, float]:
    """CPU per event of both, µs. Raises Faulty and Stuck."""
    costs = side_by_side(rig, pair, LOAD)
    if costs.faults:
        raise Faulty(f"faults: {costs.faults}")
    return costs.cpu_us


def poured(rig: Rig, pair: tuple[Contestant, Contestant]) -> tuple[float, float]:
    """Time of one core for a webhook of both, µs. Raises Faulty and Stuck."""
    costs = [hooks.pour(rig, contestant, HOOKS_S, HOOKS_A_S) for contestant in pair]
    for figures in costs:
        if figures["faults"]:
            raise Faulty(f"faults: {figures['faults']}")
    first, second = (1e6 / figures["core_webhooks_s"] for figures in costs)
    return first, second


MEASURES: dict[str, Measure] = {"fill": filled, "webhooks": poured}


def main(arguments: Sequence[str]) -> int:
    options = _options(arguments)
    machine.many_files()
    try:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="amigo-compare-")))
            before = _version(options.before, folder, "before")
            after = _version(options.after, folder, "after") if options.after else replace(BRIDGE, name="after")
            rig = stack.enter_context(Rig())
            gc.freeze()
            gc.disable()
            print(f"{options.after or 'this folder'} by {options.before}")
            print(", ".join(f"{key} {value}" for key, value in machine.description(rig.rabbitmq_version()).items()))
            worse = [_compared(rig, name, before, after, options.pairs) for name in options.scenario]
    except (Faulty, Stuck, AmqpError, subprocess.CalledProcessError) as error:
        print(f"bench compare: {error}", file=sys.stderr)
        return 2
    return 1 if any(worse) else 0


def _compared(rig: Rig, scenario: str, before: Contestant, after: Contestant, pairs: int) -> bool:
    """Measure all pairs and print them. True where the later version is worse."""
    rig.queue_kind = KIND_OF[scenario]
    ratios = []
    for number in range(pairs):
        pair = (before, after) if number % 2 == 0 else (after, before)
        costs = dict(zip((one.name for one in pair), MEASURES[scenario](rig, pair), strict=True))
        ratios.append(costs["after"] / costs["before"])
        figures = f"{costs['before']:6.1f} µs, {costs['after']:6.1f}: {ratios[-1]:.3f}"
        print(f"{scenario:8} {number + 1:2}/{pairs}  {figures}", flush=True)
        gc.collect()
    found = interval(ratios)
    worse = found.low > 1 + LIMIT
    verdict = "worse" if worse else "better" if found.high < 1 - LIMIT else "no worse"
    print(f"{scenario}: {found.median:.3f} ({found.low:.3f}..{found.high:.3f}) of the CPU time before: {verdict}\n")
    return worse


def _version(what: str, folder: Path, name: str) -> Contestant:
    """The bridge of a folder, or of a commit of this repository."""
    if Path(what).is_dir():
        return replace(BRIDGE, name=name, root=Path(what).resolve())
    root = folder / name
    root.mkdir()
    archive = subprocess.run(["git", "archive", what, "bridge"], cwd=ROOT, check=True, capture_output=True)
    tar = shutil.which("tar") or "tar"
    subprocess.run([tar, "-x"], cwd=root, input=archive.stdout, check=True)
    return replace(BRIDGE, name=name, root=root)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench compare", description=__doc__.split("\n")[0])
    parser.add_argument("before", help="a commit of this repository, or a folder with the bridge's code")
    parser.add_argument("after", nargs="?", help="the same; this folder where none is named")
    parser.add_argument("--pairs", type=int, default=PAIRS, metavar="N", help=f"how many pairs of runs ({PAIRS})")
    parser.add_argument("--scenario", action="append", choices=list(MEASURES), help="only this one; may be repeated")
    options = parser.parse_args(arguments)
    options.scenario = options.scenario or list(MEASURES)
    return options
