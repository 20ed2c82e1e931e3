"""When the turn of an event that waits in a lane is expected, and how it waits until then.

now        + what is left for the first of the lane        + a turn for each before it                  = expected
             its turn lasts, or it is away until then        as long as the lane's turns took lately,
                                                             or as many as the limits let go in a window
"""

from collections import OrderedDict, deque
from collections.abc import Hashable
from dataclasses import dataclass

from bridge.core.delivery.retry import level_within

MAX_LANES = 10_000
"""Lanes of which it is remembered how long their turns took."""
LAST_TURNS = 8
MAX_REST_S = 60.0
"""The longest guess at what is left of a turn: whatever it waits for may be over at once."""
MANY_COPIES, LONG_S = 40, 60.0
"""Copies after which an event is parked for so long at least, however soon its turn seems to be."""


class TurnTimes:
    """How many seconds the turns of each lane took lately, without what the lane has waited for: the shortest of them.

    An estimate that is too short costs a copy more; one that is too long, after an outage say, holds up the lane.
    """

    def __init__(self) -> None:
        self._took_s: OrderedDict[Hashable, deque[float]] = OrderedDict()

    def ended(self, lane: Hashable, took_s: float) -> None:
        """A turn of the lane has ended, after so many seconds."""
        self._took_s.setdefault(lane, deque(maxlen=LAST_TURNS)).append(took_s)
        self._took_s.move_to_end(lane)
        if len(self._took_s) > MAX_LANES:
            self._took_s.popitem(last=False)

    def turn_s(self, lane: Hashable) -> float:
        """Seconds that a turn of the lane takes, about; 0 where that is not known."""
        return min(self._took_s.get(lane, (0.0,)))


@dataclass(frozen=True, slots=True)
class TurnLimit:
    """As many turns of one lane as the API's limits let go in a window; without `turns` there is no limit."""

    turns: int = 0
    window_s: float = 60.0

    def wait_s(self, turns: int) -> float:
        """Seconds after which so many turns are over, if none was taken lately."""
        return turns // self.turns * self.window_s if self.turns else 0.0


NO_TURN_LIMIT = TurnLimit()


def rest_s(running_s: float, turn_s: float) -> float:
    """Seconds that a turn is expected to last yet, which has lasted for `running_s`: beyond the usual, as long again.

    turn_s 10: running_s     0     4    12    60   300
                            10     6    12    60    60
    """
    return max(turn_s - running_s, min(running_s, MAX_REST_S) if running_s >= turn_s else 0.0)


@dataclass(frozen=True, slots=True)
class Prospect:
    """The outlook of those that wait in a lane.

    `first_s` are the seconds until the event that has the turn, or should have it, is through with it; where that is
    `away`, until it is back for it. `turn_s` is what a turn takes, and `elsewhere` how many come first of whom nothing
    is known here. `guessed`: nothing says `first_s` but the time that has passed. `blocked`: nothing in hand moves the
    lane.
    """

    first_s: float
    turn_s: float
    elsewhere: int = 0
    guessed: bool = False
    blocked: bool = False
    away: bool = False

    def turns_before(self, ahead: int) -> int:
        """The turns before the one of an event with so many ahead of it, without what is left of the first's own."""
        return max(self.elsewhere + ahead - (not self.away), 0)

    def expected_s(self, turns: int, limit: TurnLimit) -> float:
        """Seconds until the turn of an event before which so many others come."""
        return self.first_s + max(turns * self.turn_s, limit.wait_s(turns))


def parked_s(wait_s: float, copies: int) -> float:
    """Seconds in a delay queue for an event that was copied so often: the longest level that does not pass its turn.

    One that has come back too early again and again goes for longer.
    """
    least_s = LONG_S if copies >= MANY_COPIES else 1.0
    return float(level_within(max(wait_s, least_s)) or 1)
