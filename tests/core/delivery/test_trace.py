"""The history of an event in words: what is known of it, and nothing else."""

from dataclasses import replace
from math import inf

import pytest

from bridge.core.answer.history import ConversationRow
from bridge.core.answer.sent_ending import SentEnding, SentTo
from bridge.core.delivery.outcome import DeadLetter
from bridge.core.delivery.progress import Progress, RequestKind, load
from bridge.core.delivery.trace import AskedConversation, TracedEntry, conversation_lines, entry_lines, facts
from bridge.core.ledger.attempt_log import AttemptLog, Wait, WaitReason
from bridge.core.ledger.ledger_entry import Entry, State
from bridge.core.ledger.planned_event import PlannedEvent

PLANNED = PlannedEvent(
    user_id="user-7",
    service_id="5f" * 12,
    channel="sms",
    version_set="canary",
    route="payments",
    finish_s=60.0,
    tags={"source": "crm"},
)
ASKED = Progress(request=RequestKind.CREATE, stream="0" * 12, planned=PLANNED, version_set="canary")
BY_EMAIL = replace(ASKED, planned=PlannedEvent("user-7", by_email=True))
NOON_S = 1_790_000_000.0
NOON = "2026-09-21T14:13:20+00:00"


def traced(entry: Entry) -> TracedEntry:
    return TracedEntry(entry, NOON_S, NOON_S + 60)


def test_an_event_is_told_as_it_was_planned() -> None:
    known = facts(traced(Entry("e1", State.REQUESTED, b"", ASKED)))
    assert {name: known[name] for name in ("route", "user_id", "service_id", "channel", "version_set", "finish_s")} == {
        "route": "payments",
        "user_id": "user-7",
        "service_id": "5f" * 12,
        "channel": "sms",
        "version_set": "canary",
        "finish_s": 60.0,
    }
    assert (known["tags"], known["first_seen"]) == ({"source": "crm"}, NOON)
    lines = list(entry_lines(traced(Entry("e1", State.REQUESTED, b"", ASKED))))
    for line in (
        f"  first seen   {NOON}",
        "  last change  2026-09-21T14:14:20+00:00",
        "  route        payments",
        "  user         user-7",
        f"  service      {'5f' * 12}",
        "  channel      sms",
        "  version set  canary",
        "  request      create, attempts used up before it: 0",
    ):
        assert line in lines


def test_a_user_that_was_looked_up_is_told_so_and_one_that_never_finishes_has_no_seconds() -> None:
    entry = Entry("e1", State.COMPLETE, b"", BY_EMAIL)
    assert facts(traced(entry))["user_id"] == "user-7"
    assert "  user         user-7, found by e-mail" in entry_lines(traced(entry))
    never = replace(ASKED, planned=replace(PLANNED, finish_s=inf))
    assert facts(traced(Entry("e1", State.OPEN, b"", never)))["finish_s"] is None


def test_a_complete_event_is_told_as_its_ending_was_sent() -> None:
    told = {"route": "payments", "user_id": "user-7", "service_id": "5f" * 12, "channel": "sms"}
    sent = SentEnding("interaction-complete", 1, told, (SentTo("agent.events", "text.sms.interaction-complete"),))
    entry = Entry("e1", State.COMPLETE, b"", replace(ASKED, planned=None), ending=b"{}", sent=sent)
    known, lines = facts(traced(entry)), list(entry_lines(traced(entry)))
    assert {name: known[name] for name in told} == told
    assert known["sent_to"] == [{"exchange": "agent.events", "routing_key": "text.sms.interaction-complete"}]
    assert "  sent to      agent.events under text.sms.interaction-complete" in lines
    assert "  ending       2 bytes, interaction-complete" in lines


def test_attempts_are_told_with_their_reasons() -> None:
    log = AttemptLog().having(NOON_S, "busy", "the user is busy").having(NOON_S + 60, "down", "")
    entry = Entry("e1", State.FAILED, b"", ASKED, 2, letter=DeadLetter("exhausted", "why", 2), log=log)
    lines = list(entry_lines(traced(entry)))
    assert f"  attempt      {NOON} busy: the user is busy" in lines
    assert "  attempt      2026-09-21T14:14:20+00:00 down" in lines
    assert "  failed       exhausted after 2 attempts: why" in lines
    assert facts(traced(entry))["reasons"] == [
        {"at": NOON, "outcome": "busy", "error": "the user is busy"},
        {"at": "2026-09-21T14:14:20+00:00", "outcome": "down", "error": ""},
    ]


