"""An entry's row keeps all that an entry says."""

from dataclasses import fields, replace

from bridge.core.delivery.ledger_entry import Entry, State
from bridge.core.delivery.progress import Phase, Progress, RequestKind
from bridge.edges.ledger.rows import entry_of, row_of

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
    "user_id": "user-1",
}


def test_every_field_of_a_progress_is_kept() -> None:
    assert {field.name for field in fields(Progress)} == TELLING.keys() | WORKED_OUT.keys()
    for name in [None, *TELLING]:
        said = {key: value for key, value in TELLING.items() if name in (None, key) or key == "request"}
        entry = Entry("e1", State.REQUESTED, b"d" * 32, replace(Progress(), **said, **WORKED_OUT))  # type: ignore[arg-type]
        assert entry_of("e1", row_of(entry)) == entry
