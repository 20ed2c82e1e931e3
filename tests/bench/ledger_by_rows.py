"""`./dev bench ledger`: what the ledger costs once it remembers millions of events, beside an empty one.

    made by the ledger's own code ▸ events, by turns here and there ▸ all that is too old is purged while claims come

An event is a claim with its first request, its ending, and that it is complete: as where answers come as a whole.
"""

import argparse
import asyncio
import gc
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bridge.core.answer.sent_ending import SentEnding, SentTo
from bridge.core.delivery.progress import Progress, Requested, RequestKind
from bridge.core.ledger.ledger_entry import Entry, State
from tests.bench import machine
from tests.bench.large_ledgers import LargeLedger, large_postgresql, large_sqlite

ROWS, ROUNDS, EVENTS, AT_ONCE = 10_000_000, 7, 4_000, 50
DIGEST = bytes(range(32))
ENDING = b'{"type":"interaction-complete","full_message":"' + b"x" * 900 + b'"}'
CLAIM_EVERY_S = 0.005
LIMIT, BYTES, PAUSE_MS = 1.2, 250, 5.0
KINDS: dict[str, Callable[[Path, str], Any]] = {"sqlite": large_sqlite, "postgresql": large_postgresql}


@dataclass
class Cost:
    """CPU per event (µs) of this process and of the server, and how long commits took (ms), a figure a round."""

    cpu_us: list[float] = field(default_factory=list)
    server_us: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)


def main(arguments: Sequence[str]) -> int:
    options = _options(arguments)
    print(", ".join(f"{key} {value}" for key, value in machine.description("").items() if value))
    reached = [asyncio.run(_measured(kind, options)) for kind in options.kind]
    return 0 if all(reached) else 1


async def _measured(kind: str, options: argparse.Namespace) -> bool:
    """Measure one kind of ledger and print it. True where all that is aimed at was reached."""
    async with _pair(kind, options.folder) as (empty, full):
        began_s = time.perf_counter()
        await full.fill(options.rows)
        size = await full.size_bytes()
        print(f"{kind}: {options.rows:,} events laid aside in {time.perf_counter() - began_s:,.0f} s", flush=True)
        row_bytes = size / options.rows
        costs = await _by_turns((empty, full), options.rounds)
        verdicts = [_compared(kind, *costs), _below(f"{kind}: bytes a row", row_bytes, BYTES)]
        calm_ms = await _claims_during(full, _nothing(full))
        purged_ms = await _claims_during(full, full.purge_all())
        gone = await full.size_bytes()
        print(f"{kind}: a claim took at most {calm_ms:.1f} ms, while purging {purged_ms:.1f} ms")
        verdicts.append(_below(f"{kind}: longest step of purging, ms", max(full.steps_ms), PAUSE_MS))
        if full.steps_cpu_ms:
            print(f"{kind}: of which CPU time, ms: {max(full.steps_cpu_ms):.2f}")
        steps = statistics.quantiles(full.steps_ms, n=1000)
        print(f"{kind}: steps of purging, ms: p50 {steps[499]:.2f}, p99 {steps[989]:.2f}, p99.9 {steps[998]:.2f}")
        aside_us, purge_us = full.aside_cpu_s / options.rows * 1e6, full.purge_cpu_s / options.rows * 1e6
        print(f"{kind}: CPU µs an event: {aside_us:.1f} to lay it aside, {purge_us:.1f} to forget it")
        print(f"{kind}: {size / 1e6:,.0f} MB before purging, {gone / 1e6:,.0f} MB after", flush=True)
    return all(verdicts)


@asynccontextmanager
async def _pair(kind: str, folder: Path | None) -> AsyncIterator[tuple[LargeLedger, LargeLedger]]:
    async with AsyncExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=folder, prefix="ledger-bench-")))
        os.chmod(place, 0o755)
        empty: LargeLedger = await stack.enter_async_context(KINDS[kind](place, "empty"))
        full: LargeLedger = await stack.enter_async_context(KINDS[kind](place, "full"))
        yield empty, full


