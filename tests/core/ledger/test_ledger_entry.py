"""docs/semantics.md, What the ledger knows: what the ledger knows × how the event comes × who has it."""

import itertools

import pytest

from bridge.core.delivery.outcome import DeadLetter
from bridge.core.delivery.progress import NOTHING, UNKNOWN, Progress, RequestKind
from bridge.core.ledger.ledger_entry import Claim, Entry, Holder, Plan, State, plan, recall
from tests.support.making import unproved

PROGRESSES = [
    NOTHING,
    unproved(RequestKind.CREATE, stream="s"),
    unproved(RequestKind.INTERACT, "c", "s", watermark="m"),
    UNKNOWN,
]
UNSURE = (State.CLAIMED, State.REQUESTED, State.OPEN)


def entry(state: State, progress: Progress | None = None, **fields: object) -> Entry:
    ending = b"{}" if state in (State.ANSWERED, State.COMPLETE) else None
    letter = DeadLetter("exhausted", "why", 6) if state is State.FAILED else None
    made: dict[str, object] = {"progress": progress or Progress(), "ending": ending, "letter": letter, **fields}
    return Entry("e", state, b"digest", **made)  # type: ignore[arg-type]


def begun(known: Entry, plan_: Plan) -> Progress:
    """The progress of an event that begins with this plan."""
    return NOTHING.after(recall(known, plan_))


def planned(
    known: Entry | None,
    *,
    redelivered: bool = False,
    requeue: int = 0,
    holder: Holder | None = None,
    sure: bool = False,
) -> Plan:
    holder = holder or (Holder.NOBODY if known is None else Holder.EARLIER)
    return plan(Claim(holder, known), redelivered=redelivered, requeue=requeue, sure=sure)


@pytest.mark.parametrize("redelivered", [False, True])
@pytest.mark.parametrize("requeue", [0, 1])
@pytest.mark.parametrize("state", [None, *State])
def test_what_another_process_has_waits(state: State | None, redelivered: bool, requeue: int) -> None:
    known = entry(state) if state is not None else None
    assert planned(known, redelivered=redelivered, requeue=requeue, holder=Holder.ANOTHER) is Plan.DELAY


def test_an_event_that_nobody_knows_starts_unless_it_was_delivered_before() -> None:
    assert planned(None) is Plan.START
    assert planned(None, requeue=3) is Plan.START
    assert planned(None, redelivered=True) is Plan.RECONCILE


@pytest.mark.parametrize(
    ("state", "progress", "redelivered", "requeue"), list(itertools.product(UNSURE, PROGRESSES, [False, True], [0, 1]))
)
def test_what_a_process_left_unfinished_is_asked_about(
    state: State, progress: Progress, redelivered: bool, requeue: int
) -> None:
    known = entry(state, progress)
    assert planned(known, redelivered=redelivered, requeue=requeue) is Plan.RECONCILE
    assert begun(known, Plan.RECONCILE).needs_proof
    if progress.needs_proof:
        assert begun(known, Plan.RECONCILE) == progress


@pytest.mark.parametrize(
    ("state", "progress", "redelivered"), list(itertools.product([*UNSURE, State.WAITING], PROGRESSES, [False, True]))
)
def test_where_no_request_is_made_without_its_row_a_row_without_one_is_proof(
    state: State, progress: Progress, redelivered: bool
) -> None:
    proof = state in (State.CLAIMED, State.WAITING) and not progress.needs_proof
    expected = Plan.START if proof else Plan.RECONCILE
    assert planned(entry(state, progress), redelivered=redelivered, sure=True) is expected


@pytest.mark.parametrize(("progress", "redelivered"), list(itertools.product(PROGRESSES, [False, True])))
def test_what_comes_back_from_a_delay_queue_goes_on_with_what_was_asked(progress: Progress, redelivered: bool) -> None:
    known = entry(State.WAITING, progress)
    starts = not progress.needs_proof and not redelivered
    assert planned(known, redelivered=redelivered) is (Plan.START if starts else Plan.RECONCILE)
    assert begun(known, Plan.START) == NOTHING


@pytest.mark.parametrize("redelivered", [False, True])
@pytest.mark.parametrize("requeue", [0, 1, 7])
def test_an_ending_is_never_asked_for_again(redelivered: bool, requeue: int) -> None:
    assert planned(entry(State.COMPLETE), redelivered=redelivered, requeue=requeue) is Plan.REPEAT
    assert planned(entry(State.ANSWERED), redelivered=redelivered, requeue=requeue) is Plan.REPUBLISH


@pytest.mark.parametrize("redelivered", [False, True])
@pytest.mark.parametrize(("seen", "requeue"), [(0, 0), (1, 0), (1, 1), (2, 1)])
def test_a_failure_is_resumed_by_whatever_is_no_new_replay(seen: int, requeue: int, redelivered: bool) -> None:
    assert planned(entry(State.FAILED, requeue=seen), redelivered=redelivered, requeue=requeue) is Plan.RESUME_FAILURE


@pytest.mark.parametrize(("seen", "requeue"), [(0, 1), (1, 2), (1, 9)])
def test_a_new_replay_opens_a_failure_again(seen: int, requeue: int) -> None:
    assert planned(entry(State.FAILED, PROGRESSES[1], requeue=seen), requeue=requeue) is Plan.START
    assert not begun(entry(State.FAILED, PROGRESSES[1]), Plan.START).needs_proof
    answered = entry(State.FAILED, ending=b"{}", requeue=seen)
    assert planned(answered, requeue=requeue) is Plan.REPUBLISH
    for progress, then in ((PROGRESSES[0], Plan.START), (PROGRESSES[1], Plan.RECONCILE)):
        nobody = Entry("e1", State.FAILED, b"", progress, letter=DeadLetter("no-user", "why", 1), requeue=seen)
        assert planned(nobody, requeue=requeue) is then
    lost = entry(State.FAILED, letter=DeadLetter("undeliverable", "why", 1), requeue=seen)
    assert planned(lost, requeue=requeue) is Plan.RECONCILE


def test_a_lost_stream_is_not_forgotten_by_starting_over() -> None:
    known = entry(State.WAITING, Progress(lost_stream=True))
    assert begun(known, Plan.START) == Progress(lost_stream=True)
