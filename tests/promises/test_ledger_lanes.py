"""The ledger port: the lanes in it, whoever asks and whatever process is gone."""

import asyncio
from math import inf

import pytest

from bridge.core.delivery.outcome import DeadLetter
from bridge.core.lanes.lane_claim import InLine, LaneClaim
from bridge.core.lanes.lane_turns import Before, Passing
from bridge.core.ledger.ledger_entry import Claim, Entry, Holder, State
from tests.support.waiting import until

from .ledgers import Tellable, World

DIGEST = bytes(range(32))
LANE, OTHER = ("user-1", "5f" * 12), ("user-2", "5f" * 12)
LINE = LaneClaim(LANE)
LETTER = DeadLetter("rejected", "no", 1)
MINE = Claim(Holder.NOBODY)

# Of several processes at once there is none with a file.
shared = pytest.mark.parametrize("world", ["fake", "postgresql"], indirect=True)


def behind(first: str, count: int = 1) -> Claim:
    return Claim(Holder.LANE, before=Before(first, count))


async def complete(ledger: Tellable, event_id: str) -> None:
    await ledger.write(Entry(event_id, State.COMPLETE, DIGEST, ending=b"{}"))
    ledger.leave_lane(event_id)


async def parked(ledger: Tellable, event_id: str, for_s: float = 3600.0) -> None:
    """As the flow parks an event that has been claimed."""
    ledger.line_up(LANE, [InLine(event_id, back_in_s=for_s)])
    await ledger.write(Entry(event_id, State.WAITING, DIGEST))
    await ledger.release([event_id])


async def test_events_of_one_lane_go_one_after_the_other(ledger: Tellable) -> None:
    for event_id in ("e1", "e2", "e3"):
        assert await ledger.claim(event_id, DIGEST, line=LINE) == MINE
        await complete(ledger, event_id)


async def test_an_event_that_comes_again_finds_what_it_was_and_needs_no_turn_where_it_has_ended(
    ledger: Tellable,
) -> None:
    await ledger.claim("e1", DIGEST, line=LINE)
    ended = Entry("e1", State.COMPLETE, DIGEST, ending=b"{}")
    await complete(ledger, "e1")
    await ledger.claim("e2", DIGEST, line=LINE)
    assert await ledger.claim("e1", DIGEST, line=LINE) == Claim(Holder.EARLIER, ended)


async def test_how_many_come_before_each_event_of_a_lane_is_told(ledger: Tellable) -> None:
    events = [InLine("e1"), InLine("e2", back_in_s=3600.0), InLine("e3", held=True), InLine("e4")]
    ledger.line_up(LANE, events)
    ledger.line_up(OTHER, [InLine("e5")])
    assert await ledger.ahead(LANE, ["e4", "e1", "e2", "unknown", "e5"], inf) == {"e1": 0, "e2": 1, "e4": 2}
    ledger.leave_lane("e1")
    assert await ledger.ahead(LANE, ["e4"], inf) == {"e4": 1}
    assert await ledger.ahead(LANE, ["e4"], -3700.0) == {"e4": 0}, "the one that is away is lost"
    assert await ledger.ahead(("nobody", "5f" * 12), ["e1"], inf) == {}


async def test_who_is_away_is_waited_for_and_has_its_old_place(ledger: Tellable) -> None:
    await ledger.claim("e1", DIGEST, line=LINE)
    await parked(ledger, "e1")
    assert await ledger.claim("e2", DIGEST, line=LINE) == behind("e1")
    assert await ledger.find("e2") is None, "a number is no claim"
    assert await ledger.claim("e3", DIGEST, line=LINE) == behind("e1", 2)
    assert (await ledger.claim("e1", DIGEST, line=LINE)).holder is Holder.EARLIER
    await complete(ledger, "e1")
    assert await ledger.claim("e3", DIGEST, line=LINE) == behind("e2")
    assert await ledger.claim("e2", DIGEST, line=LINE) == MINE
    await complete(ledger, "e2")
    assert await ledger.claim("e3", DIGEST, line=LINE) == MINE


async def test_lanes_do_not_wait_for_one_another(ledger: Tellable) -> None:
    await ledger.claim("e1", DIGEST, line=LINE)
    await parked(ledger, "e1")
    assert await ledger.claim("e2", DIGEST, line=LaneClaim(OTHER)) == MINE
    assert await ledger.claim("e3", DIGEST) == MINE


