"""One stream, line by line: the table of stages, ids, sequence, and exactly one ending."""

import json
from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.answer.answer_stream import LISTENING, NEXT, AnswerStream, Signal, Stage
from bridge.core.answer.outbound_message import Outbound, OutboundMessage, RoutingKey
from tests.support.making import HEX, KEY, context, factory, thrown

COMPLETE = b'{"type":"interaction-complete","message_id":"m-2","full_message":"x","conversation_completed":true}'
CREATED = b'{"type":"conversation-created","conversation_id":"%s"}' % HEX.encode()
ERROR = b'{"type":"error","http_error_code":500,"error_description":"broken"}'
SAID = b'{"type":"new-message","message":"words","sequence_number":1,"stop":false}'
ANNOUNCED = b'{"type":"user-message-available","message_id":"m-1"}'
MALFORMED = b'{"type":'

LINES = {
    "created": CREATED,
    "announced": ANNOUNCED,
    "said": SAID,
    "action": b'{"type":"current-agent-action","action":{"type":"x"}}',
    "complete": COMPLETE,
    "error": ERROR,
    "unknown type": b'{"type":"brand-new","n":1}',
    "no type": b"{}",
    "array": b"[1]",
    "number": b"5",
    "malformed": MALFORMED,
    "not utf-8": b'{"type":"\xff"}',
    "blank": b" ",
}
Act = Callable[[AnswerStream], list[OutboundMessage] | None]
ACTS: dict[str, Act] = {
    **{name: partial(AnswerStream.receive, lines=[line]) for name, line in LINES.items()},
    "ended": lambda talk: talk.ended(),
    "cut": lambda talk: talk.cut("reset"),
}
CUTS = ("malformed", "not utf-8", "blank", "cut")
TO_STAGE = {
    Stage.REQUESTED: (),
    Stage.OPEN: ("opened",),
    Stage.COMPLETE: ("opened", "complete"),
    Stage.SAVED: ("opened", "complete", "error"),
    Stage.VOID: ("opened", "error"),
    Stage.UNKNOWN: ("opened", "cut"),
}


def talk(**about: Any) -> AnswerStream:
    return AnswerStream(context(stream="0123456789ab", **about), factory())


def opened(*lines: bytes) -> AnswerStream:
    answer_stream = talk()
    answer_stream.opened()
    answer_stream.receive(lines)
    return answer_stream


def at(stage: Stage) -> AnswerStream:
    answer_stream = talk()
    for act in TO_STAGE[stage]:
        if act == "opened":
            answer_stream.opened()
        else:
            ACTS[act](answer_stream)
    assert answer_stream.stage is stage
    return answer_stream


def follows(stage: Stage, act: str) -> Stage:
    """Settled is settled; an unclean end is unknown; an error before the ending is void."""
    if stage is Stage.REQUESTED:
        return Stage.UNKNOWN if act in ("ended", "cut") else Stage.REQUESTED
    if stage is Stage.OPEN:
        return {"complete": Stage.COMPLETE, "error": Stage.VOID, "ended": Stage.UNKNOWN}.get(
            act, Stage.UNKNOWN if act in CUTS else Stage.OPEN
        )
    return Stage.SAVED if (stage, act) == (Stage.COMPLETE, "error") else stage


@pytest.mark.parametrize(("stage", "act"), list(product(Stage, ACTS)), ids=str)
def test_every_stage_meets_everything_that_can_happen(stage: Stage, act: str) -> None:
    answer_stream = at(stage)
    before = answer_stream.sequence
    messages = ACTS[act](answer_stream) or []
    assert answer_stream.stage is follows(stage, act)
    published = (
        stage in (Stage.OPEN, Stage.COMPLETE)
        and act not in (*CUTS, "ended")
        and (stage, act) != (Stage.COMPLETE, "complete")
    )
    assert [message.body for message in messages] == ([LINES[act]] if published else [])
    assert answer_stream.sequence == before + published


def test_next_is_total_for_what_can_arise_and_no_more() -> None:
    always = {Signal.ENDED, Signal.CUT}
    lines = {Signal.SAID, Signal.COMPLETED, Signal.ERRED}
    for stage in Stage:
        extra = {Signal.OPENED} if stage is Stage.REQUESTED else lines if stage in LISTENING else set()
        assert set(NEXT[stage]) == always | extra


def test_a_line_that_tells_nothing_leaves_a_stream_as_it_is() -> None:
    """Which is why the conversation does not look it up for each of them."""
    assert all(NEXT[stage][Signal.SAID] is stage for stage in LISTENING)


def test_what_is_saved_void_or_unknown_stays_so() -> None:
    for stage in (Stage.SAVED, Stage.VOID, Stage.UNKNOWN):
        assert set(NEXT[stage].values()) == {stage}
    assert set(NEXT[Stage.COMPLETE].values()) == {Stage.COMPLETE, Stage.SAVED}


@given(st.lists(st.sampled_from(sorted(ACTS)), max_size=12))
@thrown(500)
def test_any_order_of_lines_gives_a_gapless_sequence_and_at_most_one_ending(acts: list[str]) -> None:
    answer_stream, out = talk(), []
    answer_stream.opened()
    for act in acts:
        stage = answer_stream.stage
        messages = ACTS[act](answer_stream) or []
        out += messages
        assert answer_stream.stage is follows(stage, act)
        assert len(messages) <= 1
        assert not messages or stage in LISTENING
    assert [message.headers["sequence"] for message in out] == list(range(1, len(out) + 1))
    assert len({message.message_id for message in out}) == len(out)
    endings = [message for message in out if message.type == "interaction-complete"]
    assert len(endings) == (1 if answer_stream.complete else 0)
    assert answer_stream.sequence == len(out)


