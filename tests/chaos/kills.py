"""Faults that end processes: kill -9 at a labelled step, at a random moment, of one replica of several, and SIGTERM."""

import asyncio
import signal

from tests.chaos.field import Batch, Field, Unsettled
from tests.chaos.load import Load, More

ARMED_S = 60.0
"""How long it may take until an armed process comes to its step."""
POSTED_S = 30.0


def at_step(label: str, said: str = "", most: int = 4) -> Batch:
    """kill -9 at the first to `most`-th passing of a step; the next process is armed as well, the last one is not."""

    async def batch(field: Field, times: int) -> None:
        for _ in range(times):
            await die_at(field, label, said, most)
        field.replicas[0].start()
        await field.settle()

    return batch


async def die_at(field: Field, label: str, said: str = "", most: int = 4) -> None:
    """A process that comes to the step, with events that lead there; then everything must still be in a queue."""
    (bridge,) = field.replicas
    await bridge.stop()
    bridge.start(f"{label}:{field.dice.randint(1, most)}")
    await field.publish(6, said)
    status = await bridge.ended(2)
    waited_s = 2.0
    while status is None and waited_s < ARMED_S:
        await field.publish(2, said)
        status = await bridge.ended(2)
        waited_s += 2
    if status != -signal.SIGKILL:
        raise Unsettled(f"the process did not come to {label} within {ARMED_S:g} s: status {status}")
    await field.struck()
    await field.nothing_acked_early()


async def after_the_post(field: Field, times: int) -> None:
    """The API has the request and has not answered; it goes on without its client, or does not."""
    (bridge,) = field.replicas
    for _ in range(times):
        if not bridge.running:
            bridge.start()
            await bridge.ready()
        journal = await field.api.asked(0)
        before = journal[-1]["number"] if journal else 0
        delay_s = field.dice.uniform(0.2, 0.5)
        after = field.dice.choice(("", "[[fault:disconnect-commits]]"))
        await field.publish(6, f"[[fault:slow-headers;delay_s={delay_s:.2f}]]{after}")
        waited_s = 0.0
        while not await field.api.asked(before) and waited_s < POSTED_S:
            await asyncio.sleep(0.02)
            waited_s += 0.02
        bridge.kill()
        await field.struck()
        await field.nothing_acked_early()
    bridge.start()
    await field.settle()


async def at_random(field: Field, times: int, more: More | None = None) -> None:
    """Of all replicas, one is killed at a random moment under load, and started again."""
    load = Load(field, more)
    for replica in field.replicas:
        if not replica.running:
            replica.start()
    for _ in range(times):
        load.begin()
        victim = field.dice.choice(field.replicas)
        if field.dice.random() < 0.8:
            await victim.ready()
        await asyncio.sleep(field.dice.uniform(0, 1.5))
        victim.kill()
        await field.struck()
        if len(field.replicas) == 1:
            await load.end()
            await field.nothing_acked_early()
        victim.start()
    await load.end()
    await field.settle(180 if field.setup.postgres else 90)


async def terminated(field: Field, times: int) -> None:
    """SIGTERM under load; some streams are longer than the grace, some shorter."""
    (bridge,) = field.replicas
    for _ in range(times):
        if not bridge.running:
            bridge.start()
            await bridge.ready()
        await field.publish(4)
        await field.publish(4, "[[reply:slow=0.5]]")
        await asyncio.sleep(field.dice.uniform(0.05, 0.8))
        bridge.terminate()
        status = await bridge.ended(20)
        if status != 0:
            field.verdict.findings.append(f"SIGTERM ended with status {status}")
        await field.struck()
        await field.nothing_acked_early()
    bridge.start()
    await field.settle()
