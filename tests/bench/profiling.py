"""Where the bridge's time goes: the fill scenario, or that with many open streams, under cProfile.

cProfile makes every Python call dearer, and small functions dearest. So the table is in shares, and in microseconds
only as those shares of what an event cost the bridge without the profiler, in the same scenario just before.
"""

import pstats
from collections import defaultdict
from pathlib import Path
from typing import Any

from tests.bench import scenarios
from tests.bench.contestants import BRIDGE
from tests.bench.rig import Rig

TOP = 40
WAITING = ("method 'poll'", "epoll", "run_until_complete", "<built-in method builtins.exec>")
Stats = dict[tuple[str, int, str], tuple[int, int, float, float, Any]]


def profile(rig: Rig, scenario: str, sizes: scenarios.Sizes, path: Path) -> str:
    """The costliest functions and packages, per event, as text. The raw profile stays in `path`."""
    cost = _cost(scenarios.SCENARIOS[scenario](rig, BRIDGE, sizes))
    figures = scenarios.SCENARIOS[scenario](rig, BRIDGE, sizes, profile=path)
    stats: Stats = pstats.Stats(str(path)).stats  # type: ignore[attr-defined]
    working = {place: row for place, row in stats.items() if not any(word in place[2] for word in WAITING)}
    total_s = sum(row[2] for row in working.values())
    lines = [
        f"{scenario}: {cost:.0f} µs an event without the profiler, {_cost(figures):.0f} µs with it",
        "",
        "share    µs/event    of its own, by package",
        *_packages(working, total_s, cost),
        "",
        "share    µs/event  calls/event    of its own, by function",
        *_functions(working, total_s, cost, _events(working)),
    ]
    return "\n".join(lines)


def _cost(figures: scenarios.Figures) -> float:
    return float(figures["cpu_us"] if "cpu_us" in figures else figures["levels"][-1]["cpu_us"])


def _events(stats: Stats) -> int:
    """How many lines the bridge took: one call of the conversation's `receive` each."""
    return sum(row[1] for place, row in stats.items() if place[2] == "receive" and "conversation" in place[0]) or 1


def _packages(stats: Stats, total_s: float, cost: float) -> list[str]:
    sums: dict[str, float] = defaultdict(float)
    for place, row in stats.items():
        sums[_package(place[0])] += row[2]
    ordered = sorted(sums.items(), key=lambda item: -item[1])
    return [f"{s / total_s:5.1%}  {s / total_s * cost:10.1f}    {name}" for name, s in ordered if s / total_s > 0.004]


def _functions(stats: Stats, total_s: float, cost: float, events: int) -> list[str]:
    ordered = sorted(stats.items(), key=lambda item: -item[1][2])[:TOP]
    return [
        f"{row[2] / total_s:5.1%}  {row[2] / total_s * cost:10.1f}  {row[1] / events:11.2f}    "
        f"{_package(place[0])} {Path(place[0]).name}:{place[1]} {place[2]}"
        for place, row in ordered
    ]


def _package(file: str) -> str:
    parts = Path(file).parts
    if "site-packages" in parts:
        return parts[parts.index("site-packages") + 1]
    if "bridge" in parts:
        return "/".join(parts[parts.index("bridge") : -1])
    return next((name for name in ("asyncio", "json", "logging") if name in parts), "python")
