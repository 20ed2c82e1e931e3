"""What became of each row, kept on disk; shown as a table."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.matrix.rows import ROWS, Row

SUMMARY = re.compile(r"^=+ (?:[^=]* in [0-9.]+s(?: \([0-9:]+\))?) =+$", re.MULTILINE)
COUNT = re.compile(r"(\d+) (passed|failed|errors?|skipped|xfailed|xpassed)")
WRONG = ("failed", "error", "errors", "xpassed")


@dataclass
class Step:
    """One command of a row."""

    name: str
    status: int
    said: str
    seconds: float


@dataclass
class Result:
    """Of one row; `trouble` is why it could not be run to its end. `commit` and `date` are those of the run."""

    name: str
    commit: str
    date: str
    command: str
    python: str = ""
    rabbitmq: str = ""
    steps: list[Step] = field(default_factory=list)
    trouble: str = ""

    @property
    def good(self) -> bool:
        return not self.trouble and bool(self.steps) and all(step.status == 0 for step in self.steps)

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{self.name}.json").write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")


def load(folder: Path, row: Row) -> Result | None:
    """What was kept of the row's latest run."""
    path = folder / f"{row.name}.json"
    if not path.exists():
        return None
    said: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return Result(**{**said, "steps": [Step(**step) for step in said["steps"]]})


def kept(folder: Path) -> list[Result]:
    """The latest result of every row that has been run, in the order of the table."""
    return [result for row in ROWS if (result := load(folder, row)) is not None]


def counts(output: str) -> str:
    """What pytest counted: `1234 passed, 2 failed`; empty where it did not come to its end."""
    summaries = SUMMARY.findall(output)
    if not summaries:
        return ""
    found = COUNT.findall(summaries[-1])
    ordered = sorted(found, key=lambda pair: pair[1] != "passed")
    return ", ".join(f"{number} {what}" for number, what in ordered)


def markdown(results: Sequence[Result]) -> str:
    """The table, and under it what is not as it should be."""
    titles = ("tests run on", "Python", "RabbitMQ", "`./dev test`", "wheel", "date", "commit")
    lines = ["| " + " | ".join(titles) + " |", "| --- " * len(titles) + "|"]
    lines += ["| " + " | ".join(_cells(result)) + " |" for result in results]
    wrong = [f"* {_title(result)}: {_wrong(result)}" for result in results if not result.good]
    return "\n".join([*lines, *(["", "Not as it should be:", "", *wrong] if wrong else [])]) + "\n"


def line(result: Result) -> str:
    """One row in words, for the terminal."""
    steps = ", ".join(f"{step.name}: {step.said} ({step.seconds:.0f} s)" for step in result.steps)
    verdict = "good" if result.good else "NOT GOOD"
    return ": ".join(part for part in (verdict, steps, result.trouble) if part)


def _cells(result: Result) -> Sequence[str]:
    said = {step.name: step.said for step in result.steps}
    suite, wheel = said.get("suite", "not run"), said.get("wheel", "not run")
    return (_title(result), result.python, result.rabbitmq, suite, wheel, result.date, result.commit)


def _title(result: Result) -> str:
    return next(row.title for row in ROWS if row.name == result.name)


def _wrong(result: Result) -> str:
    broken = [f"{step.name} ended with status {step.status}" for step in result.steps if step.status]
    return ", ".join([*broken, *([result.trouble] if result.trouble else [])]) or "nothing was run"
