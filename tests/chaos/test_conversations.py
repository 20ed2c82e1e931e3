"""The comparison of conversations is shown true records, and records that were doctored."""

import json
from dataclasses import replace

import pytest

from tests.chaos.comparing import VIOLATIONS, Told, Verdict
from tests.chaos.conversations import Talk, compare_cancels, compare_ends, compare_tags

OPEN = Talk("c1", {}, finished=False)
OVER = replace(OPEN, finished=True)


def told(type_: str, message_id: str | None = None, event_id: str = "e1", **body: object) -> Told:
    return Told(event_id, message_id or f"{event_id}:{type_}", type_, json.dumps(body).encode())


IDLE = told("conversation-finished", "c1:conversation-finished", conversation_id="c1")
ASKED = told("conversation-finished", conversation_id="c1")
NOTHING_OPEN = told("conversation-finished", event_id="e2", conversation_id=None)


def violations(verdict: Verdict) -> dict[str, int]:
    return {name: count for name in VIOLATIONS if (count := getattr(verdict, name))}


@pytest.mark.parametrize(
    ("talk", "said", "due", "seen"),
    [
        pytest.param(OVER, [IDLE], True, {}, id="finished when due"),
        pytest.param(OVER, [IDLE, IDLE], True, {}, id="a repeat"),
        pytest.param(OVER, [ASKED, NOTHING_OPEN], True, {}, id="finished by an event"),
        pytest.param(OPEN, [], False, {}, id="nothing is due"),
        pytest.param(replace(OPEN, own=False), [], True, {}, id="somebody else's"),
        pytest.param(replace(OVER, completed=True), [], True, {}, id="the agent ended it"),
        pytest.param(OPEN, [], True, {"unfinished": 1}, id="left open"),
        pytest.param(OVER, [], True, {"unfinished": 1}, id="finished in silence"),
        pytest.param(OPEN, [IDLE], False, {"unheard": 1}, id="said and not done"),
        pytest.param(OVER, [IDLE, ASKED], True, {"double": 1}, id="said twice"),
    ],
)
def test_ends(talk: Talk, said: list[Told], due: bool, seen: dict[str, int]) -> None:
    assert violations(compare_ends([talk], said, due=due)) == seen


@pytest.mark.parametrize(("tags", "seen"), [({"t1": "x"}, {}), ({}, {"unheard": 1}), ({"t2": "x"}, {"unheard": 1})])
def test_tags(tags: dict[str, str], seen: dict[str, int]) -> None:
    said = [told("conversation-tagged", conversation_id="c1")]
    assert violations(compare_tags({"e1": "t1"}, [replace(OPEN, tags=tags)], said)) == seen


@pytest.mark.parametrize(
    ("outcome", "stopped", "seen"),
    [
        ("cancelled", True, {}),
        ("too-late", False, {}),
        ("cancelled", False, {"changed": 1}),
        ("too-late", True, {"changed": 1}),
    ],
)
def test_cancels(outcome: str, stopped: bool, seen: dict[str, int]) -> None:
    said = [told("cancel-settled", cancels="e2", outcome=outcome)]
    if stopped:
        said.append(told("bridge-cancelled", event_id="e2", by="e1"))
    assert violations(compare_cancels({"e1": "e2"}, said)) == seen
