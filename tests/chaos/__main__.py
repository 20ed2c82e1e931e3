"""The public fault ledger: everything goes wrong, many times, and three independent records are compared."""

import argparse
import asyncio
import os
import platform
import random
import secrets
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tests.chaos import arena, field, report, summary
from tests.chaos.program import ROWS, Row
from tests.chaos.report import Result
from tests.chaos.setup import NotHere

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / ".local" / "chaos"
QUICK = 2


def main() -> int:
    """The exit status: 0 where everything was as it should be, 1 otherwise."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="amigo-chaos-") as scratch:
        Path(scratch).chmod(0o755)  # PostgreSQL runs as somebody else
        options.folder = options.keep or Path(scratch)
        results = asyncio.run(_all(options))
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; seed {options.seed}."
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "chaos.md").write_text(report.markdown(results, machine), encoding="utf-8")
    (options.out / "summary.md").write_text(summary.table(results), encoding="utf-8")
    (options.out / "chaos.json").write_text(report.as_json(results, machine), encoding="utf-8")
    print(f"\n{report.markdown(results, machine)}\nwritten to {options.out}")
    return 1 if any(result.verdict.findings or result.troubles for result in results) else 0


async def _all(options: argparse.Namespace) -> list[Result]:
    keep = options.out / "rows"
    rows = [row for row in ROWS if row.name in options.only]
    results = []
    async with arena.opened(options.folder) as made:
        for number, row in enumerate(rows, 1):
            _say(f"[{number}/{len(rows)}] {row.name}: {row.title}")
            result = await _row(made, _sized(row, options), options, keep)
            results.append(result)
            _say(f"        {report.line(result)}")
    return results


async def _row(made: arena.Arena, row: Row, options: argparse.Namespace, keep: Path) -> Result:
    result = (report.load(keep, row.name) if options.resume else None) or Result(row.name, row.title, options.seed)
    left = [part for part in _batches(row, options.batch) if part[0] not in result.batches]
    started = time.monotonic()
    while left:
        try:
            async with field.opened(made, row.name, row.setup) as place:
                while left:
                    await _batch(place, row, result, *left.pop(0), keep=keep)
        except NotHere as error:
            result.not_covered = str(error)
            break
        except Exception as error:
            traceback.print_exc()
            result.troubles.append(f"{type(error).__name__}: {error}; repeat with {_again(row, result)}")
    result.seconds += time.monotonic() - started
    result.save(keep)
    return result


async def _batch(place: field.Field, row: Row, result: Result, number: int, times: int, *, keep: Path) -> None:
    result.batches.append(number)
    place.begin(f"{row.name}-{number}", random.Random(f"{result.seed} {row.name} {number}"))
    await row.run(place, times)
    result.times += times
    result.verdict.add(place.verdict)
    result.recoveries_s += place.recoveries_s
    result.save(keep)
    for what in place.verdict.findings:
        _say(f"        ! {what}")
    if place.verdict.findings:
        _say(f"        ! repeat with {_again(row, result)}; logs in {place.folder}")


def _again(row: Row, result: Result) -> str:
    return f"./dev chaos --only {row.name} --times {row.times} --seed {result.seed} --batch {result.batches[-1]}"


def _batches(row: Row, only: int | None) -> Iterator[tuple[int, int]]:
    """The number of each batch, and how many faults it has."""
    for number, start in enumerate(range(0, row.times, row.batch), 1):
        if only in (None, number):
            yield number, min(row.batch, row.times - start)


def _sized(row: Row, options: argparse.Namespace) -> Row:
    times = options.times or (min(row.times, QUICK) if options.quick else row.times)
    return replace(row, times=times)


def _say(what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {what}", flush=True)


def _options() -> argparse.Namespace:
    names = [row.name for row in ROWS]
    parser = argparse.ArgumentParser(prog="dev chaos", description=__doc__)
    parser.add_argument("--times", type=int, metavar="N", help="how often each fault is injected")
    parser.add_argument("--quick", action="store_true", help=f"each fault {QUICK} times")
    parser.add_argument("--only", action="append", choices=names, metavar="ROW", help="only this row; may be repeated")
    parser.add_argument("--seed", type=int, help="what was random in an earlier run; it is printed with each finding")
    parser.add_argument("--batch", type=int, metavar="N", help="only this batch of a row")
    parser.add_argument("--resume", action="store_true", help="go on where an earlier run was ended")
    parser.add_argument("--list", action="store_true", help="print the rows and end")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep data and logs in this new folder")
    parser.add_argument("--out", type=Path, default=OUT, help=f"folder for chaos.md and chaos.json ({OUT})")
    options = parser.parse_args()
    if options.list:
        print("\n".join(f"{row.name:24} {row.times:5} x {row.title}" for row in ROWS))
        sys.exit(0)
    options.only = set(options.only or names)
    options.seed = secrets.randbelow(10**6) if options.seed is None else options.seed
    return options


if __name__ == "__main__":
    sys.exit(main())