HELD = {
    WaitReason.PERSON: "in the held queue: a person has paused ",
    WaitReason.REFUSALS: "in the held queue: its route is held, ",
}


@pytest.mark.parametrize("reason", HELD)
def test_what_is_kept_back_waits_until_nobody_knows_when(reason: WaitReason) -> None:
    entry = Entry("e1", State.WAITING, b"", log=AttemptLog(wait=Wait(0, reason)))
    (line,) = [line for line in entry_lines(traced(entry)) if line.startswith("  waits ")]
    assert line.startswith(f"  waits        {HELD[reason]}")
    assert facts(traced(entry))["wait"] == {"until": None, "reason": reason.value}


@pytest.mark.parametrize("reason", [reason for reason in WaitReason if reason not in HELD])
def test_what_it_waits_for_is_told_and_until_when(reason: WaitReason) -> None:
    entry = Entry("e1", State.WAITING, b"", log=AttemptLog(wait=Wait(int(NOON_S), reason)))
    (line,) = [line for line in entry_lines(traced(entry)) if line.startswith("  waits ")]
    assert line.startswith(f"  waits        until {NOON}, for ")
    assert facts(traced(entry))["wait"] == {"until": NOON, "reason": reason.value}


def test_the_limit_that_is_waited_for_is_named() -> None:
    wait = Wait(int(NOON_S), WaitReason.LIMIT, "the limit of ann for interact until noon, 7 before it")
    entry = Entry("e1", State.WAITING, b"", log=AttemptLog(wait=wait))
    (line,) = [line for line in entry_lines(traced(entry)) if line.startswith("  waits ")]
    assert line.endswith(", for a rate limit: the limit of ann for interact until noon, 7 before it")
    assert facts(traced(entry))["wait"] == {"until": NOON, "reason": "limit", "limit": wait.about}


def test_a_busy_user_and_looks_are_told() -> None:
    progress = replace(ASKED, busy_since_s=int(NOON_S), waits=3)
    lines = list(entry_lines(traced(Entry("e1", State.WAITING, b"", progress))))
    assert f"  busy         the conversation is waited for since {NOON}" in lines
    assert "  looks        found still running 3 times" in lines


def test_deaths_and_requeues_are_told() -> None:
    lines = list(entry_lines(traced(Entry("e1", State.CLAIMED, b"", requeue=2, deaths=3))))
    assert "  deaths       3 processes died with it in hand" in lines
    assert "  requeue      2" in lines


def test_of_what_was_laid_aside_only_the_end_is_known() -> None:
    entry = Entry("e1", State.COMPLETE, b"", replace(ASKED, planned=None))
    lines = list(entry_lines(TracedEntry(entry, None, NOON_S, laid_aside=True)))
    assert f"  ended        {NOON} or before" in lines
    assert not any(line.startswith(("  first seen", "  user", "  route")) for line in lines)


def test_nothing_is_told_of_what_is_not_known() -> None:
    lines = list(entry_lines(traced(Entry("e1", State.CLAIMED, b""))))
    assert [line.split()[0] for line in lines[1:]] == ["first", "last"]


def test_a_conversation_is_told_with_what_is_in_it() -> None:
    row = ConversationRow("c1", "user-7", "5f" * 12, is_finished=True, num_messages=2)
    asked = [AskedConversation(row, answered) for answered in (True, False, None)]
    assert list(conversation_lines(asked)) == [
        "  at the API   c1, finished, 2 messages, has the answer",
        "  at the API   c1, finished, 2 messages, has no answer to it",
        "  at the API   c1, finished, 2 messages, the answer cannot be told from others",
    ]
    assert len(list(conversation_lines([]))) == 1


def test_user_and_version_set_survive_a_header_and_an_earlier_versions_progress_has_neither() -> None:
    for progress in (ASKED, BY_EMAIL):
        again = load(progress.dump())
        assert (again.planned, again.version_set) == (progress.planned, "canary")
    plain = Progress(request=RequestKind.CREATE, stream="0" * 12).dump() or ""
    assert "planned" not in plain
    assert load(plain).version_set is None
