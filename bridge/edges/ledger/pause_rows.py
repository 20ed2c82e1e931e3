"""Pauses as rows, the same in every database."""

from dataclasses import replace

from bridge.core.control.pause import Pause, PauseScope
from bridge.edges.ledger.rows import Row
from bridge.flow.ports.ledger import EntryUnreadable

PAUSE_COLUMNS = (
    "key", "scope", "name", "reason", "ordered_by", "since_s", "until_s", "configuration", "probed_s"
)  # fmt: skip
SETTLED_S = 60.0
"""Age of a held event's row beyond which its message is surely in the held queue; and how long one replica sees to it.
"""


def pause_row(pause: Pause) -> Row:
    """The row, in the order of PAUSE_COLUMNS."""
    ordered = (pause.key, pause.scope.value, pause.name, pause.reason, pause.by, pause.since_s, pause.until_s)
    return (*ordered, pause.configuration, pause.probed_s)


def pause_of(row: Row) -> Pause:
    """The pause in a row. Raises EntryUnreadable where somebody else has written it."""
    key, scope, name, reason, by, since_s, until_s, configuration, probed_s = row
    try:
        until = None if until_s is None else float(until_s)
        known = Pause(PauseScope(scope), str(name), str(reason), str(by), float(since_s), until)
        return replace(known, configuration=str(configuration), probed_s=float(probed_s))
    except (TypeError, ValueError) as error:
        raise EntryUnreadable(f"the pause {key!r} cannot be read: {error}") from None
