"""The ledger port: what it was told it knows, whoever asks and whatever process is gone."""

import asyncio
from dataclasses import replace

import pytest

from bridge.core.delivery.outcome import DeadLetter
from bridge.core.delivery.progress import RequestKind
from bridge.core.ledger.ledger_entry import FINAL, Claim, Entry, Holder, State
from bridge.core.ledger.planned_event import PlannedEvent
from bridge.flow.ports.ledger import LeaseLost, LedgerUnavailable
from tests.support.making import unproved
from tests.support.waiting import until

from .ledgers import Tellable, World

DIGEST = bytes(range(32))
ODD_IDS = [
    "e",
    "E",
    "e ",
    " e",
    "ключ",
    "キー" * 33,
    "\U0001f469\u200d\U0001f680" * 18,
    "é",
    "e\u0301",
    "a\0b",
    "a\\0b",
    "\0",
    "\\",
    "\\\\",
    "\ud800",
    "\\ud800",
    "'; DROP TABLE events; --",
    "%s ? $1 :a",
    "x" * 200,
    "x" * 199 + "y",
    "\n\t\r\x7f",
]


# Of several processes at once there is none with a file.
shared = pytest.mark.parametrize("world", ["fake", "postgresql"], indirect=True)


def claimed(event_id: str) -> Entry:
    return Entry(event_id, State.CLAIMED, DIGEST)


def full(event_id: str) -> Entry:
    """An entry in which nothing has its default."""
    progress = unproved(
        RequestKind.INTERACT, "5f" * 12, "0a" * 6, 7, "watermark", "announced", lost_stream=True, waits=3
    )
    progress = replace(progress, planned=PlannedEvent("user-1", by_email=True), version_set="canary")
    letter = DeadLetter("rejected", "it said “no”\0\n", 4)
    return Entry(event_id, State.FAILED, DIGEST, progress, 5, b'{"type": "interaction-complete"}', letter, 2, 3)


async def test_what_nobody_knew_is_claimed_and_known_from_then_on(ledger: Tellable) -> None:
    assert await ledger.find("e1") is None
    assert await ledger.claim("e1", DIGEST) == Claim(Holder.NOBODY)
    assert await ledger.find("e1") == claimed("e1")


async def test_what_this_process_has_is_its_own_when_it_claims_it_again(ledger: Tellable) -> None:
    await ledger.claim("e1", DIGEST)
    assert await ledger.claim("e1", b"another body's") == Claim(Holder.EARLIER, claimed("e1"))
    await ledger.write(full("e1"))
    assert await ledger.claim("e1", DIGEST) == Claim(Holder.EARLIER, full("e1"))


async def test_all_of_an_entry_is_kept(ledger: Tellable) -> None:
    bare = Entry("e1", State.REQUESTED, DIGEST)
    for entry in (full("e1"), bare, replace(bare, ending=b""), replace(full("e1"), letter=None)):
        await ledger.claim("e1", DIGEST)
        await ledger.write(entry)
        assert await ledger.find("e1") == entry


async def test_endings_of_four_mebibytes_are_kept_byte_for_byte(ledger: Tellable) -> None:
    entries = [Entry(f"e{number}", State.ANSWERED, DIGEST, ending=bytes(range(256)) * 16_384) for number in range(4)]
    await asyncio.gather(*(ledger.claim(entry.event_id, DIGEST) for entry in entries))
    await asyncio.gather(*(ledger.write(entry) for entry in entries))
    assert [await ledger.find(entry.event_id) for entry in entries] == entries


async def test_any_id_is_an_event_of_its_own(ledger: Tellable) -> None:
    claims = await asyncio.gather(
        *(ledger.claim(event_id, event_id.encode("utf-8", "replace")) for event_id in ODD_IDS)
    )
    assert {claim.holder for claim in claims} == {Holder.NOBODY}
    for event_id in ODD_IDS:
        found = await ledger.find(event_id)
        assert found == Entry(event_id, State.CLAIMED, event_id.encode("utf-8", "replace"))


async def test_of_many_claims_of_one_event_one_finds_that_nobody_had_it(ledger: Tellable) -> None:
    claims = await asyncio.gather(*(ledger.claim("e1", DIGEST) for _ in range(50)))
    assert sorted(claim.holder for claim in claims) == [Holder.EARLIER] * 49 + [Holder.NOBODY]


