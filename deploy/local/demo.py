"""`./dev run`: the whole bridge on this machine, from a broker of its own to the agent's words on the terminal."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from contextlib import ExitStack

from deploy.local.api import ApiTrouble
from deploy.local.child import tail
from deploy.local.interruptions import Interruptions, Stopped
from deploy.local.node import NodeError
from deploy.local.samples import Sample, samples
from deploy.local.stage import Failed, Stage, start
from deploy.local.traffic import Traffic
from deploy.local.view import View

# For a person the agent speaks slowly enough to be followed, and the backends pause between their events.
PACE, PAUSE_S = 4.0, 0.7
WATCH_S = 0.2
SIGNALLED = 128


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when all went well, also when Ctrl-C ended it; 1 when something failed; 128 + signal when it was cut short."""
    parser = argparse.ArgumentParser(prog="./dev run", description="The bridge on this machine, with sample events.")
    parser.add_argument("--once", action="store_true", help="end when every sample event has had its ending")
    once = parser.parse_args(arguments).once
    view, interruptions = View(), Interruptions()
    cut_short = True
    with ExitStack() as stack:
        try:
            stage = start(stack, view, 1.0 if once else PACE)
            cut_short = once
            interruptions.run(perform(stage, view, once))
            status = 0
        except Stopped as stopped:
            status = SIGNALLED + stopped.number if cut_short else 0
        except (Failed, NodeError, ApiTrouble, OSError) as error:
            view.failure(str(error), getattr(error, "log", ""))
            status = 1
        finally:
            interruptions.ignore()
        view.step("stopping everything")
    view.step("nothing is left behind")
    return status


async def perform(stage: Stage, view: View, once: bool) -> None:
    """Publish the samples and show what passes, until all is said (`once`) or for ever. Raises Failed."""
    async with Traffic.opened(stage.node.url, view) as traffic:
        tasks = (
            asyncio.create_task(_watch(stage, traffic)),
            asyncio.create_task(_play(stage, traffic, view, once)),
        )
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result


async def _play(stage: Stage, traffic: Traffic, view: View, once: bool) -> None:
    told = samples(stage.api.user_id, stage.api.service_id)
    view.heading("Where things are")
    view.places(stage.places())
    view.heading("→ events of the backends   ← what the agent and the bridge say   ✗ dead letters")
    await traffic.publish(told, 0 if once else PAUSE_S)
    await _ended(stage, traffic, told)
    dead = await traffic.dead_letters()
    view.heading(
        f"All {len(told)} sample events have had their ending; the dead-letter queue holds {dead}, the rubbish."
    )
    if not once:
        view.step("whatever you publish is shown here, too; Ctrl-C ends everything and leaves nothing behind")
        await asyncio.Event().wait()


async def _ended(stage: Stage, traffic: Traffic, told: Sequence[Sample]) -> None:
    limit_s = stage.api.answers_within_s
    try:
        async with asyncio.timeout(limit_s):
            await traffic.all_ended(told)
    except TimeoutError:
        missing = ", ".join(traffic.waiting_for(told))
        raise Failed(f"no ending within {limit_s:g} s for {missing}", stage.bridge.tail()) from None


async def _watch(stage: Stage, traffic: Traffic) -> None:
    while not traffic.lost.is_set():
        stage.check()
        await asyncio.sleep(WATCH_S)
    raise Failed("the connection to RabbitMQ was lost", tail(stage.node.log, 20))


if __name__ == "__main__":
    sys.exit(main())
