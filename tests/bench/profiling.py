"""Where the bridge's time goes, in one scenario, per event: samples of its stack, scaled to an event's CPU time."""

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tests.bench import scenarios
from tests.bench.contestants import BRIDGE
from tests.bench.rig import Rig

TOP = 40
SMALLEST_SHARE, LARGEST_SHARE = 0.005, 0.99
PROFILED = ("fill", "streams")
LONG_ENOUGH_S = 15.0
LOOP = "uvloop and the kernel"


@dataclass(frozen=True)
class Row:
    """A function: how many samples were taken in it, and in it or in what it calls and awaits."""

    file: str
    line: int
    function: str
    own: int
    under: int

    @property
    def package(self) -> str:
        parts = Path(self.file).parts
        if self.function.startswith("Runner.run"):
            return LOOP  # the loop itself is no Python: what it does shows as its caller's
        if "site-packages" in parts:
            return parts[parts.index("site-packages") + 1]
        if "bridge" in parts:
            return "/".join(parts[parts.index("bridge") : -1])
        return next((name for name in ("asyncio", "json", "logging") if name in parts), "python")

    @property
    def name(self) -> str:
        return f"{self.package:24} {Path(self.file).name}:{self.line} {self.function}"


def profile(rig: Rig, scenario: str, sizes: scenarios.Sizes, path: Path) -> str:
    """The costliest packages and functions as text. The samples stay in `path`."""
    sizes = replace(sizes, levels=sizes.levels[-1:], fill_s=LONG_ENOUGH_S, pace_s=LONG_ENOUGH_S)
    figures = scenarios.SCENARIOS[scenario](rig, BRIDGE, sizes, profile=path)
    cost_us = float(figures["cpu_us"] if "cpu_us" in figures else figures["levels"][-1]["cpu_us"])
    rows = [Row(*row) for row in json.loads(path.read_text(encoding="utf-8"))]
    total = sum(row.own for row in rows)
    packages: dict[str, int] = defaultdict(int)
    for row in rows:
        packages[row.package] += row.own
    ours = [row for row in rows if row.package.startswith("bridge")]

    def table(counts: Sequence[tuple[str, int]]) -> list[str]:
        ordered = sorted(counts, key=lambda item: -item[1])[:TOP]
        return [
            f"{count / total:6.1%}  {count / total * cost_us:8.1f}    {name}"
            for name, count in ordered
            if SMALLEST_SHARE < count / total < LARGEST_SHARE
        ]

    def of(chosen: Sequence[Row], count: Callable[[Row], int]) -> list[str]:
        return table([(row.name, count(row)) for row in chosen])

    return "\n".join(
        [
            f"{scenario}: {cost_us:.0f} µs of CPU an event, {total} samples",
            "\n share  µs/event    by package",
            *table(list(packages.items())),
            "\n share  µs/event    by function, without what it calls",
            *of(rows, lambda row: row.own),
            "\n share  µs/event    by function, with what it calls and awaits",
            *of(rows, lambda row: row.under),
            "\n share  µs/event    the bridge's own, with what they call and await",
            *of(ours, lambda row: row.under),
        ]
    )
