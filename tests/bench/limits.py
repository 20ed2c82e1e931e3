"""`./dev bench limits`: many users' events against the API's limits in virtual time, and what sharing the limits costs.

The cost is that of a call's place in PostgreSQL, for two processes beside each other, at so many calls a second each;
beside it the same for a bare `SELECT 1`, on a connection of the same process: what the machine allows.
"""

import argparse
import asyncio
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import get_args

import asyncpg
import uvloop

from bridge.core.delivery.rate_limits import LIMITS, LimitFigures, LimitHeaders, LimitScope
from bridge.core.errors import Limited
from bridge.edges.ledger.postgresql.limits import SERVER, SharedLimits
from tests.bench import machine
from tests.support.fakes import FakeLog, VirtualTimeLoop
from tests.support.limited_agent import ManyUsers, Windows
from tests.support.postgres import PostgresServer

REPLICAS, ANSWER_S, WARM_S, BARE_S, SHARED_S = 2, 0.02, 5.0, 5.0, 15.0
OPERATIONS = ("interact", "list", "messages", "tags")


def main(arguments: Sequence[str]) -> int:
    options = _options(arguments)
    if options.replica:
        uvloop.run(_replica(options.replica, options.rate, options.users))
        return 0
    print(", ".join(f"{key} {value}" for key, value in machine.description("").items() if value), flush=True)
    faults = [fault for windows in options.windows for fault in _played(options.users, options.events, windows)]
    for rate in options.rates:
        _shared(rate, options.users)
    return 1 if faults else 0


def _played(users: int, events: int, windows: Windows) -> list[str]:
    began_s = time.process_time()
    played = ManyUsers(users, events, windows)
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(played.play())
    refused, cpu_s = sum(played.agent.refusals.values()), time.process_time() - began_s
    print(
        f"{users:,} users x {events} events, windows {windows}: {played.took_s:.1f} s of the {played.least_s:.1f} s "
        f"that the limits take, {refused} refused, {cpu_s:.0f} s of CPU"
    )
    for fault in played.faults[:9]:
        print(f"  ! {fault}")
    return played.faults


def _shared(rate: float, users: int) -> None:
    with tempfile.TemporaryDirectory(prefix="limits-") as folder:
        Path(folder).chmod(0o755)  # PostgreSQL runs as somebody else
        server = PostgresServer(Path(folder))
        server.start()
        try:
            url = server.url(asyncio.run(server.database()))
            command = [sys.executable, "-m", "tests.bench", "limits", "--replica", url, "--rate", str(rate)]
            replicas = [
                subprocess.Popen([*command, "--users", str(users)], stdout=subprocess.PIPE, text=True)
                for _ in range(REPLICAS)
            ]
            for each in replicas:
                print(f"{rate:g} calls/s: {each.communicate()[0].strip()}", flush=True)
        finally:
            server.stop()


async def _replica(url: str, rate: float, users: int) -> None:
    bare = await asyncpg.connect(url, server_settings=SERVER)
    figures = LimitFigures(LIMITS, scope=LimitScope.AUTO)
    async with SharedLimits(url, figures, FakeLog()) as limiter:

        async def call() -> None:
            try:
                admitted = await limiter.admit(f"user-{random.randrange(users)}", random.choice(OPERATIONS))
            except Limited:
                return
            asyncio.get_running_loop().call_later(ANSWER_S, limiter.answered, admitted, LimitHeaders())

        turn = asyncio.Lock()

        async def select() -> None:
            async with turn:
                await bare.fetchval("SELECT 1")

        await _latencies(rate, WARM_S, call)
        before = await _latencies(rate, BARE_S, select)
        trips = limiter.round_trips
        shared = await _latencies(rate, SHARED_S, call)
        trips = limiter.round_trips - trips
        bares = sorted([*before, *await _latencies(rate, BARE_S, select)])
    await bare.close()
    figures_ms = {"p50": _ms(shared, 0.5), "p99": _ms(shared, 0.99)}
    bare_ms = {"p50": _ms(bares, 0.5), "p99": _ms(bares, 0.99)}
    ratios = {name: round(figures_ms[name] / bare_ms[name], 2) for name in bare_ms}
    said = {"admit_ms": figures_ms, "select_1_ms": bare_ms, "ratio": ratios, "trips_a_call": trips / len(shared)}
    print(json.dumps(said))


async def _latencies(rate: float, seconds: float, once: Callable[[], Awaitable[object]]) -> list[float]:
    """Calls at random moments, whether or not the ones before have returned; how long each took, sorted."""
    took: list[float] = []

    async def timed() -> None:
        began_s = time.perf_counter()
        await once()
        took.append(time.perf_counter() - began_s)

    at_s = time.monotonic()
    end_s = at_s + seconds
    async with asyncio.TaskGroup() as group:
        while (at_s := at_s + random.expovariate(rate)) < end_s:
            await asyncio.sleep(at_s - time.monotonic())
            group.create_task(timed())
    return sorted(took)


def _ms(took: Sequence[float], share: float) -> float:
    return round(1000 * took[int(share * len(took))], 2)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench limits", description=__doc__.split("\n")[0])
    parser.add_argument("--users", type=int, default=1000, help="how many users there are (1000)")
    parser.add_argument("--events", type=int, default=20, help="how many events each of them has (20)")
    parser.add_argument(
        "--windows", action="append", choices=get_args(Windows), help="when the API's windows begin (all three)"
    )
    parser.add_argument(
        "--rates", type=float, nargs="*", default=[20.0, 100.0], help="calls a second of each replica (20 100)"
    )
    parser.add_argument("--replica", help=argparse.SUPPRESS)
    parser.add_argument("--rate", type=float, default=20.0, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    options.windows = options.windows or list(get_args(Windows))
    return options
