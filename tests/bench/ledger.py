"""The scenario `ledger`: what the ledger costs, by two bridges that take turns at one queue in the same seconds.

One of them remembers nothing. The machine changes its pace from minute to minute by more than the ledger costs, so runs
one after the other could not tell.
"""

import time
import urllib.request
from typing import Any

from deploy.local.node import free_port
from tests.bench import topology
from tests.bench.api import Script
from tests.bench.contestants import BRIDGE, FORGETFUL, HOST
from tests.bench.machine import cpu_s, side_threads_s
from tests.bench.rig import START_S, Rig, Run, Stuck

LIMIT_S = 90.0
SETTLED = "bridge_settlements_total{"


def compare(rig: Rig, script: Script, concurrent: int, conversations: int, users: int) -> dict[str, Any]:
    """So many conversations, `concurrent` at a time in each; CPU per event of both, and what the ledger adds to it.

    `thread_us` is what the ledger's own thread takes of it: the bridge has no other that works.
    """
    ports = free_port(), free_port()
    with (
        rig.run(BRIDGE, concurrent, script, http_port=ports[0]) as run,
        rig.start(FORGETFUL, concurrent, script, http_port=ports[1]) as other,
    ):
        pids = run.pid, other.pid
        run.until(lambda: rig.link.counts(topology.INBOUND)[1] >= len(pids), START_S, lambda: "one does not consume")
        for what, count in (("warm-up", users), ("run", conversations)):
            settled, spent, thread_s = _settled(ports), [cpu_s(pid) for pid in pids], side_threads_s(run.pid)
            _play(rig, run, script, count, users)
            handled = _await(ports, settled, count, what)
            spent = [cpu_s(pid) - before_s for pid, before_s in zip(pids, spent, strict=True)]
            thread_s = side_threads_s(run.pid) - thread_s
        faults = run.drain()
    own_us, other_us = (cpu / count / script.lines * 1e6 for cpu, count in zip(spent, handled, strict=True))
    return {
        "cpu_us": own_us,
        "thread_us": thread_s / handled[0] / script.lines * 1e6,
        "forgetful_us": other_us,
        "share": own_us / other_us - 1,
        "repeats": 0,
        "faults": faults,
    }


def _play(rig: Rig, run: Run, script: Script, conversations: int, users: int) -> None:
    rig.link.purge(topology.SUBSCRIBER)
    run.begin(script)
    run.publish(conversations, users=users)
    run.await_queued(conversations * script.lines, LIMIT_S)


def _settled(ports: tuple[int, ...]) -> list[float]:
    """How many events each has settled, by its metrics."""
    found = []
    for port in ports:
        with urllib.request.urlopen(f"http://{HOST}:{port}/metrics", timeout=START_S) as response:
            lines = response.read().decode().splitlines()
        found.append(sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(SETTLED)))
    return found


def _await(ports: tuple[int, ...], before: list[float], count: int, what: str) -> list[float]:
    """Until all is settled; how many by each."""
    deadline_s = time.monotonic() + START_S
    while time.monotonic() < deadline_s:
        handled = [now - then for now, then in zip(_settled(ports), before, strict=True)]
        if sum(handled) >= count and all(handled):
            return handled
    raise Stuck(f"{what}: not all of {count} events are settled, or one bridge had none")