# --- what is published


def test_a_line_is_published_with_its_own_bytes_and_a_stable_id() -> None:
    answer_stream = opened()
    message = answer_stream.receive([SAID])[0]
    assert message.body is SAID
    assert message.type == "new-message"
    assert message.message_id == "e-1:0123456789ab:1"
    assert message.correlation_id == "e-1"
    assert (message.headers["stream"], message.headers["sequence"]) == ("0123456789ab", 1)
    assert answer_stream.receive([SAID])[0].message_id == "e-1:0123456789ab:2"


def test_the_endings_id_does_not_depend_on_its_stream() -> None:
    assert opened().receive([COMPLETE])[0].message_id == "e-1:interaction-complete"


def test_the_endings_sequence_counts_on() -> None:
    answer_stream = opened(SAID, SAID)
    assert answer_stream.receive([COMPLETE])[0].headers["sequence"] == 3
    assert answer_stream.receive([ERROR])[0].message_id == "e-1:0123456789ab:4"


def test_a_second_ending_publishes_nothing_and_changes_nothing() -> None:
    answer_stream = opened(COMPLETE)
    assert answer_stream.receive([COMPLETE.replace(b"true", b"false").replace(b"m-2", b"m-9")]) == []
    assert (answer_stream.sequence, answer_stream.conversation_completed) == (1, True)


def test_a_line_goes_to_every_outbound_that_takes_it_under_one_id() -> None:
    all_of_it, endings = Outbound("all", RoutingKey(KEY)), Outbound("endings", RoutingKey("x"), ("interaction-*",))
    answer_stream = AnswerStream(context(stream="0123456789ab"), factory(all_of_it, endings))
    answer_stream.opened()
    assert [message.exchange for message in answer_stream.receive([SAID])] == ["all"]
    both = answer_stream.receive([COMPLETE])
    assert [(message.exchange, message.to.outbound) for message in both] == [("all", 0), ("endings", 1)]
    assert {message.message_id for message in both} == {"e-1:interaction-complete"}


def test_the_conversations_id_is_known_from_the_line_that_tells_it() -> None:
    answer_stream = opened()
    assert "conversation_id" not in answer_stream.receive([SAID])[0].headers
    assert answer_stream.receive([CREATED])[0].headers["conversation_id"] == HEX
    assert answer_stream.receive([SAID])[0].headers["conversation_id"] == HEX


def test_what_the_lines_tell_is_remembered() -> None:
    answer_stream = opened(ANNOUNCED, COMPLETE)
    assert answer_stream.announced_message_id == "m-1"
    assert answer_stream.conversation_completed is True


@pytest.mark.parametrize("said", [b"1", b'"true"', b"null", b"[true]"])
def test_only_true_says_that_the_conversation_is_completed(said: bytes) -> None:
    answer_stream = opened(b'{"type":"interaction-complete","conversation_completed":%s}' % said)
    assert answer_stream.complete
    assert answer_stream.conversation_completed is False


# --- how it ends


def test_an_error_before_the_ending_makes_it_void_and_after_it_does_not() -> None:
    void, saved = opened(SAID, ERROR), opened(COMPLETE, ERROR)
    assert (void.stage, void.complete, void.error, void.error_code) == (Stage.VOID, False, "broken", 500)
    assert (saved.stage, saved.complete, saved.error, saved.error_code) == (Stage.SAVED, True, "broken", 500)


@pytest.mark.parametrize(
    ("fields", "error", "code"),
    [
        ({}, "error on the stream", None),
        ({"error_description": ""}, "error on the stream", None),
        ({"message": "old spelling"}, "old spelling", None),
        ({"error_description": {"a": 1}, "http_error_code": "500"}, "{'a': 1}", None),
        ({"error_description": "x" * 900, "http_error_code": 422}, "x" * 500, 422),
    ],
)
def test_an_error_of_any_form_is_read(fields: dict[str, Any], error: str, code: int | None) -> None:
    answer_stream = opened(json.dumps({"type": "error", **fields}).encode())
    assert (answer_stream.error, answer_stream.error_code) == (error, code)


def test_a_malformed_line_cuts_the_stream_and_says_which_line() -> None:
    answer_stream = opened(SAID)
    assert answer_stream.receive([MALFORMED]) == []
    assert answer_stream.stage is Stage.UNKNOWN
    assert answer_stream.error.startswith("line 2 of the stream is not JSON")
    assert not answer_stream.listening


def test_a_malformed_line_after_the_ending_takes_nothing_back() -> None:
    assert opened(COMPLETE, MALFORMED).stage is Stage.COMPLETE


def test_a_clean_end_without_an_ending_proves_nothing() -> None:
    answer_stream = opened(SAID)
    answer_stream.ended()
    assert answer_stream.stage is Stage.UNKNOWN
    assert answer_stream.error == "the stream ended without interaction-complete"


def test_the_first_reason_for_an_end_is_kept() -> None:
    answer_stream = opened(MALFORMED)
    answer_stream.cut("reset")
    assert "not JSON" in answer_stream.error
