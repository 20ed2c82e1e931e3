"""The calls of one (scope, operation) in the last window, and who waits for the next one: a sliding log.

A call counts from the moment it is let go until a window after its answer. The server counts it somewhere between the
two, so whenever the server's own window begins, it never sees more calls in one than the limit (docs/semantics.md,
Limits of the API).

Who has to wait gets a place. Whoever comes back at the moment that was told finds the place kept; who does not come is
waited for a little, then passed, and is next when it comes after all. Places go round by user: one user's many do not
come before another's first. Times are seconds on the caller's clock.
"""

from bisect import insort
from collections import deque
from dataclasses import dataclass, field
from math import inf

GUARD = 0.002
"""The share by which a window is taken to be longer: two clocks do not run alike (a slewed one is off by 0.0005)."""
GRACE = 1 / 12
"""How long a place is kept for who does not come, in windows."""
FORGET_S = 600.0


@dataclass(slots=True)
class Figure:
    """How many calls of an operation fit into a window; `span_s` is the window with the guard."""

    limit: int
    window_s: float
    span_s: float = field(init=False)

    def __post_init__(self) -> None:
        self.span_s = self.window_s * (1 + GUARD)


@dataclass(slots=True, order=True)
class LogPlace:
    """A caller's place. Lower ranks come first; `due_s` is the moment that the caller was told last."""

    rank: int
    number: int
    caller: str = field(compare=False)
    user_id: str = field(compare=False)
    since_s: float = field(compare=False)
    due_s: float = field(compare=False, default=inf)


class CallLog:
    """Decides when the next call may be made."""

    __slots__ = ("_answered", "_drawn", "_figure", "_places", "_served", "closed_until_s", "limited_s", "unanswered")

    def __init__(self, figure: Figure) -> None:
        self._figure = figure
        self._answered: deque[float] = deque()
        self._places: list[LogPlace] = []
        self._served = self._drawn = 0
        self.unanswered = 0
        self.closed_until_s = -inf
        self.limited_s = 0.0
        """How long the call that was let go last had waited for its place to come."""

    def occupying(self, now_s: float) -> int:
        """How many calls count now."""
        answered, span_s = self._answered, self._figure.span_s
        while answered and answered[0] + span_s <= now_s:
            answered.popleft()
        return len(answered) + self.unanswered

    def idle(self, now_s: float) -> bool:
        """True where nothing would be missed if the log were thrown away."""
        return not self._places and now_s >= self.closed_until_s and not self.occupying(now_s)

    def wait_s(self, caller: str, user_id: str, now_s: float) -> float:
        """0 where the call may be made now: it counts at once. Else seconds until then, and the caller has a place."""
        self.limited_s = 0.0
        if not self._places and now_s >= self.closed_until_s and self.occupying(now_s) < self._figure.limit:
            self.unanswered += 1
            return 0.0
        place = self._place(caller, user_id, now_s)
        ahead = self._ahead(place, now_s)
        free = self._figure.limit - self.occupying(now_s)
        if now_s >= self.closed_until_s and free > sum(other.due_s <= now_s for other in ahead):
            self._places.remove(place)
            self._served = max(self._served, place.rank)
            self.limited_s = now_s - place.since_s
            self.unanswered += 1
            return 0.0
        place.due_s = self._moment(len(ahead), now_s)
        return place.due_s - now_s

    def turn_s(self, caller: str, user_id: str, now_s: float) -> float:
        """0 where it is the caller's turn to ask who keeps the log elsewhere, with as many others as may call at once.

        Else seconds until then, about. The caller has a place, until `served`.
        """
        place = self._place(caller, user_id, now_s)
        ahead = len(self._ahead(place, now_s))
        if ahead < self._figure.limit:
            return 0.0
        place.due_s = max(self._moment(ahead, now_s), now_s + self._figure.window_s / self._figure.limit)
        return place.due_s - now_s

    def served(self, caller: str, due_s: float | None) -> None:
        """The caller may call, or has a moment for it; or (`due_s`) is to ask again then."""
        place = self._place_of(caller)
        if place is None:
            return
        if due_s is not None:
            place.due_s = due_s
            return
        self._places.remove(place)
        self._served = max(self._served, place.rank)

    def before(self, caller: str, now_s: float) -> int:
        """How many come before the caller's next call."""
        place = self._place_of(caller)
        return 0 if place is None else len(self._ahead(place, now_s))

    def holds_back_s(self, now_s: float) -> float:
        """For how long calls are held back that have been asked for; 0 where none is."""
        closed_s = self.closed_until_s - now_s
        if not self._places or self.occupying(now_s) < self._figure.limit:
            return max(0.0, closed_s)
        return self._moment(0, now_s) - now_s

    def leave(self, caller: str) -> None:
        """Give up the caller's place."""
        place = self._place_of(caller)
        if place is not None:
            self._places.remove(place)

    def answered(self, now_s: float) -> None:
        """A call that was let go has its answer, or never will have one."""
        self.unanswered -= 1
        self._answered.append(now_s)
        if len(self._answered) > 2 * self._figure.limit:
            self._answered.popleft()

    def unmade(self) -> None:
        """A call that was let go was not made: it cannot have reached anybody."""
        self.unanswered -= 1

    def close(self, until_s: float) -> None:
        """Let no call go before then: the API said so."""
        self.closed_until_s = max(self.closed_until_s, until_s)

    def remaining(self, left: int, reset_s: float | None, now_s: float) -> None:
        """The API counts more calls than this log, for it says how many are `left`: somebody else calls too.

        What is missing counts until the API's own window is over, in `reset_s`.
        """
        missing = self._figure.limit - self.occupying(now_s) - left
        if missing <= 0:
            return
        span_s = self._figure.span_s
        over_s = now_s + (span_s if reset_s is None else min(reset_s, span_s))
        self._answered = deque(sorted([*self._answered, *[over_s - span_s] * missing]))

    def _place_of(self, caller: str) -> LogPlace | None:
        return next((place for place in self._places if place.caller == caller), None)

    def _place(self, caller: str, user_id: str, now_s: float) -> LogPlace:
        """The caller's place, or a new one: behind all of its user's, in the round that is being served at least."""
        self._places = [place for place in self._places if place.due_s + FORGET_S > now_s]
        place = self._place_of(caller)
        if place is None:
            last = max((other.rank for other in self._places if other.user_id == user_id), default=-1)
            self._drawn += 1
            place = LogPlace(max(self._served, last + 1), self._drawn, caller, user_id, now_s)
            insort(self._places, place)
        return place

    def _ahead(self, place: LogPlace, now_s: float) -> list[LogPlace]:
        """The places before this one that are waited for."""
        kept_s = GRACE * self._figure.window_s
        before = self._places[: self._places.index(place)]
        return [other for other in before if other.due_s + kept_s > now_s]

    def _moment(self, ahead: int, now_s: float) -> float:
        """The earliest moment at which a call with so many before it may be made."""
        limit, span_s = self._figure.limit, self._figure.span_s
        ends = sorted([*(at_s + span_s for at_s in self._answered), *[now_s + span_s] * self.unanswered])
        rounds, turn = divmod(ahead, limit)
        turn -= limit - len(ends)  # so many are free now
        return max(ends[turn] if turn >= 0 else now_s, self.closed_until_s) + rounds * span_s
