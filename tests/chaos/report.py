"""What was found, row by row: kept on disk after every batch, shown as a table."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.comparing import VIOLATIONS, Verdict

COLUMNS = (
    ("lost", ("lost",)),
    ("interactions too many", ("too_many",)),
    ("answers never heard", ("unheard",)),
    ("endings missing", ("missing",)),
    ("endings double", ("double",)),
    ("order", ("order", "changed")),
    ("acks too early", ("early_acks",)),
    ("void text shown", ("void_shown",)),
    ("conversations left open", ("unfinished",)),
)
"""The violations as they are shown, and of which counts each is made."""


@dataclass
class Result:
    """Of one row; `batches` are those that are done."""

    name: str
    title: str
    seed: int
    times: int = 0
    batches: list[int] = field(default_factory=list)
    verdict: Verdict = field(default_factory=Verdict)
    recoveries_s: list[float] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    not_covered: str = ""
    seconds: float = 0.0

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}.json"
        part = path.with_suffix(".part")
        part.write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")
        part.replace(path)


def load(folder: Path, name: str) -> Result | None:
    """What an earlier run has left of a row."""
    path = folder / f"{name}.json"
    if not path.exists():
        return None
    said: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return Result(**{**said, "verdict": Verdict(**said["verdict"])})


def quantile(values: Sequence[float], share: float) -> float | None:
    if not values:
        return None
    if len(values) == 1:
        return values[0]
    return statistics.quantiles(values, n=100, method="inclusive")[round(share * 100) - 1]


def markdown(results: Sequence[Result], machine: str) -> str:
    """The table, and under it what was not as it should be."""
    titles = ["fault", "times", "events", *(title for title, _ in COLUMNS), "uncertain", "recovery p50", "p99"]
    rows = [_row(result) for result in results if not result.not_covered]
    total = Verdict()
    for result in results:
        total.add(result.verdict)
    rows.append(_cells("**all**", sum(result.times for result in results), total, None, None))
    lines = ["| " + " | ".join(titles) + " |", "| --- |" + " ---: |" * (len(titles) - 1)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    findings = [
        f"* {result.name}: {what}" for result in results for what in [*result.verdict.findings, *result.troubles]
    ]
    parts = ["# What it survives", machine, "\n".join(lines)]
    not_covered = [f"* {one.title}: {one.not_covered}" for one in results if one.not_covered]
    if not_covered:
        parts += ["## Not covered here", "\n".join(not_covered)]
    if findings:
        parts += ["## Not as it should be", "\n".join(findings)]
    return "\n\n".join(parts) + "\n"


def as_json(results: Sequence[Result], machine: str) -> str:
    """The same for machines, with every recovery time."""
    return json.dumps({"machine": machine, "rows": [asdict(result) for result in results]}, indent=1)


def line(result: Result) -> str:
    """One row in words, for the terminal."""
    if result.not_covered:
        return f"not covered here: {result.not_covered}"
    verdict = result.verdict
    wrong = ", ".join(f"{getattr(verdict, name)} {name}" for name in VIOLATIONS if getattr(verdict, name))
    more = f", {verdict.uncertain} uncertain" if verdict.uncertain else ""
    p50, p99 = quantile(result.recoveries_s, 0.5), quantile(result.recoveries_s, 0.99)
    said = f"{result.times} times, {verdict.events} events: {wrong or 'no violation'}{more}"
    return f"{said}; recovery {_seconds(p50)} / {_seconds(p99)}"


def _row(result: Result) -> list[str]:
    p50, p99 = quantile(result.recoveries_s, 0.5), quantile(result.recoveries_s, 0.99)
    return _cells(result.title, result.times, result.verdict, p50, p99)


def _cells(title: str, times: int, verdict: Verdict, p50: float | None, p99: float | None) -> list[str]:
    counts = [str(sum(getattr(verdict, name) for name in names)) for _, names in COLUMNS]
    return [title, f"{times:,}", f"{verdict.events:,}", *counts, str(verdict.uncertain), _seconds(p50), _seconds(p99)]


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.1f} s"
