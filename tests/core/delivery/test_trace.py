"""The history of an event in words: what is known of it, and nothing else."""

from bridge.core.delivery.ledger_entry import Entry, State
from bridge.core.delivery.planned_event import PlannedEvent
from bridge.core.delivery.progress import Progress, RequestKind, load
from bridge.core.delivery.trace import entry_lines, facts

ASKED = Progress(
    request=RequestKind.CREATE, stream="0" * 12, planned=PlannedEvent("user-7", by_email=True), version_set="canary"
)


def test_user_and_version_set_are_told_where_they_are_known() -> None:
    entry = Entry("e1", State.REQUESTED, b"", ASKED)
    known = facts(entry)
    assert (known["user_id"], known["version_set"]) == ("user-7", "canary")
    lines = list(entry_lines(entry))
    assert "  user         user-7, found by e-mail" in lines
    assert "  version set  canary" in lines


def test_nothing_is_told_of_what_is_not_known() -> None:
    lines = list(entry_lines(Entry("e1", State.CLAIMED, b"")))
    assert not any(line.startswith(("  user", "  version set")) for line in lines)


def test_both_survive_the_ledger_and_an_earlier_versions_progress_has_neither() -> None:
    again = load(ASKED.dump())
    assert (again.planned, again.version_set) == (ASKED.planned, "canary")
    plain = Progress(request=RequestKind.CREATE, stream="0" * 12).dump() or ""
    assert "user_id" not in plain
    assert load(plain).version_set is None
