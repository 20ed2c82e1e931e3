"""Cancelling events that have not started: what every ledger promises of it."""

from dataclasses import replace

import pytest

from bridge.core.answer.ending import cancelled
from bridge.core.delivery.progress import Progress, RequestKind
from bridge.core.ledger.ledger_entry import Entry, Holder, State
from bridge.flow.ports.ledger import LeaseLost
from tests.support.making import unproved

from .ledgers import Tellable, World

DIGEST = b"0" * 32
CANCELLED = cancelled("e1", "c1")


async def test_an_event_that_nobody_knows_can_be_cancelled_before_it_comes(ledger: Tellable) -> None:
    assert await ledger.cancel("e1", CANCELLED)
    claim = await ledger.claim("e1", DIGEST)
    assert claim.holder is Holder.EARLIER
    assert claim.entry is not None
    assert (claim.entry.state, claim.entry.ending) == (State.ANSWERED, CANCELLED)


@pytest.mark.parametrize("state", [State.CLAIMED, State.WAITING])
@pytest.mark.parametrize("requeue", [0, 2])
async def test_what_has_not_started_is_cancelled_and_whoever_has_it_loses_it(
    ledger: Tellable, state: State, requeue: int
) -> None:
    await ledger.claim("e1", DIGEST)
    mine = Entry("e1", state, DIGEST, attempt=1, requeue=requeue)
    await ledger.write(mine)
    assert await ledger.cancel("e1", CANCELLED)
    with pytest.raises(LeaseLost):
        await ledger.write(replace(mine, state=State.REQUESTED, progress=unproved(RequestKind.CREATE)))
    claim = await ledger.claim("e1", DIGEST)
    assert claim.entry == replace(mine, state=State.ANSWERED, ending=CANCELLED)
    await ledger.write(replace(claim.entry, state=State.COMPLETE))
    assert (await ledger.find("e1")) == replace(mine, state=State.COMPLETE, ending=CANCELLED)


async def test_a_claim_that_is_new_can_be_cancelled(ledger: Tellable) -> None:
    await ledger.claim("e1", DIGEST)
    assert await ledger.cancel("e1", CANCELLED)
    with pytest.raises(LeaseLost):
        await ledger.write(Entry("e1", State.REQUESTED, DIGEST, unproved(RequestKind.CREATE)))


@pytest.mark.parametrize("state", [state for state in State if state not in (State.CLAIMED, State.WAITING)])
async def test_what_has_started_or_ended_is_left_alone(ledger: Tellable, state: State) -> None:
    await ledger.claim("e1", DIGEST)
    ending = b'{"type":"interaction-complete"}' if state in (State.ANSWERED, State.COMPLETE) else None
    entry = Entry("e1", state, DIGEST, unproved(RequestKind.CREATE), ending=ending)
    await ledger.write(entry)
    assert not await ledger.cancel("e1", CANCELLED)
    assert await ledger.find("e1") == entry
    await ledger.write(entry)


async def test_what_waits_and_may_have_been_asked_for_is_not_cancelled(ledger: Tellable) -> None:
    await ledger.claim("e1", DIGEST)
    entry = Entry("e1", State.WAITING, DIGEST, unproved(RequestKind.INTERACT, "5f" * 12))
    await ledger.write(entry)
    assert not await ledger.cancel("e1", CANCELLED)
    waiting = Progress(busy_since_s=5)
    await ledger.write(replace(entry, progress=waiting))
    assert await ledger.cancel("e1", CANCELLED)


async def test_who_cancels_again_is_told_the_same(ledger: Tellable) -> None:
    assert await ledger.cancel("e1", CANCELLED)
    assert await ledger.cancel("e1", cancelled("e1", "c2"))
    claim = await ledger.claim("e1", DIGEST)
    assert claim.entry is not None
    assert claim.entry.ending == CANCELLED
    await ledger.write(replace(claim.entry, state=State.COMPLETE))
    assert await ledger.cancel("e1", CANCELLED)


async def test_a_claim_that_begins_with_a_request_finds_the_cancel_first(ledger: Tellable) -> None:
    cancels = ledger.cancel("e1", CANCELLED)
    assert await cancels
    claim = await ledger.claim("e1", DIGEST, progress=unproved(RequestKind.CREATE, stream="0a" * 6))
    assert claim.entry is not None
    assert claim.entry.state is State.ANSWERED
    assert (await ledger.find("e1")) == claim.entry


async def test_another_process_cancels_what_this_one_holds(world: World) -> None:
    ledger, other = await world.process(), await world.process()
    if other.trouble is not None:
        return  # one process at a time has this ledger
    await ledger.claim("e1", DIGEST)
    assert await other.cancel("e1", CANCELLED)
    with pytest.raises(LeaseLost):
        await ledger.write(Entry("e1", State.REQUESTED, DIGEST, unproved(RequestKind.CREATE)))
