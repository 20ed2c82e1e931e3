"""The enrichments that an event owes: what every ledger promises of them."""

import asyncio
from dataclasses import replace

import pytest

from bridge.core.answer.ending import cancelled
from bridge.core.answer.sent_ending import SentEnding, SentTo
from bridge.core.delivery.progress import RequestKind
from bridge.core.event.enrichment import EnrichmentKind, WantedEnrichment
from bridge.core.ledger.ledger_entry import Claim, Entry, Holder, State
from bridge.core.ledger.owed_enrichments import OwedEnrichments, RecordedMessage
from bridge.flow.ports.ledger import LeaseLost
from tests.promises.ledgers import Tellable, World
from tests.promises.test_ledger_endings import laid_aside
from tests.support.making import unproved

DIGEST = bytes(range(32))
ENDING = b'{"type": "interaction-complete"}'
SENT = SentEnding("interaction-complete", 1_700_000_000, {"event_id": "e1", "attempt": 1}, (SentTo("a", "b.c"),))
PROGRESS = unproved(RequestKind.CREATE, "5f" * 12, "0a" * 6, 7)
RECORDED = RecordedMessage(
    "\ud800e1:interaction-insights",
    '{"type":"interaction-insights","result":{"a":"ü\\u0000"}}'.encode(),
    SentEnding("interaction-insights", 1_700_000_001, {"event_id": "\ud800\0e1"}, (SentTo("a", "b"), SentTo("c", "d"))),
)
OWED = OwedEnrichments(
    1_700_000_060.25,
    "user-1",
    "5f" * 12,
    "6a" * 12,
    (
        WantedEnrichment(EnrichmentKind.RECOMMENDED_RESPONSES, "The user is “Ada”\0.\ud800"),
        WantedEnrichment(EnrichmentKind.MESSAGES, error="no"),
    ),
    (RECORDED,),
)
FORMS = {
    "wanted and recorded": OWED,
    "wanted": replace(OWED, recorded=()),
    "recorded": replace(OWED, wanted=()),
    "nothing any more": replace(OWED, wanted=(), recorded=()),
    "of an answer that names nothing": replace(OWED, conversation_id=None, interaction_id=None),
}


def complete(event_id: str = "e1", owed: OwedEnrichments | None = OWED) -> Entry:
    return Entry(event_id, State.COMPLETE, DIGEST, PROGRESS, 1, ENDING, sent=SENT, owed=owed)


async def written(ledger: Tellable, *entries: Entry) -> None:
    await asyncio.gather(*(ledger.claim(entry.event_id, DIGEST) for entry in entries))
    await asyncio.gather(*(ledger.write(entry) for entry in entries))


@pytest.mark.parametrize("owed", FORMS.values(), ids=FORMS)
async def test_what_is_owed_is_found_as_it_was_written(world: World, owed: OwedEnrichments) -> None:
    first = await world.process()
    await written(first, complete(owed=owed))
    assert await first.find("e1") == complete(owed=owed)
    await world.end(first)
    claim = await (await world.process()).claim("e1", DIGEST)
    assert claim.entry is not None
    assert replace(claim.entry, deaths=0) == complete(owed=owed)


async def test_what_is_owed_no_more_leaves_nothing(ledger: Tellable) -> None:
    await written(ledger, complete())
    ledger.write_soon(complete(owed=None))
    assert await ledger.find("e1") == complete(owed=None)
    assert await ledger.claim("e1", DIGEST) == Claim(Holder.EARLIER, complete(owed=None))


async def test_who_sees_to_them_is_left_alone_by_others(world: World) -> None:
    first = await world.process()
    if not first.shared:
        return  # nobody else can have the file
    second = await world.process()
    await written(first, complete(), complete("e2", None))
    assert (await second.claim("e1", DIGEST)).holder is Holder.ANOTHER
    assert (await second.claim("e2", DIGEST)).holder is Holder.EARLIER
    with pytest.raises(LeaseLost):
        await second.write(complete(owed=None))
    await first.release(["e1"])
    assert await second.claim("e1", DIGEST) == Claim(Holder.EARLIER, complete())
    with pytest.raises(LeaseLost):
        await first.write(complete(owed=None))


async def test_an_event_that_owes_them_can_be_cancelled_no_more(ledger: Tellable) -> None:
    await written(ledger, complete())
    assert not await ledger.cancel("e1", cancelled("e1", "c1"))
    assert await ledger.find("e1") == complete()


async def test_it_keeps_its_ending_as_long_as_it_owes_something(world: World, ledger: Tellable) -> None:
    await written(ledger, complete(), complete("e2", None))
    await world.pass_endings()
    await laid_aside(ledger, "e2")
    assert await ledger.find("e1") == complete()
