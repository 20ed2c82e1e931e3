"""A lane beside the simplest model of one, over whatever can happen to its events, in any order.

The model is a list in the order of numbers, with what has become of each. Two processes have events in hand; they die,
their leases end, deliveries come again, copies stay away. A look tells nothing for later: in between anything happens.
"""

from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule

from bridge.core.lanes.lane_turns import Before, LaneTurns, Passing, Standing

LOST_AFTER_S = 10.0
PROCESSES = st.sampled_from(["one", "two"])
CONVERSATIONS = st.sampled_from(["c1", "c2"])
WISHES = st.one_of(st.just(Passing()), st.just(Passing(steers=True)), st.builds(Passing, joins=CONVERSATIONS))


@dataclass
class Told:
    """The model's knowledge of one event."""

    event_id: str
    holder: str | None
    back_s: float = 0.0
    held: bool = False
    started: bool = False
    awaits: str | None = None


class LaneMachine(RuleBasedStateMachine):
    events: Bundle[str] = Bundle("events")

    def __init__(self) -> None:
        super().__init__()
        self.turns = LaneTurns()
        self.line: list[Told] = []
        self.turn: Told | None = None
        self.ended: list[str] = []
        self.now_s = 0.0
        self.count = 0

    def told(self, event_id: str) -> Told | None:
        return next((each for each in self.line if each.event_id == event_id), None)

    def is_lost(self, each: Told) -> bool:
        return each.holder is None and each.back_s < self.now_s - LOST_AFTER_S

    def model_before(self, told: Told, wish: Passing) -> list[Told]:
        if self.turn is told:
            return []
        waits_for = [] if self.turn is None or self.is_lost(self.turn) else [self.turn]
        for each in self.line[: self.line.index(told)]:
            if each is self.turn or each.held or self.is_lost(each):
                continue
            if each.awaits is not None and (wish.steers or wish.joins == each.awaits):
                continue
            waits_for.append(each)
        return waits_for

    @property
    def lost_before_s(self) -> float:
        return self.now_s - LOST_AFTER_S

    @rule(target=events, holder=PROCESSES)
    def arrives(self, holder: str) -> str:
        self.count += 1
        event_id = f"e{self.count}"
        self.line.append(Told(event_id, holder))
        self.turns.arrive(event_id, holder)
        return event_id

    @rule(event_id=events, holder=PROCESSES)
    def comes_again(self, event_id: str, holder: str) -> None:
        """Redelivered, or back from a delay queue; what is settled is known as such, and gets no place."""
        if event_id not in self.ended:
            told = self.told(event_id)
            assert told is not None
            told.holder = holder
            self.turns.arrive(event_id, holder)

    @rule(event_id=events, holder=PROCESSES)
    def is_requeued(self, event_id: str, holder: str) -> None:
        if event_id in self.ended:
            self.ended.remove(event_id)
            self.line.append(Told(event_id, holder))
            self.turns.requeue(event_id, holder)

    @rule(event_id=events, holder=PROCESSES, wish=WISHES)
    def takes(self, event_id: str, holder: str, wish: Passing) -> None:
        told = self.told(event_id)
        if told is None or told.held:
            return
        told.holder = holder
        expected = self.model_before(told, wish)
        before = self.turns.take(event_id, holder, self.lost_before_s, wish)
        assert before == (Before(expected[0].event_id, len(expected)) if expected else None)
        if before is None:
            if self.turn is not told and self.turn is not None:
                self.turn.started = False
            self.turn, told.awaits = told, None

    @precondition(lambda self: self.turn is not None)
    @rule(voided=st.booleans())
    def starts(self, voided: bool) -> None:
        assert self.turn is not None
        self.turns.start(self.turn.event_id)
        if voided:
            self.turns.void(self.turn.event_id)
        self.turn.started = not voided

    @precondition(lambda self: self.turn is not None)
    @rule()
    def ends(self) -> None:
        """Answered, or failed for good."""
        assert self.turn is not None
        self.over(self.turn)

    @precondition(lambda self: self.turn is not None)
    @rule(for_s=st.floats(0, 30))
    def fails_and_is_parked(self, for_s: float) -> None:
        assert self.turn is not None
        self.parked(self.turn, for_s)

    @rule(event_id=events, for_s=st.floats(0, 30))
    def is_parked_behind_another(self, event_id: str, for_s: float) -> None:
        told = self.told(event_id)
        if told is not None and told is not self.turn:
            self.parked(told, for_s)

    @precondition(lambda self: self.turn is not None)
    @rule(conversation_id=CONVERSATIONS)
    def waits_for_an_end(self, conversation_id: str) -> None:
        assert self.turn is not None
        self.turns.wait_for_end(self.turn.event_id, conversation_id)
        self.turn.awaits, self.turn.started, self.turn = conversation_id, False, None

    @rule(event_id=events)
    def is_cancelled_or_expires(self, event_id: str) -> None:
        """Only what has not started: settled, wherever it is."""
        told = self.told(event_id)
        if told is not None and not told.started:
            self.over(told)

    @rule(event_id=events)
    def is_kept_back(self, event_id: str) -> None:
        told = self.told(event_id)
        if told is not None and not told.started:
            self.turns.hold(event_id)
            told.held, self.turn = True, None if self.turn is told else self.turn

    @rule(event_id=events)
    def is_let_go(self, event_id: str) -> None:
        told = self.told(event_id)
        if told is not None and told.held:
            self.turns.let_go(event_id)
            told.held = False

    @rule(holder=PROCESSES, lease_s=st.floats(0, 30))
    def dies(self, holder: str, lease_s: float) -> None:
        self.turns.gone(holder, self.now_s + lease_s)
        for told in self.line:
            if told.holder == holder:
                told.holder, told.back_s = None, self.now_s + lease_s

    @rule(seconds=st.floats(0, 30))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds

    @precondition(lambda self: self.turn is not None)
    @rule()
    def ends_while_another_looks(self) -> None:
        """A look, and a release right after it: who asks then is told of now, and nothing of the look."""
        turn = self.turn
        assert turn is not None
        for looker in [told for told in self.line if told is not turn and not told.held][:1]:
            looked = self.turns.before(looker.event_id, self.lost_before_s)
            expected = self.model_before(looker, Passing())
            assert (looked is None) is not bool(expected)
            self.over(turn)
            self.takes(looker.event_id, "one", Passing())

    def parked(self, told: Told, for_s: float) -> None:
        self.turns.leave(told.event_id, self.now_s + for_s)
        told.holder, told.back_s, told.started = None, self.now_s + for_s, False
        self.turn = None if self.turn is told else self.turn

    def over(self, told: Told) -> None:
        self.turns.settle(told.event_id)
        self.line.remove(told)
        self.ended.append(told.event_id)
        self.turn = None if self.turn is told else self.turn

    @invariant()
    def none_is_lost_none_is_there_twice_and_all_are_in_order(self) -> None:
        assert [place.event_id for place in self.turns] == [told.event_id for told in self.line]
        numbers = [place.number for place in self.turns]
        assert numbers == sorted(set(numbers))
        assert len(self.line) + len(self.ended) == self.count

    @invariant()
    def one_has_the_turn(self) -> None:
        turn = self.turns.turn
        assert (None if turn is None else turn.event_id) == (None if self.turn is None else self.turn.event_id)
        with_turn = [place for place in self.turns if place.standing in (Standing.TURN, Standing.STARTED)]
        assert len(with_turn) == (turn is not None)

    @invariant()
    def nobody_waits_for_ever(self) -> None:
        """Who is first, and kept back by nothing, may go, unless another has the turn."""
        if self.turn is not None and not self.is_lost(self.turn):
            return
        free = [told for told in self.line if not told.held and told is not self.turn and not self.is_lost(told)]
        if free:
            assert self.turns.before(free[0].event_id, self.lost_before_s) is None


LaneMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestLane = LaneMachine.TestCase