async def test_who_is_lost_is_waited_for_no_more_and_is_next_if_it_comes_after_all(ledger: Tellable) -> None:
    await ledger.claim("e1", DIGEST, line=LINE)
    await parked(ledger, "e1", for_s=-10.0)
    assert await ledger.claim("e2", DIGEST, line=LaneClaim(LANE, lost_after_s=3600.0)) == behind("e1")
    assert await ledger.claim("e2", DIGEST, line=LaneClaim(LANE, lost_after_s=5.0)) == MINE
    ledger.line_up(LANE, [InLine("e1"), InLine("e3")])
    await complete(ledger, "e2")
    assert await ledger.claim("e3", DIGEST, line=LaneClaim(LANE, lost_after_s=0.0)) == behind("e1")
    assert (await ledger.claim("e1", DIGEST, line=LINE)).holder is Holder.EARLIER


async def test_lines_are_in_order_and_those_before_are_lined_up_first(ledger: Tellable) -> None:
    await ledger.claim("e1", DIGEST, line=LINE)
    ledger.line_up(LANE, [InLine("e1"), InLine("e2")])
    ledger.line_up(LANE, [InLine("e1"), InLine("e2"), InLine("e3", back_in_s=3600.0)])
    await complete(ledger, "e1")
    assert await ledger.claim("e4", DIGEST, line=LINE) == behind("e2", 2)
    assert await ledger.claim("e2", DIGEST, line=LINE) == MINE
    await complete(ledger, "e2")
    assert await ledger.claim("e4", DIGEST, line=LINE) == behind("e3")


async def test_one_that_failed_leaves_and_starts_over_behind_the_others(ledger: Tellable) -> None:
    await ledger.claim("e1", DIGEST, line=LINE)
    await parked(ledger, "e1")
    await ledger.claim("e1", DIGEST, line=LINE)
    failed = Entry("e1", State.FAILED, DIGEST, letter=LETTER)
    await ledger.write(failed)
    ledger.leave_lane("e1")
    await ledger.claim("e2", DIGEST, line=LINE)
    await parked(ledger, "e2")
    assert await ledger.claim("e1", DIGEST, line=LINE) == Claim(Holder.EARLIER, failed), "the same failure"
    assert await ledger.claim("e1", DIGEST, line=LaneClaim(LANE, requeue=1)) == behind("e2")


async def test_one_that_is_held_holds_up_nobody(ledger: Tellable) -> None:
    await ledger.claim("e1", DIGEST, line=LINE)
    ledger.line_up(LANE, [InLine("e1", held=True)])
    assert await ledger.claim("e2", DIGEST, line=LINE) == MINE
    await complete(ledger, "e2")
    ledger.line_up(LANE, [InLine("e1", back_in_s=60.0)])
    assert await ledger.claim("e3", DIGEST, line=LINE) == behind("e1")


async def test_one_that_waits_for_an_end_is_passed_by_what_would_not(ledger: Tellable) -> None:
    await ledger.claim("e1", DIGEST, line=LINE)
    ledger.line_up(LANE, [InLine("e1", back_in_s=60.0, awaits="c1")])
    assert await ledger.claim("e2", DIGEST, line=LINE) == behind("e1")
    assert await ledger.claim("j1", DIGEST, line=LaneClaim(LANE, passing=Passing(joins="c2"))) == behind("e1", 2)
    ledger.leave_lane("e2")
    ledger.leave_lane("j1")
    assert await ledger.claim("j2", DIGEST, line=LaneClaim(LANE, passing=Passing(joins="c1"))) == MINE
    await complete(ledger, "j2")
    assert await ledger.claim("f", DIGEST, line=LaneClaim(LANE, passing=Passing(steers=True))) == MINE


async def test_one_that_is_cancelled_is_waited_for_no_more(ledger: Tellable) -> None:
    await ledger.claim("e1", DIGEST, line=LINE)
    await parked(ledger, "e1")
    assert await ledger.cancel("e1", b"{}")
    assert await ledger.claim("e2", DIGEST, line=LINE) == MINE


async def test_a_turn_is_taken_later_for_one_that_is_claimed(ledger: Tellable) -> None:
    await ledger.claim("e1", DIGEST, line=LINE)
    await parked(ledger, "e1")
    await ledger.claim("e2", DIGEST)
    assert await ledger.take_turn("e2", LINE) == Before("e1", 1)
    ledger.leave_lane("e2")
    ledger.line_up(LANE, [InLine("e1")])
    await ledger.claim("e1", DIGEST, line=LINE)
    await complete(ledger, "e1")
    assert await ledger.take_turn("e2", LINE) is None


async def test_places_outlive_the_process(world: World) -> None:
    first = await world.process()
    await first.claim("e1", DIGEST, line=LINE)
    first.line_up(LANE, [InLine("e1"), InLine("e2"), InLine("e3", back_in_s=3600.0)])
    await complete(first, "e1")
    assert await first.find("e3") is None
    await world.end(first)
    second = await world.process()
    assert await second.claim("e3", DIGEST, line=LINE) == behind("e2")
    assert await second.claim("e4", DIGEST, line=LINE) == behind("e2", 2)
    assert await second.claim("e2", DIGEST, line=LINE) == MINE
    await complete(second, "e2")
    assert await second.claim("e4", DIGEST, line=LINE) == behind("e3")
    assert await second.claim("e3", DIGEST, line=LINE) == MINE