async def test_of_many_writes_of_one_event_the_last_one_counts(ledger: Tellable) -> None:
    await ledger.claim("e1", DIGEST)
    await asyncio.gather(*(ledger.write(Entry("e1", State.OPEN, DIGEST, attempt=number)) for number in range(200)))
    assert await ledger.find("e1") == Entry("e1", State.OPEN, DIGEST, attempt=199)


async def test_what_is_written_soon_is_in_its_place_among_the_other_calls(ledger: Tellable) -> None:
    await ledger.claim("e1", DIGEST)
    await ledger.write(Entry("e1", State.ANSWERED, DIGEST, ending=b"{}"))
    ledger.write_soon(full("e1"))
    assert await ledger.find("e1") == full("e1")
    ledger.write_soon(Entry("e1", State.OPEN, DIGEST))
    await ledger.write(Entry("e1", State.COMPLETE, DIGEST))
    assert await ledger.find("e1") == Entry("e1", State.COMPLETE, DIGEST)


async def test_what_was_written_soon_is_kept_where_the_process_ends_in_good_order(world: World) -> None:
    first = await world.process()
    await first.claim("e1", DIGEST)
    first.write_soon(full("e1"))
    await world.end(first)
    assert await (await world.process()).find("e1") == full("e1")
    first.write_soon(claimed("e1"))  # and nothing comes of it


async def test_what_is_written_soon_is_forgotten_while_nothing_can_be_written(world: World, ledger: Tellable) -> None:
    await ledger.claim("e1", DIGEST)
    await ledger.write(claimed("e1"))
    await world.break_down()
    with pytest.raises(LedgerUnavailable):
        await ledger.write(claimed("e1"))
    ledger.write_soon(full("e1"))
    await world.mend()
    await until(lambda: ledger.trouble is None, "it is available again")
    assert await ledger.find("e1") == claimed("e1")


async def test_what_was_answered_is_soon_complete_and_otherwise_as_it_was(ledger: Tellable) -> None:
    answered = {event_id: replace(full(event_id), state=State.ANSWERED) for event_id in ("e1", "e2", *ODD_IDS)}
    for event_id, entry in answered.items():
        await ledger.claim(event_id, DIGEST)
        await ledger.write(entry)
    complete = [replace(answered[event_id], state=State.COMPLETE) for event_id in ("e1", *ODD_IDS)]
    for entry in complete:
        ledger.write_soon(replace(answered[entry.event_id], state=State.COMPLETE))
    assert [await ledger.find(entry.event_id) for entry in complete] == complete
    assert await ledger.find("e2") == answered["e2"]
    assert await ledger.claim("e1", DIGEST) == Claim(Holder.EARLIER, complete[0])


async def test_what_is_complete_is_so_though_that_it_was_answered_could_not_be_written(ledger: Tellable) -> None:
    answered = [replace(full(event_id), state=State.ANSWERED) for event_id in ("e1", "e2", "e3")]
    await ledger.write(Entry("e1", State.OPEN, DIGEST))
    await ledger.write(answered[1])
    for entry in answered:
        ledger.write_soon(replace(entry, state=State.COMPLETE))
    complete = [replace(entry, state=State.COMPLETE) for entry in answered]
    assert [await ledger.find(entry.event_id) for entry in answered] == complete


async def test_what_is_complete_is_kept_where_the_process_ends_in_good_order(world: World) -> None:
    first, answered = await world.process(), Entry("e1", State.ANSWERED, DIGEST, ending=b"{}")
    await first.write(answered)
    first.write_soon(replace(answered, state=State.COMPLETE))
    await world.end(first)
    assert await (await world.process()).find("e1") == replace(answered, state=State.COMPLETE)


async def test_calls_for_one_event_are_carried_out_in_their_order(ledger: Tellable) -> None:
    written = Entry("e1", State.OPEN, DIGEST, attempt=1)
    done = await asyncio.gather(
        ledger.find("e1"),
        ledger.claim("e1", DIGEST),
        ledger.find("e1"),
        ledger.write(written),
        ledger.find("e1"),
        ledger.claim("e1", DIGEST),
    )
    nobody, again = Claim(Holder.NOBODY), Claim(Holder.EARLIER, written)
    assert list(done) == [None, nobody, claimed("e1"), None, written, again]


async def test_a_thousand_events_at_once(ledger: Tellable) -> None:
    async def conversation(number: int) -> Entry | None:
        event_id = f"e{number}"
        assert (await ledger.claim(event_id, DIGEST)).holder is Holder.NOBODY
        for state in (State.REQUESTED, State.OPEN, State.ANSWERED, State.COMPLETE):
            await ledger.write(Entry(event_id, state, DIGEST, attempt=number, ending=b"%d" % number))
        return await ledger.find(event_id)

    found = await asyncio.gather(*(conversation(number) for number in range(1000)))
    assert found == [Entry(f"e{n}", State.COMPLETE, DIGEST, attempt=n, ending=b"%d" % n) for n in range(1000)]


