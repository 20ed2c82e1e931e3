"""Enrichments that an event owes, and the plan that follows."""

from dataclasses import replace

import orjson
import pytest

from bridge.core.answer.ending import cancelled, conversation_finished
from bridge.core.answer.sent_ending import SentEnding
from bridge.core.delivery.poison import MAX_DEATHS
from bridge.core.delivery.trace import TracedEntry, entry_lines, facts
from bridge.core.event.enrichment import EnrichmentKind, WantedEnrichment
from bridge.core.ledger.ledger_entry import Claim, Entry, Holder, Plan, State, plan
from bridge.core.ledger.owed_enrichments import (
    NOT_NAMED,
    RecordedMessage,
    enrichment_id,
    failed_enrichment_id,
    owed_of,
)

INSIGHTS, RECOMMENDED = (
    WantedEnrichment(EnrichmentKind.INSIGHTS),
    WantedEnrichment(EnrichmentKind.RECOMMENDED_RESPONSES),
)
ANSWER = orjson.dumps({"type": "interaction-complete", "interaction_id": "i1"})
MESSAGE = RecordedMessage("e1:interaction-insights", b"{}", SentEnding("interaction-insights", 1))


def test_an_answer_owes_what_is_wanted_of_its_interaction() -> None:
    owed = owed_of(ANSWER, "user-1", "c1", [INSIGHTS, RECOMMENDED], 60.0)
    assert owed is not None
    assert (owed.user_id, owed.conversation_id, owed.interaction_id, owed.by_s) == ("user-1", "c1", "i1", 60.0)
    assert owed.wanted == (INSIGHTS, RECOMMENDED)
    assert owed.holds_lane


@pytest.mark.parametrize(
    "ending", [cancelled("e1", "e2"), conversation_finished("e1", "c1", already=False), b"{", b"[]"]
)
def test_other_endings_owe_nothing(ending: bytes) -> None:
    assert owed_of(ending, "user-1", "c1", [INSIGHTS], 60.0) is None


@pytest.mark.parametrize("interaction_id", [None, "", 7])
@pytest.mark.parametrize("conversation_id", ["c1", None])
def test_what_names_no_interaction_can_only_fail(interaction_id: object, conversation_id: str | None) -> None:
    answer = orjson.dumps({"type": "interaction-complete", "interaction_id": interaction_id})
    owed = owed_of(answer, "user-1", conversation_id, [INSIGHTS, replace(RECOMMENDED, error="no")], 60.0)
    assert owed is not None
    assert [one.error for one in owed.wanted] == [NOT_NAMED, "no"]


def test_one_after_the_other_is_recorded_and_published() -> None:
    owed = owed_of(ANSWER, "user-1", "c1", [RECOMMENDED, INSIGHTS], 60.0)
    assert owed is not None
    owed = owed.having(RECOMMENDED, [])
    assert not owed.holds_lane
    owed = owed.having(INSIGHTS, [MESSAGE])
    assert (owed.wanted, owed.recorded) == ((), (MESSAGE,))
    assert owed.published().recorded == ()


def test_ids_are_the_events_and_the_types() -> None:
    assert enrichment_id("e1", INSIGHTS) == "e1:interaction-insights"
    source = WantedEnrichment(EnrichmentKind.MESSAGE_SOURCE)
    assert enrichment_id("e1", source, "m1") == "e1:message-source:m1"
    assert failed_enrichment_id("e1", EnrichmentKind.MESSAGES) == "e1:bridge-enrichment-failed:messages"


@pytest.mark.parametrize("deaths", [0, MAX_DEATHS, 99])
@pytest.mark.parametrize("redelivered", [False, True])
def test_what_is_complete_and_owes_something_is_seen_to_whoever_died(deaths: int, redelivered: bool) -> None:
    entry = Entry("e1", State.COMPLETE, b"", deaths=deaths, owed=owed_of(ANSWER, "u", "c", [INSIGHTS], 1.0))
    assert not entry.is_final
    assert plan(Claim(Holder.EARLIER, entry), redelivered=redelivered, requeue=0, sure=True) is Plan.ENRICH
    done = replace(entry, owed=None)
    assert done.is_final
    assert plan(Claim(Holder.EARLIER, done), redelivered=redelivered, requeue=0, sure=True) is Plan.REPEAT
    assert plan(Claim(Holder.ANOTHER), redelivered=redelivered, requeue=0, sure=True) is Plan.DELAY


def test_trace_tells_what_is_owed() -> None:
    owed = owed_of(ANSWER, "user-1", "c1", [INSIGHTS, RECOMMENDED], 60.0)
    assert owed is not None
    entry = Entry("e1", State.COMPLETE, b"", owed=owed.having(INSIGHTS, [MESSAGE]))
    traced = TracedEntry(entry, 1.0, 2.0)
    assert facts(traced)["owed"] == ["recommended-responses"]
    assert facts(traced)["recorded"] == ["e1:interaction-insights"]
    lines = "\n".join(entry_lines(traced))
    assert "recommended-responses, which has not been read yet" in lines
    assert "e1:interaction-insights, 2 bytes, to be published" in lines
