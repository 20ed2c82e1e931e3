"""Faults as list changes: whatever strikes, a turn is settled once and nothing is said after the end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.sandbox.http.query import page
from bridge.sandbox.script.disruption import disrupt
from bridge.sandbox.script.fault import AFTER, KINDS, STREAM, Fault, UnknownFault, make_fault, parse_fault
from bridge.sandbox.script.reply import answer, pieces
from bridge.sandbox.script.reply_draft import SCRIPTS
from bridge.sandbox.script.script_steps import Commit, Cut, End, Say, ScriptStep, Void, framed, say


def steps(count: int) -> list[ScriptStep]:
    spoken = [say({"type": "new-message", "message": f"piece {number}"}) for number in range(count)]
    return [say({"type": "conversation-created"}), *spoken, Commit(), say({"type": "interaction-complete"}), End()]


@pytest.mark.parametrize("kind", [*STREAM, *AFTER])
@given(count=st.integers(0, 5), after=st.integers(0, 7))
def test_every_fault_settles_the_turn_once_and_says_nothing_after_the_end(kind: str, count: int, after: int) -> None:
    played = disrupt(steps(count), Fault(kind, after=after))
    settled = [step for step in played if isinstance(step, Commit | Void)]
    closed = [index for index, step in enumerate(played) if isinstance(step, Cut | End)]
    assert len(settled) == 1
    assert len(closed) == 1
    assert not any(isinstance(step, Say) for step in played[closed[0] :])


@pytest.mark.parametrize("kind", [*STREAM, *AFTER])
def test_a_complete_is_never_said_before_the_commit(kind: str) -> None:
    played = disrupt(steps(3), Fault(kind))
    said = [index for index, step in enumerate(played) if isinstance(step, Say) and step.type == "interaction-complete"]
    assert all(index > played.index(Commit()) for index in said)


@pytest.mark.parametrize("framing", ["", *SCRIPTS])
@given(count=st.integers(0, 4))
def test_a_framing_changes_packages_but_not_lines(framing: str, count: int) -> None:
    def lines(played: list[ScriptStep]) -> list[bytes]:
        whole = b"".join(step.data for step in played if isinstance(step, Say))
        return [line for line in whole.split(b"\n") if line]

    assert lines(framed(steps(count), framing)) == lines(steps(count))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_written_with_settings(kind: str) -> None:
    fault, count = parse_fault(f"{kind}; after=2; delay_s=0.5; keep=1; count=3")
    assert (fault.kind, fault.after, fault.delay_s, fault.keep, count) == (kind, 2, 0.5, True, 3)


@pytest.mark.parametrize(
    "text", ["", "http-200", "http-4x4", "stall;after=soon", "stall;colour=red", "stall;count=few"]
)
def test_what_is_no_fault_is_said(text: str) -> None:
    with pytest.raises(UnknownFault):
        parse_fault(text)


def test_settings_may_be_json_values() -> None:
    assert make_fault("error-mid", {"code": 503, "completed": True}).code == 503


@given(text=st.text(min_size=1).filter(str.strip), count=st.one_of(st.none(), st.integers(1, 40)))
def test_pieces_add_up_to_the_text(text: str, count: int | None) -> None:
    assert "".join(pieces(text, count)) == text


@given(message=st.text(), events=st.lists(st.text(), max_size=3))
def test_there_is_an_answer_to_everything(message: str, events: list[str]) -> None:
    assert all(answer(kind, message, events).strip() for kind in ("user-message", "external-event", "skip"))


@given(count=st.integers(0, 30), limit=st.integers(1, 9))
def test_pages_follow_each_other_to_the_end(count: int, limit: int) -> None:
    rows, token, seen = list(range(count)), 0, []
    while True:
        shown, more, following = page(rows, token, limit)
        seen += shown
        if not more:
            break
        assert following is not None
        token = following
    assert (seen, following) == (rows, None)
