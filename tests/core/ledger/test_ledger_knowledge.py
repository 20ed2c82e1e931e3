"""What is known from the ledger once it was asked, written to, or asked again."""

import itertools
from dataclasses import replace

import pytest

from bridge.core.delivery.outcome import DeadLetter
from bridge.core.delivery.progress import RequestKind
from bridge.core.ledger.ledger_entry import Entry, Plan, State
from bridge.core.ledger.ledger_knowledge import UNASKED, LedgerKnowledge, first_entry, starts_over
from tests.support.making import unproved

LETTER = DeadLetter("rejected", "No.", 1)
FAILED = Entry("e1", State.FAILED, b"d", ending=b"{}", letter=LETTER, requeue=2, deaths=3)


def recalled(entry: Entry, plan: Plan) -> LedgerKnowledge:
    return UNASKED.having(entry).recalled(entry, plan, 7)


@pytest.mark.parametrize(("state", "plan"), list(itertools.product(State, Plan)))
def test_only_a_failed_event_starts_over_and_only_where_its_failure_is_not_resumed(state: State, plan: Plan) -> None:
    entry = replace(FAILED, state=state)
    expected = state is State.FAILED and plan is not Plan.RESUME_FAILURE
    assert starts_over(entry, plan) is expected
    assert recalled(entry, plan).requeue == (7 if expected else 2)
    if not expected:
        assert recalled(entry, plan).entry is entry


def test_what_starts_over_forgets_its_deaths_and_what_is_asked_anew_its_ending_too() -> None:
    assert recalled(FAILED, Plan.REPUBLISH).entry == replace(FAILED, deaths=0)
    assert recalled(FAILED, Plan.RECONCILE).entry == replace(FAILED, deaths=0)
    assert recalled(FAILED, Plan.START).entry == replace(FAILED, deaths=0, ending=None, letter=None)


@pytest.mark.parametrize("plan", list(Plan))
def test_the_ledger_has_the_end_of_what_is_published_again_or_has_failed_before(plan: Plan) -> None:
    assert recalled(FAILED, plan).recorded is (plan in (Plan.REPUBLISH, Plan.RESUME_FAILURE, Plan.ENRICH))


def test_what_is_recorded_and_the_requeue_outlast_the_entry() -> None:
    known = LedgerKnowledge(FAILED, 4).recording(recorded=True)
    assert known == LedgerKnowledge(FAILED, 4, recorded=True)
    assert known.having(None) == LedgerKnowledge(None, 4, recorded=True)


def test_an_event_is_answered_where_the_entry_has_the_ending() -> None:
    assert LedgerKnowledge(FAILED).answered
    assert not LedgerKnowledge(replace(FAILED, ending=None)).answered
    assert not UNASKED.answered


def test_the_first_entry_has_the_request_that_may_be_made_without_a_further_word() -> None:
    request = unproved(RequestKind.CREATE)
    assert first_entry("e1", b"d", None) == Entry("e1", State.CLAIMED, b"d")
    assert first_entry("e1", b"d", request) == Entry("e1", State.REQUESTED, b"d", request)