@pytest.mark.parametrize("state", State)
async def test_what_is_released_may_be_claimed_with_what_is_known(ledger: Tellable, state: State) -> None:
    await ledger.claim("e1", DIGEST)
    entry = Entry("e1", state, DIGEST, attempt=1)
    await ledger.write(entry)
    await ledger.release(["e1", "never claimed"])
    assert await ledger.claim("e1", DIGEST) == Claim(Holder.EARLIER, entry)


@pytest.mark.parametrize("state", State)
async def test_what_a_process_that_is_gone_had_is_the_next_ones(world: World, state: State) -> None:
    first = await world.process()
    await first.claim("e1", DIGEST)
    entry = Entry("e1", state, DIGEST, attempt=1)
    await first.write(entry)
    await world.end(first)
    second = await world.process()
    found = await second.claim("e1", DIGEST)
    assert found.entry is not None
    assert Claim(found.holder, replace(found.entry, deaths=0)) == Claim(Holder.EARLIER, entry)
    await second.write(full("e1"))
    assert await second.find("e1") == full("e1")


@pytest.mark.parametrize("state", State)
async def test_a_death_is_counted_for_what_the_process_had_in_hand(world: World, state: State) -> None:
    in_hand = state not in FINAL
    entry = Entry("e1", state, DIGEST)
    for deaths in range(3):
        process = await world.process()
        before = replace(entry, deaths=deaths if in_hand else 0)
        if deaths:
            assert await process.find("e1") == before
        assert (await process.claim("e1", DIGEST)).entry == (before if deaths else None)
        again = (await process.claim("e1", DIGEST)).entry
        assert again is not None
        assert again.deaths == before.deaths, "one death counts once"
        await process.write(before)
        assert await process.find("e1") == before
        await world.end(process)


async def test_a_claim_that_must_be_durable_outlives_its_process(world: World) -> None:
    first = await world.process()
    await first.claim("e1", DIGEST)
    await world.end(first)
    second = await world.process()
    assert await second.claim("e1", DIGEST) == Claim(Holder.EARLIER, replace(claimed("e1"), deaths=1))


async def test_a_claim_with_a_request_is_remembered_as_requested_where_nobody_knew_the_event(world: World) -> None:
    first, progress = await world.process(), full("e1").progress
    assert await first.claim("e1", DIGEST, progress=progress) == Claim(Holder.NOBODY)
    requested = Entry("e1", State.REQUESTED, DIGEST, progress)
    assert await first.find("e1") == requested
    await world.end(first)
    second, other = await world.process(), replace(progress, stream="another")
    assert await second.claim("e1", DIGEST, progress=other) == Claim(Holder.EARLIER, replace(requested, deaths=1))
    assert await second.find("e1") == replace(requested, deaths=1)


async def test_what_was_released_did_not_die_with_its_process(world: World) -> None:
    first = await world.process()
    entry = Entry("e1", State.REQUESTED, DIGEST)
    await first.claim("e1", DIGEST)
    await first.write(entry)
    await first.release(["e1"])
    await world.end(first)
    assert await (await world.process()).claim("e1", DIGEST) == Claim(Holder.EARLIER, entry)


async def test_processes_that_die_at_their_beginning_are_counted_until_one_lives_on(world: World) -> None:
    for deaths in range(3):
        process = await world.process()
        assert await process.begun() == deaths
        await world.kill(process)
    process = await world.process()
    assert await process.begun() == 3
    await process.lives_on()
    await world.kill(process)
    assert await (await world.process()).begun() == 0


async def test_a_process_that_ends_in_good_order_has_not_died(world: World) -> None:
    for _ in range(2):
        process = await world.process()
        assert await process.begun() == 0
        await world.end(process)


async def test_a_process_that_is_gone_can_ask_nothing_more(world: World) -> None:
    ledger = await world.process()
    await world.end(ledger)
    for call in (ledger.claim("e1", DIGEST), ledger.write(claimed("e1")), ledger.find("e1")):
        with pytest.raises(LedgerUnavailable):
            await call


