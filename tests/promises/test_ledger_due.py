"""Due finishes of conversations: what every ledger promises of them."""

from dataclasses import replace

import pytest

from bridge.core.ledger.due_finish import DueFinish
from bridge.core.ledger.ledger_entry import Entry, State
from tests.promises.ledgers import Tellable, World

INF = float("inf")
LATE_S = 4_000_000_000.0
"""So late that nothing is purged."""
DIGEST = b"0" * 32
DUE = DueFinish("c1", "user-1", "5f" * 12, 60.0, 1_000.0, "e1", "sms", "release", "alerts", {"k": "v ü"})


async def kept(ledger: Tellable, *dues: DueFinish) -> None:
    """Due finishes are written with what is written next."""
    for due in dues:
        ledger.keep_due(due)
    await ledger.claim("e1", DIGEST)
    await ledger.write(Entry("e1", State.OPEN, DIGEST))


async def test_what_is_kept_is_due_after_its_silence_and_as_it_was(ledger: Tellable) -> None:
    other = replace(DUE, conversation_id="c2", route=None, tags={}, finish_s=0.0)
    await kept(ledger, DUE, other)
    assert list(await ledger.due(999.0, 10)) == []
    assert list(await ledger.due(1_000.0, 10)) == [other]
    assert list(await ledger.due(1_060.0, 10)) == [other, DUE]
    assert list(await ledger.due(1_060.0, 1)) == [other]


@pytest.mark.parametrize(
    ("first", "then", "holds"), [(60.0, 0.0, 60.0), (0.0, 60.0, 60.0), (INF, 5.0, INF), (5.0, INF, INF)]
)
async def test_of_several_wishes_the_latest_end_holds(
    ledger: Tellable, first: float, then: float, holds: float
) -> None:
    await kept(ledger, replace(DUE, finish_s=first, last_s=LATE_S - 1_000.0))
    later = replace(DUE, finish_s=then, last_s=LATE_S, event_id="e2", channel="email", tags={"n": "1"})
    await kept(ledger, later)
    assert list(await ledger.due(LATE_S + holds - 1 if holds < INF else 1e12, 10)) == []
    if holds < INF:
        assert list(await ledger.due(LATE_S + holds, 10)) == [replace(later, finish_s=holds)]


async def test_a_sign_of_life_ends_what_was_begun_of_a_finish(ledger: Tellable) -> None:
    await kept(ledger, DUE)
    taken = await ledger.take_due("c1", 1_060.0)
    assert taken == DUE
    begun = replace(taken, requested=True, ending=b"{}", again_s=1_100.0)
    await ledger.set_due(begun)
    assert list(await ledger.due(1_099.0, 10)) == []
    assert list(await ledger.due(1_100.0, 10)) == [begun]
    await kept(ledger, replace(DUE, last_s=1_100.0))
    assert list(await ledger.due(1_159.0, 10)) == []
    assert list(await ledger.due(1_160.0, 10)) == [replace(DUE, last_s=1_100.0)]


async def test_only_what_is_still_due_can_be_taken(ledger: Tellable) -> None:
    await kept(ledger, DUE)
    assert await ledger.take_due("c1", 1_059.0) is None
    assert await ledger.take_due("nobody", 5_000.0) is None
    assert await ledger.take_due("c1", 1_060.0) == DUE
    assert await ledger.take_due("c1", 1_060.0) == DUE


async def test_what_is_known_of_a_conversation_is_found_until_it_is_over(ledger: Tellable) -> None:
    await kept(ledger, DUE)
    assert await ledger.find_due("c1") == DUE
    assert await ledger.find_due("nobody") is None
    ledger.drop_due("c1")
    assert await ledger.find_due("c1") is None


async def test_what_is_dropped_is_not_due(ledger: Tellable) -> None:
    await kept(ledger, DUE, replace(DUE, conversation_id="c2"))
    ledger.drop_due("c1")
    ledger.drop_due("c3")
    await kept(ledger)
    assert [due.conversation_id for due in await ledger.due(5_000.0, 10)] == ["c2"]


async def test_what_is_due_outlives_the_process(world: World) -> None:
    ledger = await world.process()
    await kept(ledger, DUE)
    await world.end(ledger)
    after = await world.process()
    assert list(await after.due(1_060.0, 10)) == [DUE]


async def test_what_another_process_has_taken_is_its_own(world: World) -> None:
    ledger, other = await world.process(), await world.process()
    if other.trouble is not None:
        return  # one process at a time has this ledger
    await kept(ledger, DUE)
    assert await ledger.take_due("c1", 1_060.0) == DUE
    assert await other.take_due("c1", 1_060.0) is None
    assert list(await other.due(1_060.0, 10)) == []


@pytest.mark.parametrize("event_id", ["with\0nul", "half \ud83d", "back\\slash"])
async def test_an_odd_event_id_harms_nothing(ledger: Tellable, event_id: str) -> None:
    await kept(ledger, replace(DUE, event_id=event_id))
    assert len(await ledger.due(1_060.0, 10)) == 1
