"""docs/semantics.md, What the API shows, over the product of everything that can be seen."""

from collections.abc import Sequence
from itertools import product

import pytest

from bridge.core.answer.history import ConversationRow, Message
from bridge.core.delivery.progress import Progress, RequestKind
from bridge.core.delivery.reconcile import (
    LOOKS,
    Blind,
    Finding,
    Finish,
    Means,
    not_listed,
    of_interact,
    of_open,
    of_own,
    unshown,
)
from tests.support.making import HEX, message, unproved

ASKED = message("m-1", kind="external-event", text="hello")
ANSWER = message("m-2", text="the answer")
LATER = (message("m-3", "i-2", "user-message", "thanks"), message("m-4", "i-2", text="welcome"))


def row(*, finished: bool = False, messages: int = 0) -> ConversationRow:
    return ConversationRow(HEX, "user-1", "service", finished, messages)


# --- a start: looked up by its event tag


@pytest.mark.parametrize(("looks", "role_lists"), list(product((1, 2, 3), (None, True, False))))
def test_not_found_twice_is_not_done_and_not_found_once_is_not_enough(looks: int, role_lists: bool | None) -> None:
    finding = not_listed(looks, role_lists)
    if role_lists is False:
        assert finding == unshown(Blind.CONVERSATIONS)
        assert "Conversation:GetConversation is missing" in finding.error
    else:
        assert finding.means is (Means.NOT_DONE if looks >= 2 else Means.LOOK_AGAIN)


def test_two_looks_are_enough_as_the_design_says() -> None:
    assert LOOKS == 2


SEEN: dict[str, Sequence[Message]] = {
    "nothing": (),
    "asked": (ASKED,),
    "answered": (ASKED, ANSWER),
    "answered, then more": (ASKED, ANSWER, *LATER),
    "asked, others answered": (ASKED, *LATER),
}


def follows(*, seen: str, finished: bool, messages: int, finish: Finish) -> Means:
    if seen.startswith("answered"):
        return Means.ANSWERED
    if seen != "nothing":
        return Means.WAIT
    if messages:
        return Means.UNPROVABLE
    if finish is Finish.NOT_TRIED:
        return Means.FINISH
    if finished:
        return Means.NOT_DONE
    return Means.WAIT if finish is Finish.RUNNING else Means.EMPTY


@pytest.mark.parametrize(
    ("seen", "finished", "messages", "finish"), list(product(SEEN, (False, True), (0, 2), Finish)), ids=str
)
def test_what_is_seen_of_the_own_conversation_has_its_row(
    seen: str, finished: bool, messages: int, finish: Finish
) -> None:
    finding = of_own(row(finished=finished, messages=messages), SEEN[seen], finish)
    assert finding.means is follows(seen=seen, finished=finished, messages=messages, finish=finish)
    assert finding.conversation_id == HEX
    assert (finding.answer == ANSWER) is (finding.means is Means.ANSWERED)
    assert bool(finding.error) is (finding.means in (Means.WAIT, Means.UNPROVABLE))


def test_messages_that_the_api_counts_but_does_not_list_prove_nothing() -> None:
    assert of_own(row(messages=1), (), Finish.DONE) == unshown(Blind.MESSAGES, row().id)


@pytest.mark.parametrize(
    ("finished", "messages", "completed"),
    [
        (True, (ASKED, ANSWER), True),
        (False, (ASKED, ANSWER), False),
        (True, (ASKED, ANSWER, *LATER), False),
    ],
)
def test_the_answer_completed_the_conversation_only_where_it_was_its_last_word(
    finished: bool, messages: Sequence[Message], completed: bool
) -> None:
    assert of_own(row(finished=finished), messages, Finish.NOT_TRIED).conversation_completed is completed


def test_of_several_findings_the_one_that_forbids_a_start_is_the_greatest() -> None:
    assert max(Means) is Means.ANSWERED
    assert min(Means) is Means.NOT_DONE
    assert Means.UNPROVABLE > Means.WAIT > Means.FINISH > Means.LOOK_AGAIN > Means.EMPTY


# --- an interact: looked up by the announced message, or by its text after the watermark

