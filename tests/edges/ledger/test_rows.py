"""An entry's row keeps all that an entry says."""

from dataclasses import fields, replace

from bridge.core.delivery.progress import Phase, Progress, RequestKind
from bridge.core.ledger.ledger_entry import Entry, State
from bridge.core.ledger.planned_event import PlannedEvent
from bridge.edges.ledger.rows import entry_of, row_of
from tests.support.planned import PLANNED

WORKED_OUT = {"phase": Phase.UNPROVED, "earlier": None}
"""Fields that no row has: what an earlier process asked is unproved, whatever came before."""
TELLING: dict[str, object] = {
    "request": RequestKind.INTERACT,
    "conversation_id": "c1",
    "stream": "aabbccddeeff",
    "published": 7,
    "watermark": "m1",
    "announced": "m2",
    "lost_stream": True,
    "waits": 3,
    "busy_since_s": 1_790_000_000,
    "asked_s": 1_790_000_000.25,
    "version_set": "canary",
    "planned": PLANNED,
}


def test_every_field_of_a_progress_is_kept() -> None:
    assert {field.name for field in fields(Progress)} == TELLING.keys() | WORKED_OUT.keys()
    for name in [None, *TELLING]:
        said = {key: value for key, value in TELLING.items() if name in (None, key) or key == "request"}
        entry = Entry("e1", State.REQUESTED, b"d" * 32, replace(Progress(), **said, **WORKED_OUT))  # type: ignore[arg-type]
        assert entry_of("e1", row_of(entry)) == entry


def test_each_choice_of_a_plan_is_kept_by_itself() -> None:
    bare = PlannedEvent("user-1", service_id="5f" * 12, channel="sms", version_set="release", response_format="text")
    for field in fields(PlannedEvent):
        planned = replace(bare, **{field.name: getattr(PLANNED, field.name)})
        entry = Entry("e1", State.OPEN, b"d", replace(Progress(), request=RequestKind.CREATE, planned=planned))
        entry = replace(entry, progress=replace(entry.progress, phase=Phase.UNPROVED))
        assert entry_of("e1", row_of(entry)) == entry


def test_of_a_complete_event_only_a_user_that_was_looked_up_is_kept() -> None:
    for by_email in (True, False):
        planned = replace(PLANNED, by_email=by_email)
        progress = Progress(Phase.UNPROVED, RequestKind.CREATE, planned=planned)
        kept = entry_of("e1", row_of(Entry("e1", State.COMPLETE, b"d", progress))).progress.planned
        assert kept == (PlannedEvent("user-1", by_email=True) if by_email else None)


def test_the_user_that_an_earlier_version_kept_alone_is_read() -> None:
    old = '["create",null,"aabbccddeeff",0,"release",null,null,null,"user-7"]'
    row = (*row_of(Entry("e1", State.REQUESTED, b"d"))[:5], old, None, None, None)
    assert entry_of("e1", row).progress.planned == PlannedEvent("user-7", by_email=True)
