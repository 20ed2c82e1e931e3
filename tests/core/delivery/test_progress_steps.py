"""Every phase of a progress × every step: what follows, and what must not happen."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.delivery.progress import (
    NOTHING,
    UNKNOWN,
    ConversationListed,
    Doubted,
    ImpossibleStep,
    LinesSeen,
    NotMade,
    Phase,
    Progress,
    ProvedVoid,
    Recalled,
    Recovered,
    Requested,
    RequestKind,
    StartedOver,
    Step,
    StillRunning,
    StreamOpened,
    StreamVoided,
    Waited,
    load,
)
from tests.support.making import HEX, OTHER_HEX, thrown, unproved

CREATE = Requested(RequestKind.CREATE, "a" * 12)
INTERACT = Requested(RequestKind.INTERACT, "b" * 12, HEX, "m-0")
RECALLED = unproved(RequestKind.INTERACT, HEX, "0" * 12, 7, "m-1", "m-2", lost_stream=True, waits=2)
STEPS: list[Step] = [
    CREATE,
    INTERACT,
    NotMade(),
    StreamOpened(),
    LinesSeen(3, OTHER_HEX, "m-3"),
    StreamVoided(),
    ProvedVoid(),
    StillRunning(),
    Waited(1_700_000_000),
    ConversationListed(),
    Doubted(),
    Recovered(OTHER_HEX),
    Recalled(RECALLED),
    StartedOver(lost_stream=False),
]
VOID = RECALLED.after(ProvedVoid())
STREAMING = NOTHING.after(INTERACT).after(StreamOpened()).after(LinesSeen(2, HEX, "m-1"))
IN_PHASE: dict[Phase, Progress] = {
    Phase.CLEAR: NOTHING,
    Phase.REQUESTED: NOTHING.after(INTERACT),
    Phase.REQUESTED_ANEW: VOID.after(INTERACT),
    Phase.STREAMING: STREAMING,
    Phase.UNPROVED: RECALLED,
    Phase.VOID: VOID,
}
FOLLOWS = """
                    clear      requested  requested-anew  streaming  unproved   void
