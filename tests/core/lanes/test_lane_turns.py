"""One lane: in order of numbers, nobody for ever, none twice, whatever becomes of its events."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from bridge.core.lanes.lane_turns import (
    NEXT,
    Before,
    ImpossibleLaneStep,
    LanePlace,
    LaneStep,
    LaneTurns,
    Passing,
    Standing,
)

NEVER = float("-inf")
ALL_LOST = float("inf")
STEERS = Passing(steers=True)


def lane(*event_ids: str) -> LaneTurns:
    turns = LaneTurns()
    for event_id in event_ids:
        turns.arrive(event_id, "here")
    return turns


def test_a_lane_has_one_turn_and_whoever_waits_is_told_for_whom() -> None:
    turns = lane("a", "b", "c")
    assert turns.take("a", "here", NEVER) is None
    assert turns.take("b", "here", NEVER) == Before("a", 1)
    assert turns.take("c", "here", NEVER) == Before("a", 2)
    turns.settle("a")
    assert turns.take("c", "here", NEVER) == Before("b", 1)
    assert turns.take("b", "here", NEVER) is None


def test_who_has_the_turn_may_take_it_again() -> None:
    turns = lane("a", "b")
    assert turns.take("a", "here", NEVER) is None
    turns.start("a")
    assert turns.take("a", "there", NEVER) is None
    assert turns.turn is not None
    assert turns.turn.standing is Standing.STARTED


def test_an_event_that_comes_back_has_its_old_place() -> None:
    turns = lane("a", "b")
    assert turns.take("a", "here", NEVER) is None
    turns.leave("a", back_s=10.0)
    assert turns.take("b", "here", NEVER) == Before("a", 1)
    turns.arrive("a", "there")
    assert turns.take("b", "here", ALL_LOST) == Before("a", 1), "somebody has it: it is never lost"


def test_a_requeue_gets_a_new_number() -> None:
    turns = lane("a", "b")
    turns.requeue("a", "here")
    assert turns.take("a", "here", NEVER) == Before("b", 1)


def test_one_that_is_lost_holds_up_nobody_and_is_next_if_it_comes_after_all() -> None:
    turns = lane("a", "b", "c")
    assert turns.take("a", "here", NEVER) is None
    turns.start("a")
    turns.gone("here", at_s=10.0)
    assert turns.take("b", "there", lost_before_s=10.0) == Before("a", 1)
    assert turns.take("b", "there", lost_before_s=10.1) is None
    assert [place.standing for place in turns] == [Standing.WAITING, Standing.TURN, Standing.WAITING]
    turns.arrive("a", "there")
    assert turns.take("a", "there", lost_before_s=10.1) == Before("b", 1), "it had been lost, and b has the turn"
    assert turns.take("b", "there", lost_before_s=10.1) is None
    turns.settle("b")
    assert turns.take("c", "there", lost_before_s=10.1) == Before("a", 1)


def test_one_that_is_kept_back_holds_up_nobody_and_takes_its_old_place_when_it_is_let_go() -> None:
    turns = lane("a", "b", "c")
    turns.hold("a")
    assert turns.take("b", "here", NEVER) is None
    turns.let_go("a")
    turns.settle("b")
    assert turns.take("c", "here", NEVER) == Before("a", 1)


def test_one_that_waits_for_a_conversation_to_end_is_passed_by_what_would_not() -> None:
    turns = lane("waits", "joins", "joins-another", "finish", "starts")
    assert turns.take("waits", "here", NEVER) is None
    turns.wait_for_end("waits", "conversation")
    for event_id in ("joins-another", "starts"):
        assert turns.before(event_id, NEVER, Passing(joins=event_id)) is not None
        assert turns.before(event_id, NEVER) is not None
    assert turns.take("joins", "here", NEVER, Passing(joins="conversation")) is None
    turns.settle("joins")
    assert turns.before("finish", NEVER, STEERS) == Before("joins-another", 1), "which waits for nobody's end"
    turns.settle("joins-another")
    assert turns.take("finish", "here", NEVER, STEERS) is None
    assert turns.take("starts", "here", NEVER) == Before("finish", 2)
    turns.settle("finish")
    assert turns.take("waits", "here", NEVER) is None


def test_who_joins_another_conversation_does_not_pass() -> None:
    turns = lane("waits", "joins")
    assert turns.take("waits", "here", NEVER) is None
    turns.wait_for_end("waits", "conversation")
    assert turns.take("joins", "here", NEVER, Passing(joins="another")) == Before("waits", 1)
    assert turns.take("joins", "here", NEVER, Passing(joins="conversation")) is None


def test_the_ledgers_word_on_who_comes_first_is_followed() -> None:
    turns = lane("a", "b", "c")
    assert turns.take("a", "here", NEVER) is None
    turns.yields("a")
    turns.put_first("c")
    assert turns.take("a", "here", NEVER) == Before("c", 1)
    assert turns.take("c", "here", NEVER) is None
    assert [place.event_id for place in turns] == ["c", "a", "b"]


def test_who_is_forgotten_comes_as_if_it_was_new() -> None:
    turns = lane("a", "b")
    turns.leave("a", back_s=10.0)
    turns.forget(10.0)
    assert len(turns) == 2
    turns.forget(10.1)
    assert [place.event_id for place in turns] == ["b"]
    assert turns.take("a", "here", NEVER) == Before("b", 1)


STEPS: dict[LaneStep, Callable[[LaneTurns], object]] = {
    LaneStep.TAKE: lambda turns: turns.take("a", "here", NEVER),
    LaneStep.START: lambda turns: turns.start("a"),
    LaneStep.VOID: lambda turns: turns.void("a"),
    LaneStep.LEAVE: lambda turns: turns.leave("a", 0.0),
    LaneStep.HOLD: lambda turns: turns.hold("a"),
    LaneStep.LET_GO: lambda turns: turns.let_go("a"),
}
WAYS = {
    Standing.WAITING: (),
    Standing.TURN: (LaneStep.TAKE,),
    Standing.STARTED: (LaneStep.TAKE, LaneStep.START),
    Standing.HELD: (LaneStep.HOLD,),
}


@pytest.mark.parametrize("step", LaneStep)
@pytest.mark.parametrize("standing", Standing)
def test_every_step_from_every_standing_is_in_the_table_or_impossible(step: LaneStep, standing: Standing) -> None:
    turns = lane("a")
    for before in WAYS[standing]:
        STEPS[before](turns)
    if standing not in NEXT[step]:
        with pytest.raises(ImpossibleLaneStep):
            STEPS[step](turns)
        return
    STEPS[step](turns)
    place = turns.get("a")
    assert place is not None
    assert place.standing is NEXT[step][standing]
    assert (turns.turn is None) is (place.standing in (Standing.WAITING, Standing.HELD))


def test_one_that_was_there_before_the_others_comes_right_before_them() -> None:
    turns = LaneTurns()
    for event_id in ("first", "a", "b"):
        turns.arrive(event_id, "here")
    turns.arrive_before("old1", "here", "a")
    turns.arrive_before("old2", "here", "a")
    turns.arrive("last", "here")
    assert [place.event_id for place in turns] == ["first", "old1", "old2", "a", "b", "last"]
    assert len({place.number for place in turns}) == 6
    assert turns.before("old2", 0.0) == Before("first", 2)
    turns.settle("a")
    assert [place.event_id for place in turns] == ["first", "old1", "old2", "b", "last"]


def test_a_place_keeps_everything_else_in_another_standing() -> None:
    place = LanePlace("a", 7, "here", 3.0, Standing.WAITING, "c1")
    assert place.standing_so(Standing.HELD) == replace(place, standing=Standing.HELD)


def test_how_many_hold_up_an_event_leaves_out_who_is_kept_back_or_lost() -> None:
    turns = lane("a", "held", "away", "b")
    turns.hold("held")
    turns.leave("away", 100.0)
    assert turns.ahead({"a", "b", "unknown"}, NEVER) == {"a": 0, "b": 2}
    assert turns.ahead({"b"}, 101.0) == {"b": 1}
