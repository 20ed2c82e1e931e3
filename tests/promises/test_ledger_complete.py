"""The ledger port: an answered event of which everything is confirmed is complete, and otherwise as it was."""

import asyncio
from dataclasses import replace

from bridge.core.delivery.progress import RequestKind
from bridge.core.ledger.attempt_log import NO_ATTEMPTS
from bridge.core.ledger.ledger_entry import Claim, Entry, Holder, State
from bridge.core.ledger.planned_event import PlannedEvent
from tests.support.making import unproved

from .ledgers import Tellable, World
from .test_ledger import DIGEST, ODD_IDS, shared
from .test_ledger_lanes import LANE, LINE, parked

ENDING = b'{"type": "interaction-complete"}'


def answered(event_id: str, *, by_email: bool = True) -> Entry:
    """An entry that has what an answer leaves, and attempts before it."""
    planned = PlannedEvent("user-1", by_email, "service-1", "whatsapp", "canary")
    progress = replace(unproved(RequestKind.CREATE, "5f" * 12, "0a" * 6, 7), planned=planned, version_set="canary")
    log = NO_ATTEMPTS.having(1_700_000_000.0, "unknown", "the connection was cut", None)
    return Entry(event_id, State.ANSWERED, DIGEST, progress, 2, ENDING, requeue=3, deaths=1, log=log)


def complete(entry: Entry) -> Entry:
    """The same once it is complete: of the plan the user at most, of the attempts nothing."""
    planned = entry.progress.planned
    progress = replace(entry.progress, planned=None if planned is None else planned.once_complete)
    return replace(entry, state=State.COMPLETE, progress=progress, log=NO_ATTEMPTS)


async def test_an_answered_event_is_soon_complete_and_otherwise_as_it_was(ledger: Tellable) -> None:
    entries = [answered(event_id, by_email=index % 2 == 0) for index, event_id in enumerate(("e1", "e2", *ODD_IDS))]
    for entry in entries:
        await ledger.claim(entry.event_id, DIGEST)
        await ledger.write(entry)
        assert await ledger.find(entry.event_id) == entry
    for entry in entries[1:]:
        ledger.complete_soon(entry.event_id, entry.progress)
    assert [await ledger.find(entry.event_id) for entry in entries] == [entries[0], *map(complete, entries[1:])]
    assert await ledger.claim("e2", DIGEST) == Claim(Holder.EARLIER, complete(entries[1]))


async def test_it_comes_after_what_was_written_soon_before_it(ledger: Tellable) -> None:
    await ledger.write(Entry("e1", State.OPEN, DIGEST))
    ledger.write_soon(answered("e1"))
    ledger.complete_soon("e1", answered("e1").progress)
    assert await ledger.find("e1") == complete(answered("e1"))


async def test_a_later_write_counts(ledger: Tellable) -> None:
    await ledger.write(answered("e1"))
    ledger.complete_soon("e1", answered("e1").progress)
    await ledger.write(Entry("e1", State.OPEN, DIGEST))
    ledger.complete_soon("e1", answered("e1").progress)
    ledger.write_soon(answered("e1"))
    assert await ledger.find("e1") == answered("e1")


async def test_what_nobody_knows_stays_unknown(ledger: Tellable) -> None:
    ledger.complete_soon("e1", answered("e1").progress)
    assert await ledger.find("e1") is None
    assert await ledger.claim("e1", DIGEST) == Claim(Holder.NOBODY)


async def test_it_is_kept_where_the_process_ends_in_good_order(world: World) -> None:
    first = await world.process()
    await first.write(answered("e1"))
    first.complete_soon("e1", answered("e1").progress)
    await world.end(first)
    assert await (await world.process()).find("e1") == complete(answered("e1"))


async def test_its_place_in_the_lane_is_free_then(world: World) -> None:
    first = await world.process()
    await first.claim("e1", DIGEST, line=LINE)
    await parked(first, "e1")
    assert (await first.claim("e2", DIGEST, line=LINE)).holder is Holder.LANE
    assert (await first.claim("e1", DIGEST, line=LINE)).holder is Holder.EARLIER
    await first.write(answered("e1"))
    first.complete_soon("e1", answered("e1").progress)
    await world.end(first)
    assert (await (await world.process()).claim("e2", DIGEST, line=LINE)).holder is Holder.NOBODY


@shared
async def test_its_end_is_known_at_once_to_who_waits_for_the_lane_elsewhere(world: World) -> None:
    first, second = await world.process(), await world.process()
    await first.claim("e1", DIGEST, line=LINE)
    await first.write(answered("e1"))
    first.complete_soon("e1", answered("e1").progress)
    first.leave_lane("e1")
    if (await second.claim("e2", DIGEST, line=LINE)).holder is Holder.LANE:
        assert list(await asyncio.wait_for(second.freed(), 60)) == [LANE]
        assert (await second.claim("e2", DIGEST, line=LINE)).holder is Holder.NOBODY


@shared
async def test_who_has_lost_the_event_does_not_complete_it(world: World) -> None:
    first, second = await world.process(), await world.process()
    await first.write(answered("e1"))
    await first.release(("e1",))
    await second.claim("e1", DIGEST)
    first.complete_soon("e1", answered("e1").progress)
    await first.find("e1")
    found = await second.find("e1")
    assert found is not None
    assert found.state is State.ANSWERED