Requested           requested  -          -               -          -          requested-anew
NotMade             -          clear      void            -          -          -
StreamOpened        -          streaming  streaming       -          -          -
LinesSeen           -          -          -               streaming  -          -
StreamVoided        -          -          -               unproved   -          -
ProvedVoid          -          void       void            void       void       void
StillRunning        -          unproved   unproved        unproved   unproved   unproved
Waited              clear      requested  requested-anew  streaming  unproved   void
ConversationListed  unproved   -          -               -          -          unproved
Doubted             unproved   -          -               -          -          -
Recovered           -          unproved   unproved        unproved   unproved   unproved
Recalled            unproved   unproved   unproved        unproved   unproved   unproved
StartedOver         clear      clear      clear           clear      clear      clear
"""


def follows() -> dict[tuple[Phase, str], Phase | None]:
    head, *rows = [line.split() for line in FOLLOWS.strip().splitlines()]
    cells = {(Phase(phase), row[0]): cell for row in rows for phase, cell in zip(head, row[1:], strict=True)}
    return {key: None if cell == "-" else Phase(cell) for key, cell in cells.items()}


@pytest.mark.parametrize(("phase", "step"), list(itertools.product(Phase, STEPS)), ids=lambda value: str(value)[:40])
def test_each_step_leads_where_the_table_says_or_nowhere(phase: Phase, step: Step) -> None:
    progress = IN_PHASE[phase]
    assert progress.phase is phase
    expected = follows()[phase, type(step).__name__]
    if expected is None:
        with pytest.raises(ImpossibleStep, match=f"{type(step).__name__} cannot follow on the phase {phase}"):
            progress.after(step)
    else:
        assert progress.after(step).phase is expected


def test_the_table_names_every_step_and_every_phase() -> None:
    assert {name for _, name in follows()} == {type(step).__name__ for step in STEPS}
    assert len(follows()) == len(Phase) * len({type(step) for step in STEPS})


def test_a_request_replaces_what_was_asked_before_it() -> None:
    asked = VOID.after(CREATE)
    assert asked == Progress(Phase.REQUESTED_ANEW, RequestKind.CREATE, None, "a" * 12, lost_stream=True, earlier=VOID)


def test_a_request_that_was_not_made_leaves_what_there_was() -> None:
    assert NOTHING.after(INTERACT).after(NotMade()) == NOTHING
    assert VOID.after(INTERACT).after(NotMade()) == VOID
    assert Progress(lost_stream=True).after(CREATE).after(NotMade()) == Progress(lost_stream=True)


def test_what_is_void_stays_on_record_without_its_stream() -> None:
    assert replace(RECALLED, phase=Phase.VOID, stream=None, published=0) == VOID
    assert load(VOID.dump()) == replace(VOID, phase=Phase.UNPROVED)


def test_a_stream_that_opens_has_told_subscribers_of_a_lost_one() -> None:
    opened = VOID.after(CREATE).after(StreamOpened())
    assert (opened.stream, opened.published, opened.lost_stream, opened.earlier) == ("a" * 12, 0, False, None)


def test_lines_tell_the_conversation_and_the_message() -> None:
    assert (STREAMING.published, STREAMING.conversation_id, STREAMING.announced) == (2, HEX, "m-1")
    assert STREAMING.watermark == "m-0"


def test_the_time_of_a_request_is_kept_as_long_as_it_may_have_to_be_looked_up() -> None:
    timed = Requested(RequestKind.INTERACT, "b" * 12, HEX, "m-0", 5_000.25)
    progress = NOTHING.after(timed).after(StreamOpened()).after(LinesSeen(2, HEX, "m-1")).after(StreamVoided())
    assert progress.asked_s == 5_000.25
    assert load(progress.dump()) == progress
    assert progress.after(ProvedVoid()).after(INTERACT).asked_s is None


def test_a_void_stream_leaves_its_request_to_be_looked_up() -> None:
    voided = STREAMING.after(StreamVoided())
    assert voided == unproved(RequestKind.INTERACT, HEX, watermark="m-0", announced="m-1")


def test_waits_are_counted_and_a_new_request_begins_with_none() -> None:
    assert RECALLED.after(StillRunning()).after(StillRunning()).waits == 4
    assert VOID.after(CREATE).waits == 0


def test_the_time_since_when_a_conversation_is_busy_is_kept_until_a_stream_opens() -> None:
    waits = NOTHING.after(Waited(5)).after(Waited(9))
    assert waits.busy_since_s == 5
    assert load(waits.dump()) == waits
    asked = waits.after(CREATE)
    assert (asked.busy_since_s, asked.after(NotMade()).busy_since_s) == (5, 5)
    assert asked.after(StreamOpened()).busy_since_s is None


def test_a_conversation_that_the_api_lists_counts_as_created() -> None:
    assert NOTHING.after(ConversationListed()) == unproved(RequestKind.CREATE)


def test_a_recovered_answer_names_its_conversation() -> None:
    assert UNKNOWN.after(Recovered(HEX)).conversation_id == HEX


@pytest.mark.parametrize(
    ("progress", "loses"),
    [
        (NOTHING, False),
        (unproved(RequestKind.CREATE), False),
        (UNKNOWN, True),
        (unproved(RequestKind.UNKNOWN, stream="0123456789ab"), False),
        (Progress(lost_stream=True), True),
    ],
)
def test_a_stream_is_lost_where_an_unknown_request_left_no_id_of_one(progress: Progress, loses: bool) -> None:
    assert progress.loses_stream is loses
    if progress.needs_proof:
        assert progress.after(ProvedVoid()).lost_stream is loses


@given(st.lists(st.sampled_from(STEPS), max_size=30))
@thrown(500)
def test_whatever_happens_nothing_is_asked_twice_and_no_stream_is_forgotten(steps: list[Step]) -> None:
    """A model of two facts beside it: what may be running at the API, and what subscribers may have seen."""
    progress, running, seen = NOTHING, False, False
    for step in steps:
        try:
            after = progress.after(step)
        except ImpossibleStep:
            continue
        if isinstance(step, Requested):
            assert not running, "a request is sent while another may be running"
            running = True
        elif isinstance(step, NotMade | ProvedVoid | StartedOver):
            running = False
        elif not isinstance(step, StreamOpened | LinesSeen | Waited):
            running = True
        seen = _seen(step, seen=seen)
        progress = after
        assert not running or progress.needs_proof
        assert progress.needs_proof is (progress.request is not RequestKind.NONE)
        assert not seen or progress.published > 0
        assert (progress.earlier is not None) is (progress.phase is Phase.REQUESTED_ANEW)


def _seen(step: Step, *, seen: bool) -> bool:
    if isinstance(step, LinesSeen | Recalled):
        return True
    return seen and isinstance(step, StillRunning | Recovered | Doubted | Waited)