async def _by_turns(pair: tuple[LargeLedger, LargeLedger], rounds: int) -> tuple[Cost, Cost]:
    """The costs of both; the first round, in which caches fill, does not count."""
    costs = Cost(), Cost()
    for number in range(rounds + 1):
        turns = [0, 1] if number % 2 else [1, 0]
        for which in turns:
            cost = costs[which] if number else Cost()
            await _events(pair[which], cost, f"{number}")
    return costs


async def _events(large: LargeLedger, cost: Cost, name: str) -> None:
    """So many events, AT_ONCE at a time."""
    large.commits_ms.clear()
    gc.collect()
    ids = iter([f"{name}-{os.urandom(8).hex()}" for _ in range(EVENTS)])

    async def worker() -> None:
        for event_id in ids:
            await _event(large, event_id)

    server_s, own_s = large.server_s(), time.process_time()
    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    await large.ledger.find("the last complete ones are written by then")
    cost.cpu_us.append((time.process_time() - own_s) / EVENTS * 1e6)
    cost.server_us.append((large.server_s() - server_s) / EVENTS * 1e6)
    cost.p99_ms.append(statistics.quantiles(large.commits_ms, n=100)[98])


async def _event(large: LargeLedger, event_id: str) -> None:
    progress = Progress().after(Requested(RequestKind.CREATE, os.urandom(6).hex(), os.urandom(12).hex()))
    await large.ledger.claim(event_id, DIGEST, progress)
    entry = answered(event_id, progress)
    await large.ledger.write(entry)
    large.ledger.write_soon(Entry(event_id, State.COMPLETE, DIGEST, progress, 0, ENDING, sent=entry.sent))


def answered(event_id: str, progress: Progress) -> Entry:
    """The entry of an event whose ending is about to be published."""
    headers = {"event_id": event_id, "user_id": "user-1", "service_id": "5f" * 12, "channel": "sms", "attempt": 1}
    sent = SentEnding("interaction-complete", 1_700_000_000, headers, (SentTo("agent.events", "text.sms.x"),))
    return Entry(event_id, State.ANSWERED, DIGEST, progress, 0, ENDING, sent=sent)


async def _claims_during(large: LargeLedger, work: Awaitable[None]) -> float:
    """The longest claim (ms) of those that come one by one until the work is done."""
    task, longest_s = asyncio.ensure_future(work), 0.0
    while not task.done():
        began_s = time.perf_counter()
        await large.ledger.claim(os.urandom(12).hex(), DIGEST)
        longest_s = max(longest_s, time.perf_counter() - began_s)
        await asyncio.sleep(CLAIM_EVERY_S)
    await task
    return longest_s * 1000


async def _nothing(large: LargeLedger) -> None:
    """Claims alone, for as long as it takes to see what the disk does to them."""
    for _ in range(1_000):
        await large.ledger.find("nobody knows it")
        await asyncio.sleep(CLAIM_EVERY_S)


def _compared(kind: str, empty: Cost, full: Cost) -> bool:
    verdicts = []
    for name, before, after in (
        ("CPU µs/event", empty.cpu_us, full.cpu_us),
        ("server's CPU µs/event", empty.server_us, full.server_us),
        ("p99 of a commit, ms", empty.p99_ms, full.p99_ms),
    ):
        if not any(before):
            continue
        figures = f"{statistics.median(before):.1f} empty, {statistics.median(after):.1f} full"
        ratio = statistics.median([b / a for a, b in zip(before, after, strict=True)])
        verdicts.append(_below(f"{kind}: {name}: {figures}, ratio", ratio, LIMIT))
    return all(verdicts)


def _below(what: str, figure: float, limit: float) -> bool:
    verdict = "reached" if figure <= limit else "MISSED"
    print(f"{what} {figure:.2f} (at most {limit:g}: {verdict})", flush=True)
    return figure <= limit


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench ledger", description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=ROWS, metavar="N", help=f"events that are remembered ({ROWS:,})")
    parser.add_argument(
        "--rounds", type=int, default=ROUNDS, metavar="N", help=f"how often both are measured ({ROUNDS})"
    )
    parser.add_argument("--kind", action="append", choices=list(KINDS), help="only this one; may be repeated")
    parser.add_argument("--folder", type=Path, help="where the ledgers are made: on the disk that is to be measured")
    options = parser.parse_args(arguments)
    options.kind = options.kind or list(KINDS)
    return options


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
