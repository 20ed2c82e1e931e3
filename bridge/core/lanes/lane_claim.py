"""A lane's turn as it is asked of the ledger, and the events that wait for it (docs/semantics.md, Lanes)."""

from dataclasses import dataclass
from math import inf

from bridge.core.lanes.lane_turns import NOBODY, Key, Passing


@dataclass(frozen=True, slots=True)
class LaneClaim:
    """The turn of a lane, wanted with the claim of an event or after it.

    Those that should have been back longer ago than `lost_after_s` are waited for no more. `requeue` is the number in
    the header `x-bridge-requeue`: an event that starts over has a new place.
    """

    lane: Key
    lost_after_s: float = inf
    passing: Passing = NOBODY
    requeue: int = 0


@dataclass(frozen=True, slots=True)
class InLine:
    """An event that waits in a lane: in hand, or (`back_in_s`) away, and back in so many seconds.

    It waits for the end of the conversation `awaits`, where that is one. `held`: a pause or a hold keeps it back.
    """

    event_id: str
    back_in_s: float | None = None
    awaits: str | None = None
    held: bool = False
