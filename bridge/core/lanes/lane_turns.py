"""One lane: the numbers of its events, whose turn it is, and who waits for whom (docs/semantics.md, Lanes).

    arrives ▸ a number, waiting ──take──▸ has the turn ──start──▸ started ──settle──▸ gone
                    ▴                        │                      │ void: nothing was done
                    └──────── leave ─────────┴──────────────────────┘        the number stays

An event waits for the one that has the turn, and for all with lower numbers, but for those that hold up nobody:

| an event | holds up |
| --- | --- |
| settled | nobody: it is gone from here |
| kept back by a pause or a hold | nobody; let go, it takes its old place |
| that waits for a conversation to end | what would start or wait too; `finish`, `tag` and what joins that one pass it |
| in nobody's hands, and lost | nobody; if it comes after all, it is next |

Every change of a standing is in NEXT; nowhere else is one assigned. Times are the caller's, of any one clock. Who holds
events is told by a name: this module knows processes and their leases only as names, and as moments at which they end.
"""

from bisect import bisect_left, insort
from collections.abc import Collection, Hashable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from math import inf

from bridge.core.errors import BridgeError
from bridge.core.value import value

Key = tuple[str, str]
"""A lane: (user, service)."""


class Standing(StrEnum):
    """How far an event of a lane has come. The settled ones are gone."""

    WAITING = "waiting"
    """Neither started nor settled."""
    TURN = "turn"
    """The lane is its own, and nothing has been asked of the API, or all is proved void."""
    STARTED = "started"
    """A request may have reached the API."""
    HELD = "held"
    """A pause or a hold keeps it back."""


class LaneStep(StrEnum):
    """Something that happens to an event of a lane."""

    TAKE = "take"
    START = "start"
    VOID = "void"
    """All that was asked is proved void."""
    LEAVE = "leave"
    """The turn is given up before the end: the event waits again."""
    HOLD = "hold"
    LET_GO = "let-go"


NEXT: Mapping[LaneStep, Mapping[Standing, Standing]] = {
    LaneStep.TAKE: {
        Standing.WAITING: Standing.TURN,
        Standing.TURN: Standing.TURN,
        Standing.STARTED: Standing.STARTED,
    },
    LaneStep.START: {Standing.TURN: Standing.STARTED, Standing.STARTED: Standing.STARTED},
    LaneStep.VOID: {Standing.STARTED: Standing.TURN, Standing.TURN: Standing.TURN},
    LaneStep.LEAVE: {
        Standing.WAITING: Standing.WAITING,
        Standing.TURN: Standing.WAITING,
        Standing.STARTED: Standing.WAITING,
        Standing.HELD: Standing.HELD,
    },
    LaneStep.HOLD: {Standing.WAITING: Standing.HELD, Standing.TURN: Standing.HELD, Standing.HELD: Standing.HELD},
    LaneStep.LET_GO: {Standing.HELD: Standing.WAITING, Standing.WAITING: Standing.WAITING},
}


class ImpossibleLaneStep(BridgeError):
    """A step that has no row in NEXT: a bug in whoever takes it."""


@dataclass(frozen=True, slots=True)
class Passing:
    """Whom an event may pass: all that wait for a conversation's end (`steers`), or for the end of what it `joins`."""

    steers: bool = False
    joins: str | None = None

    def passes(self, awaits: str | None) -> bool:
        """True for one that waits for the end of this conversation; None is no conversation."""
        return awaits is not None and (self.steers or self.joins == awaits)


NOBODY = Passing()
"""An event that would start, or wait too."""


@dataclass(frozen=True, slots=True)
class Before:
    """Those that come before an event: the first of them (the one with the turn, if any), and how many they are."""

    first: str
    count: int


@value(frozen=True, slots=True)
class LanePlace:
    """An event's place. `holder` is who has it in hand; with nobody, it should have been back at `back_s`.

    `awaits` is the conversation for whose end it waits.
    """

    event_id: str
    number: int
    holder: Hashable | None
    back_s: float = inf
    standing: Standing = Standing.WAITING
    awaits: str | None = None

    def lost(self, lost_before_s: float) -> bool:
        """True where nobody has it, and it should have been back before this moment."""
        return self.holder is None and self.back_s < lost_before_s

    def standing_so(self, standing: Standing) -> "LanePlace":
        """The same place in this standing."""
        return LanePlace(self.event_id, self.number, self.holder, self.back_s, standing, self.awaits)