BEFORE = (message("w-0", "i-0", "user-message", "hello"), message("w-1", "i-0", text="earlier answer"))


def interacted(announced: str | None = None, watermark: str | None = "w-1") -> Progress:
    return unproved(RequestKind.INTERACT, HEX, watermark=watermark, announced=announced)


@pytest.mark.parametrize("announced", [None, "m-1", "m-unknown"])
@pytest.mark.parametrize("text", ["hello", " hello\n"])
def test_an_interact_is_found_by_announcement_or_text_and_recovered_where_answered(
    announced: str | None, text: str
) -> None:
    finding = of_interact(interacted(announced), text, (*BEFORE, ASKED, ANSWER), 1)
    assert (finding.means, finding.answer, finding.conversation_id) == (Means.ANSWERED, ANSWER, HEX)


def test_the_announced_message_counts_though_its_text_is_another() -> None:
    finding = of_interact(interacted("m-1"), "something else", (*BEFORE, ASKED, ANSWER), 1)
    assert finding.answer == ANSWER


def test_the_same_text_before_the_watermark_is_another_events() -> None:
    assert of_interact(interacted(), "hello", BEFORE, 2).means is Means.NOT_DONE


def test_found_without_an_answer_is_waited_for() -> None:
    finding = of_interact(interacted(), "hello", (*BEFORE, ASKED, *LATER), 9)
    assert finding.means is Means.WAIT
    assert finding.error


@pytest.mark.parametrize(("looks", "means"), [(1, Means.LOOK_AGAIN), (2, Means.NOT_DONE), (3, Means.NOT_DONE)])
@pytest.mark.parametrize("text", ["other", None])
def test_an_interact_that_left_nothing_is_not_done_after_two_looks(looks: int, means: Means, text: str | None) -> None:
    assert of_interact(interacted(), text, (*BEFORE, *LATER), looks) == Finding(means, HEX)


def test_without_a_watermark_every_message_counts() -> None:
    assert of_interact(interacted(watermark=None), "hello", BEFORE, 1).answer == BEFORE[1]


@pytest.mark.parametrize(
    ("age_s", "means"),
    [
        (-1.0, Means.ANSWERED),
        (0.0, Means.ANSWERED),
        (0.5, Means.UNPROVABLE),
        (60.0, Means.UNPROVABLE),
        (61.0, Means.NOT_DONE),
        (None, Means.UNPROVABLE),
    ],
)
def test_after_a_remembered_watermark_the_apis_clock_tells_whose_the_text_is(age_s: float | None, means: Means) -> None:
    created_s = None if age_s is None else 5_000.0 - age_s
    heard = message("m-1", kind="external-event", text="hello", created_s=created_s)
    progress = unproved(RequestKind.INTERACT, HEX, watermark="w-1", asked_s=5_000.0)
    finding = of_interact(progress, "hello", (*BEFORE, heard, ANSWER), LOOKS)
    assert finding.means is means
    assert bool(finding.error) is (means is Means.UNPROVABLE)


def test_the_same_text_of_another_before_the_events_own_is_passed_over() -> None:
    another = message("m-5", "i-5", "user-message", "hello", created_s=4_990.0)
    own = message("m-1", kind="external-event", text="hello", created_s=5_001.0)
    progress = unproved(RequestKind.INTERACT, HEX, watermark="w-1", asked_s=5_000.0)
    assert of_interact(progress, "hello", (*BEFORE, another, own, ANSWER), 1).answer == ANSWER


# --- nothing known, and the only way is an open conversation


@pytest.mark.parametrize("looks", [1, 2])
def test_the_same_text_in_an_open_conversation_is_never_guessed_about(looks: int) -> None:
    for text in ("hello", " hello ", None):
        finding = of_open(text, HEX, (ASKED, ANSWER), looks)
        assert finding.means is Means.UNPROVABLE
        assert finding.error


@pytest.mark.parametrize(("looks", "means"), [(1, Means.LOOK_AGAIN), (2, Means.NOT_DONE)])
def test_a_text_that_is_not_there_twice_was_not_delivered(looks: int, means: Means) -> None:
    assert of_open("new words", HEX, (ASKED, ANSWER), looks) == Finding(means, HEX)
