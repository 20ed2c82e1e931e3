"""The ledger port: what an event was planned with, and the attempts at it, for as long as that matters."""

from dataclasses import replace
from math import inf

import pytest

from bridge.core.delivery.outcome import DeadLetter
from bridge.core.delivery.progress import Phase, Progress, RequestKind
from bridge.core.ledger.attempt_log import NO_ATTEMPTS, AttemptLog, PastAttempt, Wait, WaitReason
from bridge.core.ledger.ledger_entry import Entry, State
from bridge.core.ledger.planned_event import PlannedEvent
from tests.support.planned import PLANNED

from .ledgers import Tellable

DIGEST = bytes(range(32))
LOG = AttemptLog(
    (PastAttempt(1, "busy", "it said “no”"), PastAttempt(2, "down", "")), Wait(60, WaitReason.RETRY), PLANNED
)


@pytest.mark.parametrize("finish_s", [0.0, 60.0, 3_600.5, inf])
async def test_what_was_planned_stands_from_the_claim_on_and_goes_with_the_end(
    ledger: Tellable, finish_s: float
) -> None:
    """But for a user whom only a look-up has told."""
    planned = replace(PLANNED, finish_s=finish_s, by_email=False)
    asked = Progress(Phase.UNPROVED, RequestKind.CREATE, stream="0a" * 6, planned=planned, version_set="canary")
    await ledger.claim("e1", DIGEST, asked)
    assert await ledger.find("e1") == Entry("e1", State.REQUESTED, DIGEST, asked)
    for state in (State.OPEN, State.WAITING, State.ANSWERED, State.FAILED):
        entry = Entry("e1", state, DIGEST, asked)
        await ledger.write(entry)
        assert await ledger.find("e1") == entry
    for known, kept in ((planned, None), (PLANNED, PlannedEvent("user-1", by_email=True))):
        await ledger.write(Entry("e1", State.COMPLETE, DIGEST, replace(asked, planned=known)))
        found = await ledger.find("e1")
        assert found is not None
        assert found.progress == replace(asked, planned=kept)


async def test_the_attempts_and_the_wait_are_kept_until_the_event_is_complete(ledger: Tellable) -> None:
    for state in (State.WAITING, State.REQUESTED, State.ANSWERED):
        entry = Entry("e1", state, DIGEST, log=LOG)
        await ledger.write(entry)
        assert await ledger.find("e1") == entry
    failed = Entry("e1", State.FAILED, DIGEST, letter=DeadLetter("exhausted", "why", 2), log=LOG)
    await ledger.write(failed)
    assert await ledger.find("e1") == failed
    await ledger.write(Entry("e1", State.COMPLETE, DIGEST, log=LOG))
    assert await ledger.find("e1") == Entry("e1", State.COMPLETE, DIGEST, log=NO_ATTEMPTS)
