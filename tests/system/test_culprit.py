"""An event whose handling kills the process, again and again, in the midst of hundreds: it alone is given up."""

import signal
import time

import pytest

from bridge.core.delivery.poison import MAX_DEATHS
from tests.support.events import body_of, event, text_of
from tests.support.oracle import story
from tests.support.process import BridgeProcess
from tests.support.rabbit import EVENTS
from tests.support.waiting import until
from tests.support.world import World

MANY = 300
MAX_DEATHS_SEEN = 2 * MAX_DEATHS + 4
"""The first deaths leave no trace of a new event; those of one at a time come before the culprit's turn."""


async def relived(world: World, bridge: BridgeProcess, step: str, everybody: set[str]) -> int:
    """Start the process again whenever it dies, as its supervisor would, until everybody has an ending; the deaths."""
    deaths = 0
    while True:
        await until(lambda: everybody <= world.ended or not bridge.running, "it goes on, or dies", 60)
        if bridge.running:
            return deaths
        assert await bridge.exit_status(5) == -signal.SIGKILL
        deaths += 1
        assert deaths <= MAX_DEATHS_SEEN, f"{len(world.ended)} of {len(everybody)} have an ending"
        bridge.start({"BRIDGE_CRASH_AT": step})


@pytest.mark.parametrize("label", ["claimed", "before-post"])
async def test_only_the_culprit_ends_in_the_dead_letter_queue(world: World, label: str) -> None:
    names = [f"e{number}" for number in range(MANY)]
    culprit = names[25]
    bridge = world.bridge(ledger={"url": f"sqlite:///{world.folder / 'ledger.db'}"})
    await world.rabbit.declare()
    await world.publish(*(event(name) for name in names))
    began_s = time.monotonic()
    step = f"{label}@{culprit}"
    bridge.start({"BRIDGE_CRASH_AT": step})
    deaths = await relived(world, bridge, step, set(names))
    print(f"{label}: {deaths} deaths, all over after {time.monotonic() - began_s:.1f} s")
    [letter] = await world.dead(1)
    assert (letter.body, letter.routing_key) == (body_of(culprit), "poison")
    assert letter.headers["x-bridge-error"] == f"{MAX_DEATHS} processes died with it in hand"
    for name in names:
        told = story(world.records, name)
        assert told.ending.type == ("bridge-failed" if name == culprit else "interaction-complete")
        assert len(world.fake.truth.committed(text_of(name))) <= 1
    await until(lambda: world.counts(EVENTS, (0, 0)), "nothing is left", 30)