class LaneTurns:
    """The places of one lane."""

    def __init__(self) -> None:
        self._next = 1
        self._places: dict[str, LanePlace] = {}
        self._order: list[tuple[int, str]] = []
        self._turn: str | None = None

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[LanePlace]:
        """The places in the order of their numbers."""
        return (self._places[event_id] for _, event_id in self._order)

    def get(self, event_id: str) -> LanePlace | None:
        """The event's place, if it has one."""
        return self._places.get(event_id)

    @property
    def turn(self) -> LanePlace | None:
        """The place of the event whose turn it is."""
        return None if self._turn is None else self._places[self._turn]

    def arrive(self, event_id: str, holder: Hashable) -> LanePlace:
        """The event is in these hands: with the number that it has, or else with the next one."""
        known = self._places.get(event_id)
        if known is not None:
            is_here = known.holder == holder and known.back_s == inf
            return known if is_here else self._put(replace(known, holder=holder, back_s=inf))
        place = LanePlace(event_id, self._next, holder)
        self._next += 1
        insort(self._order, (place.number, event_id))
        return self._put(place)

    def arrive_before(self, event_id: str, holder: Hashable, other: str) -> LanePlace:
        """Number an event that is new here so that it comes right before this other one."""
        number = self._places[other].number
        for place in [place for place in self if place.number >= number]:
            self._put(replace(place, number=place.number + 1))
        self._order = [(place.number, place.event_id) for place in self]
        self._next += 1
        insort(self._order, (number, event_id))
        return self._put(LanePlace(event_id, number, holder))

    def restore(self, place: LanePlace) -> None:
        """Take over a place as it was remembered, with its number."""
        self.settle(place.event_id)
        insort(self._order, (place.number, place.event_id))
        self._next = max(self._next, place.number + 1)
        self._put(place)

    def requeue(self, event_id: str, holder: Hashable) -> LanePlace:
        """The event comes again after it has failed: with a new number."""
        self.settle(event_id)
        return self.arrive(event_id, holder)

    def before(self, event_id: str, lost_before_s: float, passing: Passing = NOBODY) -> Before | None:
        """Those that the event has to wait for; None where it may have the turn."""
        if self._turn is None and self._order[0][1] == event_id:
            return None  # it is the first, as nearly all are
        places = list(self._before(event_id, lost_before_s, passing))
        return Before(places[0].event_id, len(places)) if places else None

    def take(self, event_id: str, holder: Hashable, lost_before_s: float, passing: Passing = NOBODY) -> Before | None:
        """Give the event the turn, or (what it returns) say who comes before it. It has a number from then on.

        Raises ImpossibleLaneStep for one that is kept back.
        """
        self.arrive(event_id, holder)
        before = self.before(event_id, lost_before_s, passing)
        if before is not None:
            return before
        if self._turn not in (None, event_id):  # lost with it: it has its place, no longer the turn
            self._step(self._turn or "", LaneStep.LEAVE)
        place = self._step(event_id, LaneStep.TAKE)
        if place.awaits is not None:
            self._put(replace(place, awaits=None))
        self._turn = event_id
        return None

    def start(self, event_id: str) -> None:
        """A request of the event may reach the API from now on."""
        self._step(event_id, LaneStep.START)

    def void(self, event_id: str) -> None:
        """All that was asked for the event is proved void."""
        self._step(event_id, LaneStep.VOID)

    def leave(self, event_id: str, back_s: float) -> None:
        """Nobody has the event in hand: it should be back at that time. Its turn is over."""
        place = self._step(event_id, LaneStep.LEAVE)
        self._put(replace(place, holder=None, back_s=back_s))

    def yields(self, event_id: str) -> None:
        """The event waits again, in the same hands. Its turn is over."""
        self._step(event_id, LaneStep.LEAVE)

    def put_first(self, event_id: str) -> None:
        """The event comes before all others from now on: whoever numbers them for all has said so."""
        place, lowest = self._places[event_id], self._order[0][0]
        if place.number != lowest:
            self._order.remove((place.number, event_id))
            insort(self._order, (lowest - 1, event_id))
            self._put(replace(place, number=lowest - 1))

    def before_in_line(self, event_id: str, lost_before_s: float, passing: Passing = NOBODY) -> Iterator[LanePlace]:
        """Those with lower numbers that hold the event up, whoever has the turn."""
        number = self._places[event_id].number
        for place in self:
            if place.number >= number:
                return
            is_free = place.standing is Standing.HELD or place.lost(lost_before_s)
            if not is_free and not passing.passes(place.awaits):
                yield place

    def ahead(self, event_ids: Collection[str], lost_before_s: float) -> dict[str, int]:
        """How many come before each of these that hold it up; for those that have places."""
        counts: dict[str, int] = {}
        count = 0
        for place in self:
            if place.event_id in event_ids:
                counts[place.event_id] = count
            count += place.standing is not Standing.HELD and not place.lost(lost_before_s)
        return counts

    def wait_for_end(self, event_id: str, conversation_id: str) -> None:
        """The event waits until this conversation has ended. Its turn is over."""
        self._put(replace(self._step(event_id, LaneStep.LEAVE), awaits=conversation_id))

    def line_up(
        self, event_id: str, holder: Hashable, back_s: float | None, awaits: str | None, *, held: bool
    ) -> LanePlace:
        """The event waits: in these hands, or (`back_s`) away, for a conversation's end (`awaits`), or kept back."""
        if self.arrive(event_id, holder).standing is Standing.HELD and not held:
            self.let_go(event_id)
        if awaits is not None:
            self.wait_for_end(event_id, awaits)
        if held:
            self.leave(event_id, -inf if back_s is None else back_s)
            self.hold(event_id)
        elif back_s is not None:
            self.leave(event_id, back_s)
        return self._places[event_id]

    def hold(self, event_id: str) -> None:
        """The event is kept back: it holds up nobody, and keeps its place."""
        self._step(event_id, LaneStep.HOLD)

    def let_go(self, event_id: str) -> None:
        """Nothing keeps the event back any more."""
        self._step(event_id, LaneStep.LET_GO)

    def settle(self, event_id: str) -> None:
        """The event has come to its end, however that is. Nothing where it has no place."""
        place = self._places.pop(event_id, None)
        if place is not None:
            del self._order[bisect_left(self._order, (place.number, event_id))]
            self._turn = None if self._turn == event_id else self._turn

    def gone(self, holder: Hashable, at_s: float) -> None:
        """These hands are gone, and their lease is over then: what they had is expected back from that moment on."""
        for place in list(self):
            if place.holder == holder:
                self._put(replace(place, holder=None, back_s=at_s))

    def forget(self, before_s: float) -> None:
        """Forget those that should have been back before this moment: should one come yet, it is as if it was new."""
        for place in [place for place in self if place.lost(before_s)]:
            self.settle(place.event_id)

    def _before(self, event_id: str, lost_before_s: float, passing: Passing) -> Iterator[LanePlace]:
        number, turn = self._places[event_id].number, self.turn
        if turn is not None and turn.event_id == event_id:
            return  # whoever has come back since, or was let go, waits for it
        if turn is not None and not turn.lost(lost_before_s):
            yield turn
        for place in self:
            if place.number >= number:
                return
            is_free = place is turn or place.standing is Standing.HELD or place.lost(lost_before_s)
            if not is_free and not passing.passes(place.awaits):
                yield place

    def _step(self, event_id: str, step: LaneStep) -> LanePlace:
        place = self._places[event_id]
        standing = NEXT[step].get(place.standing)
        if standing is None:
            raise ImpossibleLaneStep(f"{step} cannot follow on {place.standing}")
        if self._turn == event_id and standing in (Standing.WAITING, Standing.HELD):
            self._turn = None
        return self._put(place.standing_so(standing))

    def _put(self, place: LanePlace) -> LanePlace:
        self._places[place.event_id] = place
        return place
