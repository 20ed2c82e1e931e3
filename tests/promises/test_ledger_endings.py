"""How long endings are kept, and that events are known for longer: what every ledger promises of it."""

import asyncio
from dataclasses import replace

import pytest

from bridge.core.answer.ending import CONVERSATION_FINISHED, cancelled
from bridge.core.answer.sent_ending import SentEnding, SentTo
from bridge.core.delivery.outcome import DeadLetter
from bridge.core.delivery.progress import Progress, RequestKind
from bridge.core.ledger.ledger_entry import FINAL, Claim, Entry, Holder, State
from bridge.flow.ports.ledger import LeaseLost
from tests.support.making import unproved
from tests.support.waiting import until

from .ledgers import Tellable, World

DIGEST = bytes(range(32))
ENDING = b'{"type": "interaction-complete"}'
HEADERS = {"event_id": "\ud800\0e", "attempt": 1, "stream": "0a" * 6}
SENT = SentEnding("interaction-complete", 1_700_000_000, HEADERS, (SentTo("agent.events", "a.b"), SentTo("other", "c")))
PROGRESS = unproved(RequestKind.CREATE, "5f" * 12, "0a" * 6, 7)


def complete(event_id: str) -> Entry:
    return Entry(event_id, State.COMPLETE, DIGEST, PROGRESS, 1, ENDING, sent=SENT)


async def written(ledger: Tellable, *entries: Entry) -> None:
    await asyncio.gather(*(ledger.claim(entry.event_id, DIGEST) for entry in entries))
    await asyncio.gather(*(ledger.write(entry) for entry in entries))


async def laid_aside(ledger: Tellable, event_id: str) -> Entry:
    """The entry, once its ending is gone."""

    async def without() -> bool:
        found = await ledger.find(event_id)
        assert found is not None, "it is known all the while"
        return found.ending is None

    await until(without, "the ending is kept no more")
    found = await ledger.find(event_id)
    assert found is not None
    return found


@pytest.mark.parametrize("state", State)
async def test_the_way_of_an_ending_is_kept_with_it(ledger: Tellable, state: State) -> None:
    entry = replace(complete("e1"), state=state)
    await written(ledger, entry)
    assert await ledger.find("e1") == entry
    assert await ledger.claim("e1", DIGEST) == Claim(Holder.EARLIER, entry)
    bare = replace(entry, sent=SentEnding(CONVERSATION_FINISHED, 0))
    await ledger.write(bare)
    assert await ledger.find("e1") == bare


async def test_what_is_complete_for_long_is_known_without_its_ending(world: World, ledger: Tellable) -> None:
    await written(ledger, complete("e1"))
    await ledger.release(["e1"])
    await world.pass_endings()
    aside = await laid_aside(ledger, "e1")
    assert replace(aside, digest=DIGEST) == replace(complete("e1"), ending=None, sent=None)
    assert aside.is_of(DIGEST)
    assert not aside.is_of(b"0" * 32)
    assert await ledger.claim("e1", DIGEST) == Claim(Holder.EARLIER, aside)
    assert not await ledger.cancel("e1", cancelled("e1", "c1"))
    assert await ledger.find("e1") == aside


async def test_what_has_no_history_keeps_its_ending_and_what_has_not_ended_is_left_alone(
    world: World, ledger: Tellable
) -> None:
    letter = DeadLetter("rejected", "it said “no”\0\n", 4)
    kept = [
        replace(complete("failed"), state=State.FAILED, letter=letter, requeue=2),
        replace(complete("own"), sent=replace(SENT, type=CONVERSATION_FINISHED)),
        Entry("unsent", State.COMPLETE, DIGEST, ending=cancelled("unsent", "c1")),
        *[replace(complete(state), state=state) for state in State if state not in FINAL],
    ]
    await written(ledger, complete("e1"), *kept)
    await world.pass_endings()
    await laid_aside(ledger, "e1")
    for entry in kept:
        found = await ledger.find(entry.event_id)
        assert found is not None
        assert found.is_of(DIGEST)
        assert replace(found, digest=DIGEST) == entry
    assert await ledger.cancel("unsent", cancelled("unsent", "c2"))


async def test_what_is_started_over_after_that_counts_from_then_on(world: World, ledger: Tellable) -> None:
    failed = replace(complete("e1"), state=State.FAILED, ending=None, sent=None)
    await written(ledger, failed, complete("e2"))
    await world.pass_endings()
    await laid_aside(ledger, "e2")
    claim = await ledger.claim("e1", DIGEST)
    assert claim.entry is not None
    assert claim.entry.state is State.FAILED
    again = replace(failed, state=State.REQUESTED, requeue=1)
    await ledger.write(again)
    assert await ledger.find("e1") == again
    assert await ledger.claim("e1", DIGEST) == Claim(Holder.EARLIER, again)
    await written(ledger, replace(complete("e1"), requeue=1))
    await world.pass_endings()
    assert (await laid_aside(ledger, "e1")).requeue == 1
    assert (await ledger.claim("e1", DIGEST)).entry == await ledger.find("e1")


async def test_thousands_that_were_laid_aside_are_told_from_those_that_nobody_knew(
    world: World, ledger: Tellable
) -> None:
    ids = [f"e{number}" for number in range(3_000)]
    await written(ledger, *map(complete, ids))
    await world.pass_endings()
    for event_id in ids:
        await laid_aside(ledger, event_id)
    for _ in range(2):
        claims = await asyncio.gather(*(ledger.claim(event_id, DIGEST) for event_id in ids))
        assert {(claim.holder, claim.entry and claim.entry.state) for claim in claims} == {
            (Holder.EARLIER, State.COMPLETE)
        }
        new = await asyncio.gather(*(ledger.find(f"new{number}") for number in range(3_000)))
        assert set(new) == {None}
        await world.end(ledger)
        ledger = await world.process()


async def test_who_is_beaten_to_an_event_that_was_laid_aside_has_lost_it(world: World, ledger: Tellable) -> None:
    failed = replace(complete("e1"), state=State.FAILED, ending=None, sent=None)
    await written(ledger, failed, complete("e2"))
    await world.pass_endings()
    await laid_aside(ledger, "e2")
    await ledger.claim("e1", DIGEST)
    await ledger.write(replace(failed, state=State.REQUESTED))
    assert not await ledger.cancel("e1", cancelled("e1", "c1"))
    await ledger.write(replace(failed, state=State.CLAIMED, progress=Progress()))
    assert await ledger.cancel("e1", cancelled("e1", "c1"))
    with pytest.raises(LeaseLost):
        await ledger.write(replace(failed, state=State.REQUESTED))