async def test_who_stops_waiting_disturbs_nobody(ledger: Tellable) -> None:
    claims = [asyncio.create_task(ledger.claim(f"e{number}", DIGEST)) for number in range(20)]
    await asyncio.sleep(0)
    for claim in claims[::2]:
        claim.cancel()
    done = await asyncio.gather(*claims, return_exceptions=True)
    assert done[1::2] == [Claim(Holder.NOBODY)] * 10
    assert await ledger.claim("e99", DIGEST) == Claim(Holder.NOBODY)


async def test_while_it_is_unavailable_every_call_says_so_and_afterwards_it_knows_what_it_knew(
    world: World, ledger: Tellable
) -> None:
    assert ledger.trouble is None
    await ledger.claim("e1", DIGEST)
    await ledger.write(full("e1"))
    await world.break_down()
    for call in (ledger.find("e1"), ledger.claim("e1", DIGEST), ledger.write(claimed("e1")), ledger.find("e2")):
        with pytest.raises(LedgerUnavailable) as raised:
            await call
        assert ledger.trouble == str(raised.value) != ""
    await world.mend()
    await until(lambda: ledger.trouble is None, "it is available again")
    assert await ledger.claim("e1", DIGEST) == Claim(Holder.EARLIER, full("e1"))
    assert await ledger.claim("e2", DIGEST) == Claim(Holder.NOBODY)


@shared
async def test_what_another_process_has_must_wait(world: World) -> None:
    one, other = await world.process(), await world.process()
    await one.claim("e1", DIGEST)
    for state in (State.CLAIMED, State.REQUESTED, State.OPEN, State.ANSWERED):
        await one.write(Entry("e1", state, DIGEST))
        denied = await other.claim("e1", DIGEST)
        assert (denied.holder, denied.entry) == (Holder.ANOTHER, None)
        assert 1.0 <= denied.wait_s <= 30.0
    assert await other.find("e1") == Entry("e1", State.ANSWERED, DIGEST)
    await one.release(["e1"])
    assert await other.claim("e1", DIGEST) == Claim(Holder.EARLIER, Entry("e1", State.ANSWERED, DIGEST))


@shared
@pytest.mark.parametrize("state", [State.COMPLETE, State.FAILED])
async def test_what_has_ended_waits_for_nobody(world: World, state: State) -> None:
    one, other = await world.process(), await world.process()
    await one.claim("e1", DIGEST)
    await one.write(Entry("e1", state, DIGEST))
    for ledger in (other, one, other):
        assert await ledger.claim("e1", DIGEST) == Claim(Holder.EARLIER, Entry("e1", state, DIGEST))


@shared
async def test_who_has_lost_an_event_cannot_write_it_any_more(world: World) -> None:
    one, other = await world.process(), await world.process()
    await one.claim("e1", DIGEST)
    await one.release(["e1"])
    await other.claim("e1", DIGEST)
    await other.write(Entry("e1", State.OPEN, DIGEST))
    await one.claim("e2", DIGEST)
    lost, kept = await asyncio.gather(
        one.write(Entry("e1", State.REQUESTED, DIGEST)),
        one.write(Entry("e2", State.REQUESTED, DIGEST)),
        return_exceptions=True,
    )
    assert (type(lost), kept) == (LeaseLost, None)
    await one.release(["e1"])
    assert await one.find("e1") == Entry("e1", State.OPEN, DIGEST)
    assert (await one.claim("e1", DIGEST)).holder is Holder.ANOTHER
    assert one.trouble is None


@shared
async def test_of_many_processes_that_claim_at_once_exactly_one_gets_each_event(world: World) -> None:
    processes = [await world.process() for _ in range(6)]
    events = [f"e{number}" for number in range(150)]
    orders = [events, events[::-1], events[75:] + events[:75]] * 2
    claims = await asyncio.gather(
        *(
            process.claim(event_id, DIGEST)
            for process, order in zip(processes, orders, strict=True)
            for event_id in order
        )
    )
    holders: dict[str, list[Holder]] = {event_id: [] for event_id in events}
    for event_id, claim in zip((event_id for order in orders for event_id in order), claims, strict=True):
        holders[event_id].append(claim.holder)
    assert {tuple(sorted(each)) for each in holders.values()} == {(*[Holder.ANOTHER] * 5, Holder.NOBODY)}


async def test_whoever_waits_while_calls_are_gathered_is_told_before_long(ledger: Tellable) -> None:
    await asyncio.gather(*(ledger.write(full(f"e{number}")) for number in range(100)))
    for _ in range(100):
        told = ledger.gathering()
        if told is not None:
            async with asyncio.timeout(60):
                await told
        await asyncio.sleep(0)
    await ledger.write(full("e1"))
