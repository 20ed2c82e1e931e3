"""Two bridges that take turns at one queue in the same seconds, and what each of them costs an event.

The machine changes its pace from minute to minute by more than most changes do, so runs one after the other could not
tell them apart.
"""

import time
import urllib.request
from dataclasses import dataclass

from deploy.local.node import free_port
from tests.bench import topology
from tests.bench.api import Script
from tests.bench.contestants import HOST, Contestant
from tests.bench.machine import cpu_s, side_threads_s
from tests.bench.rig import START_S, Rig, Run, Stuck

LIMIT_S = 90.0
SETTLED = "bridge_settlements_total{"


@dataclass(frozen=True)
class Load:
    """So many conversations with this script for the two together, each with at most `concurrent` in hand."""

    script: Script
    concurrent: int
    conversations: int
    users: int


@dataclass(frozen=True)
class Costs:
    """CPU per event of each, what of the first one's went to threads beside its main one, and faults of both."""

    cpu_us: tuple[float, float]
    threads_us: float
    faults: dict[str, int]


def side_by_side(rig: Rig, pair: tuple[Contestant, Contestant], load: Load) -> Costs:
    """Let both work on the load, after a warm-up. Raises Stuck, also where one of them had no event."""
    ports = free_port(), free_port()
    first, second = pair
    with (
        rig.run(first, load.concurrent, load.script, http_port=ports[0]) as run,
        rig.start(second, load.concurrent, load.script, http_port=ports[1]) as other,
    ):
        pids = run.pid, other.pid
        run.until(lambda: rig.link.counts(topology.INBOUND)[1] >= len(pids), START_S, lambda: "one does not consume")
        for what, count in (("warm-up", load.users), ("run", load.conversations)):
            settled, spent, threads_s = _settled(ports), [cpu_s(pid) for pid in pids], side_threads_s(run.pid)
            _play(rig, run, load, count)
            handled = _await(ports, settled, count, what)
            spent = [cpu_s(pid) - before_s for pid, before_s in zip(pids, spent, strict=True)]
            threads_s = side_threads_s(run.pid) - threads_s
        faults = run.drain()
    lines = load.script.lines
    one_us, other_us = (cpu / count / lines * 1e6 for cpu, count in zip(spent, handled, strict=True))
    return Costs((one_us, other_us), threads_s / handled[0] / lines * 1e6, faults)


def _play(rig: Rig, run: Run, load: Load, conversations: int) -> None:
    rig.link.purge(topology.SUBSCRIBER)
    run.begin(load.script)
    run.publish(conversations, users=load.users)
    run.await_queued(conversations * load.script.lines, LIMIT_S)


def _settled(ports: tuple[int, ...]) -> list[float]:
    """How many events each has settled, by its metrics."""
    counts = []
    for port in ports:
        with urllib.request.urlopen(f"http://{HOST}:{port}/metrics", timeout=START_S) as response:
            lines = response.read().decode().splitlines()
        counts.append(sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(SETTLED)))
    return counts


def _await(ports: tuple[int, ...], before: list[float], count: int, what: str) -> list[float]:
    """Until all is settled; how many by each."""
    deadline_s = time.monotonic() + START_S
    while time.monotonic() < deadline_s:
        handled = [now - then for now, then in zip(_settled(ports), before, strict=True)]
        if sum(handled) >= count and all(handled):
            return handled
    raise Stuck(f"{what}: not all of {count} events are settled, or one bridge had none")
