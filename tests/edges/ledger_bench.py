"""What the ledger costs: CPU of the process for each call, beside doing nothing, at several rates of conversations.

python -m tests.edges.ledger_bench sqlite:////tmp/ledger-bench.db
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable

import uvloop

from bridge.core.ledger import Entry, State
from bridge.core.record import Record, Request
from bridge.edges.ledger.opening import open_ledger
from tests.fakes import FakeLog

SECONDS = 4.0
RATES = (10, 50, 200, 500)
ENDING = b'{"type": "interaction-complete", "full_message": "%s"}' % (b"word " * 400)
BETWEEN_S = 0.05
DIGEST = bytes(32)


class Nothing:
    """A ledger that costs nothing."""

    commits = 0

    async def claim(self, event_id: str, digest: bytes) -> None:
        await asyncio.sleep(0)

    async def write(self, entry: Entry) -> None:
        await asyncio.sleep(0)

    def write_soon(self, entry: Entry) -> None:
        pass


async def conversation(ledger: object, event_id: str, waits_s: list[float]) -> None:
    """Five calls, as an event makes them."""
    record = Record().requested(Request.CREATE)
    steps: list[Callable[[], Awaitable[object]]] = [lambda: ledger.claim(event_id, DIGEST)]  # type: ignore[attr-defined]
    for state in (State.REQUESTED, State.OPEN, State.ANSWERED):
        entry = Entry(event_id, state, DIGEST, record, ending=ENDING if state is State.ANSWERED else None)
        steps.append(lambda entry=entry: ledger.write(entry))  # type: ignore[attr-defined, misc]
    for step in steps:
        began_s = time.monotonic()
        await step()
        waits_s.append(time.monotonic() - began_s)
        await asyncio.sleep(BETWEEN_S)
    ledger.write_soon(Entry(event_id, State.COMPLETE, DIGEST, record, ending=ENDING))  # type: ignore[attr-defined]


async def load(ledger: object, rate: float, name: str) -> tuple[float, list[float]]:
    """CPU seconds, and what each call waited, of `rate` conversations a second for SECONDS."""
    waits_s: list[float] = []
    began_s, cpu_s = time.monotonic(), time.process_time()
    tasks = []
    for number in range(int(rate * SECONDS)):
        tasks.append(asyncio.create_task(conversation(ledger, f"{name}-{number}", waits_s)))
        await asyncio.sleep(max(0.0, began_s + number / rate - time.monotonic()))
    await asyncio.gather(*tasks)
    return time.process_time() - cpu_s, waits_s


async def main(url: str) -> None:
    """One line for each rate."""
    print("conv/s  waits  waits/commit  CPU/conversation  median wait  p99 wait")
    run = f"{time.time():.0f}"
    async with open_ledger(url, 3600, FakeLog()) as ledger:
        if ledger.trouble:
            raise SystemExit(ledger.trouble)
        for rate in RATES:
            idle_s, _ = await load(Nothing(), rate, "nothing")
            commits = ledger.commits
            busy_s, waits_s = await load(ledger, rate, f"{run}-{rate}")
            waits_s.sort()
            calls = len(waits_s)
            cpu_us = (busy_s - idle_s) / (rate * SECONDS) * 1e6
            print(
                f"{rate:6} {calls:6} {calls / (ledger.commits - commits):13.1f} {cpu_us:14.0f} µs"
                f" {waits_s[calls // 2] * 1e3:9.1f} ms {waits_s[int(calls * 0.99)] * 1e3:6.1f} ms"
            )


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