@pytest.mark.parametrize("user_id", ["", "a\0b", "\ud800", "ключ", "x" * 10_000])
async def test_any_user_has_a_lane(ledger: Tellable, user_id: str) -> None:
    lane = (user_id, "service")
    ledger.line_up(lane, [InLine("\ud800\0", back_in_s=60.0)])
    assert await ledger.claim("e2", DIGEST, line=LaneClaim(lane)) == behind("\ud800\0")
    assert await ledger.claim("e3", DIGEST, line=LaneClaim((user_id + "x", "service"))) == MINE
    assert await ledger.claim("e4", DIGEST, line=LaneClaim((user_id, "xservice"))) == MINE


@shared
async def test_a_lane_has_one_turn_whoever_asks_and_its_end_wakes_the_next(world: World) -> None:
    first, second = await world.process(), await world.process()
    assert await first.claim("e1", DIGEST, line=LINE) == MINE
    assert await second.claim("e2", DIGEST, line=LINE) == behind("e1")
    assert await first.claim("e3", DIGEST, line=LaneClaim(OTHER)) == MINE
    freed = asyncio.ensure_future(second.freed())
    await complete(first, "e1")
    assert list(await asyncio.wait_for(freed, 60)) == [LANE]
    assert await second.claim("e2", DIGEST, line=LINE) == MINE
    assert await first.claim("e4", DIGEST, line=LINE) == behind("e2")


@shared
async def test_an_end_that_was_to_be_written_soon_is_known_at_once_to_who_waits(world: World) -> None:
    """The claim comes between the last word of the one and the write of it."""
    first, second = await world.process(), await world.process()
    await first.claim("e1", DIGEST, line=LINE)
    first.write_soon(Entry("e1", State.COMPLETE, DIGEST, ending=b"{}"))
    first.leave_lane("e1")
    claim = await second.claim("e2", DIGEST, line=LINE)
    if claim != MINE:
        assert claim == behind("e1")
        assert list(await asyncio.wait_for(second.freed(), 60)) == [LANE]
        assert await second.claim("e2", DIGEST, line=LINE) == MINE


@shared
async def test_numbers_are_drawn_once_for_all(world: World) -> None:
    starter, *processes = [await world.process() for _ in range(5)]
    await starter.claim("first", DIGEST, line=LINE)
    ids = [f"e{number}" for number in range(12)]
    for number, event_id in enumerate(ids):
        claim = await processes[number % 4].claim(event_id, DIGEST, line=LINE)
        assert claim == behind("first", number + 1)
    await complete(starter, "first")
    order: list[str] = []

    async def work(process: Tellable, mine: list[str]) -> None:
        for event_id in mine:
            while (await process.claim(event_id, DIGEST, line=LINE)).holder is Holder.LANE:
                await asyncio.wait_for(process.freed(), 60)
            order.append(event_id)
            process.write_soon(Entry(event_id, State.COMPLETE, DIGEST, ending=b"{}"))
            process.leave_lane(event_id)

    await asyncio.gather(*(work(process, ids[at::4]) for at, process in enumerate(processes)))
    assert order == ids


@shared
async def test_what_is_let_go_waits_in_its_place(world: World) -> None:
    first, second = await world.process(), await world.process()
    await first.claim("e1", DIGEST, line=LINE)
    assert await second.claim("e2", DIGEST, line=LINE) == behind("e1")
    await first.release(["e1"])
    assert await second.claim("e2", DIGEST, line=LINE) == behind("e1")
    assert (await second.claim("e1", DIGEST, line=LINE)).holder is Holder.EARLIER


@shared
async def test_the_turn_of_a_process_that_has_ended_is_over_once_that_event_is_lost(world: World) -> None:
    first, second, third = await world.process(), await world.process(), await world.process()
    await first.claim("e1", DIGEST, line=LINE)
    await world.end(first)
    assert await second.claim("e2", DIGEST, line=LaneClaim(LANE, lost_after_s=3600.0)) == behind("e1")

    async def taken() -> bool:
        return (await second.claim("e2", DIGEST, line=LaneClaim(LANE, lost_after_s=0.01))).holder is Holder.NOBODY

    await until(taken, "nobody waits for it any more")
    assert await third.claim("e1", DIGEST, line=LINE) == behind("e2")
    await complete(second, "e2")
    assert await second.claim("e3", DIGEST, line=LINE) == behind("e1"), "if it comes after all, it is next"
