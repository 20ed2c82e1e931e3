"""Every phase of the handling × every step: what follows, what must not happen, and where the dead letter goes."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.delivery.handling import DECIDED, UNTOUCHED, Handling, HandlingPhase, HandlingStep
from bridge.core.delivery.outcome import DeadLetter
from bridge.core.delivery.progress import ImpossibleStep
from tests.support.making import thrown

LETTER = DeadLetter("rejected", "No.", 1)
FOLLOWS = """
             new      claimed  asking   held  failed       failed-held
turn         new      claimed  -        new   failed       failed
claimed      claimed  -        -        -     -            -
asked        -        asking   -        -     -            -
answered     -        -        claimed  -     -            -
failed       -        failed   -        -     -            -
ledger-lost  held     held     -        -     failed-held  -
taken        new      new      -        -     new          -
"""


def follows() -> dict[tuple[HandlingPhase, HandlingStep], HandlingPhase | None]:
    head, *rows = [line.split() for line in FOLLOWS.strip().splitlines()]
    cells = {
        (HandlingPhase(phase), HandlingStep(row[0])): cell
        for row in rows
        for phase, cell in zip(head, row[1:], strict=True)
    }
    return {key: None if cell == "-" else HandlingPhase(cell) for key, cell in cells.items()}


def in_phase(phase: HandlingPhase) -> Handling:
    return Handling(phase, LETTER if phase in DECIDED else None)


def letter_of(step: HandlingStep) -> DeadLetter | None:
    return LETTER if step is HandlingStep.FAILED else None


@pytest.mark.parametrize(("phase", "step"), list(itertools.product(HandlingPhase, HandlingStep)))
def test_each_step_leads_where_the_table_says_or_nowhere(phase: HandlingPhase, step: HandlingStep) -> None:
    expected = follows()[phase, step]
    if expected is None:
        with pytest.raises(ImpossibleStep, match=f"{step} cannot follow on the phase {phase}"):
            in_phase(phase).after(step, letter_of(step))
    else:
        assert in_phase(phase).after(step, letter_of(step)) == in_phase(expected)


def test_the_table_names_every_step_and_every_phase() -> None:
    assert len(follows()) == len(HandlingPhase) * len(HandlingStep)


@pytest.mark.parametrize(("phase", "step"), list(itertools.product(HandlingPhase, HandlingStep)))
def test_a_letter_comes_with_the_failure_and_with_nothing_else(phase: HandlingPhase, step: HandlingStep) -> None:
    wrong = None if step is HandlingStep.FAILED else LETTER
    with pytest.raises(ImpossibleStep):
        in_phase(phase).after(step, wrong)


@pytest.mark.parametrize("phase", list(HandlingPhase))
def test_a_phase_says_what_it_means(phase: HandlingPhase) -> None:
    handling = in_phase(phase)
    assert handling.claimed is (phase == "claimed")
    assert handling.asking is (phase == "asking")
    assert handling.held is (phase in ("held", "failed-held"))


@given(st.lists(st.sampled_from(list(HandlingStep)), max_size=30))
@thrown(500)
def test_whatever_happens_what_was_decided_stays_until_another_process_has_the_event(steps: list[HandlingStep]) -> None:
    handling, decided = UNTOUCHED, False
    for step in steps:
        try:
            after = handling.after(step, letter_of(step))
        except ImpossibleStep:
            continue
        decided = step is HandlingStep.FAILED or (decided and step is not HandlingStep.TAKEN)
        handling = after
        assert (handling.letter is LETTER) is decided
        assert decided is (handling.phase in DECIDED)
