"""Pauses and what they keep back: what every ledger promises of them."""

import asyncio
from dataclasses import replace

from bridge.core.control.pause import Pause, PauseScope
from tests.promises.ledgers import Tellable, World
from tests.promises.test_ledger import shared

NOW_S = 1_000_000.0
EVERYTHING = Pause(PauseScope.ALL, "", "", "guest", NOW_S)
ROUTE = Pause(PauseScope.ROUTE, "payments", "the backend is wrong", "token ops", NOW_S + 0.25, NOW_S + 60)
QUEUE, OTHER = "bridge.events", "bulk.events"


async def test_what_is_paused_is_known_until_it_is_lifted(ledger: Tellable) -> None:
    assert list(await ledger.pauses()) == []
    await ledger.set_pause(ROUTE)
    await ledger.set_pause(EVERYTHING)
    assert list(await ledger.pauses()) == [EVERYTHING, ROUTE]
    longer = replace(ROUTE, reason="still", until_s=None)
    await ledger.set_pause(longer)
    assert list(await ledger.pauses()) == [EVERYTHING, longer]
    assert await ledger.drop_pause("route:payments") is True
    assert await ledger.drop_pause("route:payments") is False
    assert list(await ledger.pauses()) == [EVERYTHING]


async def test_one_that_ends_by_itself_is_lifted_by_one_process(world: World) -> None:
    one = await world.process()
    await one.set_pause(ROUTE)
    await one.set_pause(EVERYTHING)
    assert await one.drop_pause(ROUTE.key, NOW_S + 59) is False
    assert await one.drop_pause(EVERYTHING.key, NOW_S + 10**9) is False
    assert await one.drop_pause(ROUTE.key, NOW_S + 60) is True
    assert await one.drop_pause(ROUTE.key, NOW_S + 61) is False
    await world.end(one)
    two = await world.process()
    assert list(await two.pauses()) == [EVERYTHING]


async def test_a_queue_is_to_be_passed_on_where_nothing_keeps_one_of_its_events_back(ledger: Tellable) -> None:
    await ledger.set_pause(ROUTE)
    await ledger.hold("e1", QUEUE, ROUTE.key, NOW_S)
    await ledger.hold("e2", OTHER, "user:u1", NOW_S)
    assert list(await ledger.take_unheld(NOW_S + 1)) == [OTHER]
    assert list(await ledger.take_unheld(NOW_S + 2)) == [], "somebody has it for a minute"
    assert list(await ledger.take_unheld(NOW_S + 59)) == []
    assert sorted(await ledger.take_unheld(NOW_S + 62)) == sorted([OTHER, QUEUE]), "the pause has ended"
    assert list(await ledger.take_unheld(NOW_S + 63)) == []


async def test_what_was_passed_on_is_forgotten_but_for_the_last_minute(ledger: Tellable) -> None:
    await ledger.hold("old", QUEUE, "user:u1", NOW_S)
    await ledger.hold("late", QUEUE, "user:u1", NOW_S + 90)
    await ledger.hold("elsewhere", OTHER, "user:u1", NOW_S)
    await ledger.set_pause(replace(ROUTE, until_s=None))
    await ledger.hold("kept", QUEUE, ROUTE.key, NOW_S)
    await ledger.clear_unheld(QUEUE, NOW_S + 100)
    assert sorted(await ledger.take_unheld(NOW_S + 101)) == sorted([QUEUE, OTHER]), "for the late one"
    await ledger.clear_unheld(QUEUE, NOW_S + 200)
    await ledger.clear_unheld(OTHER, NOW_S + 200)
    assert list(await ledger.take_unheld(NOW_S + 300)) == []
    await ledger.drop_pause(ROUTE.key)
    assert list(await ledger.take_unheld(NOW_S + 301)) == [QUEUE], "what was kept back all the time"


async def test_an_event_that_is_kept_back_again_is_kept_back_by_the_later_one(ledger: Tellable) -> None:
    await ledger.hold("e1", QUEUE, "user:u1", NOW_S)
    assert list(await ledger.take_unheld(NOW_S + 1)) == [QUEUE]
    await ledger.set_pause(replace(ROUTE, until_s=None))
    await ledger.hold("e1", QUEUE, ROUTE.key, NOW_S + 2)
    assert list(await ledger.take_unheld(NOW_S + 100)) == []
    await ledger.drop_pause(ROUTE.key)
    assert list(await ledger.take_unheld(NOW_S + 101)) == [QUEUE]


async def test_without_a_ledger_nothing_is_said_of_pauses(world: World) -> None:
    one = await world.process()
    await one.set_pause(EVERYTHING)
    await world.end(one)
    two = await world.process()
    assert list(await two.pauses()) == [EVERYTHING]


HELD = Pause(PauseScope.REFUSALS, "payments", "403", "the bridge", NOW_S, None, "c0ffee", NOW_S)


async def test_of_a_route_that_is_held_the_configuration_is_known(ledger: Tellable) -> None:
    await ledger.set_pause(HELD)
    assert list(await ledger.pauses()) == [HELD]


async def test_somebody_probes_every_so_many_seconds(ledger: Tellable) -> None:
    assert await ledger.take_probe(HELD.key, NOW_S, 60.0) is False, "there is nothing to probe"
    await ledger.set_pause(HELD)
    told = [await ledger.take_probe(HELD.key, NOW_S + later_s, 60.0) for later_s in (59, 60, 61, 119, 121)]
    assert told == [False, True, False, False, True]
    assert list(await ledger.pauses()) == [replace(HELD, probed_s=NOW_S + 121)]


@shared
async def test_of_several_processes_one_probes(world: World) -> None:
    processes = [await world.process() for _ in range(4)]
    await processes[0].set_pause(HELD)
    told = await asyncio.gather(*(each.take_probe(HELD.key, NOW_S + 60, 60.0) for each in processes))
    assert sorted(told) == [False, False, False, True]
