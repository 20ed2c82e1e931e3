"""Connections and processes that die soon after they have begun to consume: the next one takes one event at a time."""

import asyncio

from bridge.core.delivery.poison import QUICK_S, SETTLED
from bridge.flow.guards.quick_deaths import QuickDeaths
from tests.support.fakes import FakeInbox, FakeLedger, FakeLog

CAREFUL = ("isolate", str(SETTLED))


def counter(ledger: FakeLedger | None = None) -> tuple[QuickDeaths, FakeInbox, FakeLog]:
    inbox, log = FakeInbox(), FakeLog()
    return QuickDeaths(ledger or FakeLedger(), inbox, log), inbox, log


async def test_the_third_of_connections_that_die_at_once_is_careful() -> None:
    deaths, inbox, log = counter()
    for _ in range(2):
        await deaths.begin()
        assert inbox.changes == []
        deaths.ended(QUICK_S / 2)
    await deaths.begin()
    assert inbox.changes == [CAREFUL]
    assert log.of("consumer.cautious") == [{"deaths": 2}]


async def test_a_connection_that_has_lived_for_a_while_ends_the_row() -> None:
    deaths, inbox, _ = counter()
    for lived_s in (0.1, QUICK_S, 0.1):
        await deaths.begin()
        deaths.ended(lived_s)
    await deaths.begin()
    assert inbox.changes == []


async def test_processes_that_died_early_count_as_connections_do() -> None:
    ledger = FakeLedger()
    assert await ledger.begun() == 0  # one that dies early
    deaths, inbox, log = counter(ledger)
    await deaths.begin()
    assert inbox.changes == []
    deaths.ended(0.1)
    await deaths.begin()
    assert inbox.changes == [CAREFUL]
    assert log.of("consumer.cautious") == [{"deaths": 2}]


async def test_the_processes_are_counted_once_as_soon_as_the_ledger_can_tell() -> None:
    ledger = FakeLedger()
    for _ in range(2):
        await ledger.begun()
    ledger.break_down()
    deaths, inbox, _ = counter(ledger)
    await deaths.begin()
    assert inbox.changes == [], "nothing is known yet"
    ledger.mend()
    await asyncio.gather(deaths.begin(), deaths.begin())
    assert inbox.changes == [CAREFUL, CAREFUL]
    assert await ledger.begun() == 3, "the two before, and this one, once"


async def test_a_process_counts_as_dead_early_until_it_has_consumed_for_a_while() -> None:
    ledger = FakeLedger()
    deaths, inbox, _ = counter(ledger)
    inbox.began.clear()
    await deaths.begin()
    outliving = asyncio.create_task(deaths.outlive())
    await asyncio.sleep(10 * QUICK_S)
    assert not ledger.outlived, "it has not begun to consume"
    inbox.began.set()
    await asyncio.sleep(0.9 * QUICK_S)
    assert not ledger.outlived
    await outliving
    assert ledger.outlived
    assert await ledger.begun() == 0


async def test_a_connection_that_ends_meanwhile_leaves_it_to_the_next_one() -> None:
    ledger = FakeLedger()
    deaths, _, _ = counter(ledger)
    await deaths.begin()
    first = asyncio.create_task(deaths.outlive())
    await asyncio.sleep(QUICK_S / 2)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    second = asyncio.create_task(deaths.outlive())
    await asyncio.sleep(0.9 * QUICK_S)
    assert not ledger.outlived
    await second
    assert ledger.outlived


async def test_a_ledger_that_is_away_just_then_is_not_waited_for() -> None:
    ledger = FakeLedger()
    deaths, _, _ = counter(ledger)
    await deaths.begin()
    ledger.break_down()
    await deaths.outlive()
    ledger.mend()
    assert not ledger.outlived
