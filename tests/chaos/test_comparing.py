"""The comparison must see every kind of violation: it is shown true records, and records that were doctored."""

import json
from dataclasses import replace

import pytest

from tests.chaos.comparing import VIOLATIONS, Heard, Letter, Told, Verdict, compare

EVENT, STREAM, ANSWER = "e1", "aaaaaaaaaaaa", "answer-1"
VOID_STREAM = "bbbbbbbbbbbb"


def piece(sequence: int, stream: str = STREAM, answer: str = ANSWER) -> Told:
    body = json.dumps({"type": "new-message", "message": f"word {sequence} ", "message_id": answer}).encode()
    return Told(EVENT, f"{EVENT}:{stream}:{sequence}", "new-message", body, stream, sequence)


def ending(kind: str = "interaction-complete", sequence: int = 3) -> Told:
    if kind == "bridge-failed":
        return Told(EVENT, f"{EVENT}:{kind}", kind, b'{"reason": "rejected"}')
    return Told(EVENT, f"{EVENT}:{kind}", kind, b'{"full_message": "word 1 word 2 "}', STREAM, sequence)


def void(stream: str | None, before: str | None = None) -> Told:
    body = json.dumps({"type": "bridge-voided", "stream": stream, "before": before}).encode()
    return Told(EVENT, f"{EVENT}:{stream or before}:voided", "bridge-voided", body)


HEARD = [Heard(EVENT, ANSWER)]
TOLD = [piece(1), piece(2), ending()]
FIRST_TRY = [piece(1, VOID_STREAM, "answer-0"), piece(2, VOID_STREAM, "answer-0")]
LETTERS = [Letter(EVENT, "rejected")]
UNCERTAIN = [Letter(EVENT, "uncertain")]


def violations(verdict: Verdict) -> dict[str, int]:
    return {name: count for name in VIOLATIONS if (count := getattr(verdict, name))}


@pytest.mark.parametrize(
    ("told", "letters", "heard"),
    [
        pytest.param(TOLD, [], HEARD, id="plain"),
        pytest.param([piece(1), *TOLD, TOLD[2], TOLD[1]], [], HEARD, id="repeats"),
        pytest.param([*FIRST_TRY, void(VOID_STREAM), *TOLD], [], HEARD, id="voided"),
        pytest.param([*FIRST_TRY, void(None, STREAM), *TOLD], [], HEARD, id="voided before"),
        pytest.param([*TOLD[:1], replace(ending(), stream="c" * 12, sequence=1, recovered=True)], [], HEARD, id="read"),
        pytest.param([TOLD[0], TOLD[2]], [], HEARD, id="the ending from the ledger, without the last pieces"),
        pytest.param([ending("bridge-failed")], LETTERS, [], id="failed"),
        pytest.param([TOLD[0], ending("bridge-failed")], UNCERTAIN, HEARD, id="uncertain"),
        pytest.param([], [Letter(EVENT, "undeliverable")], HEARD, id="undeliverable: told with the replay"),
    ],
)
def test_what_the_design_allows_is_no_violation(told: list[Told], letters: list[Letter], heard: list[Heard]) -> None:
    verdict = compare([EVENT], heard, told, letters)
    assert (verdict.violations, verdict.findings, verdict.events) == (0, [], 1)
    assert verdict.uncertain == (letters == UNCERTAIN)


@pytest.mark.parametrize(
    ("told", "letters", "heard", "found"),
    [
        pytest.param([], [], [], {"lost": 1}, id="nothing ever came of it"),
        pytest.param([], [], HEARD, {"lost": 1}, id="the agent heard it and nobody learns"),
        pytest.param(TOLD, [], [*HEARD, Heard(EVENT, "answer-2")], {"too_many": 1}, id="heard twice"),
        pytest.param([TOLD[2]], [], [], {"unheard": 1}, id="answered by nobody"),
        pytest.param([], LETTERS, [], {"missing": 1}, id="dead and nobody told"),
        pytest.param([ending("bridge-failed")], [], [], {"missing": 1}, id="told and not dead"),
        pytest.param([ending("bridge-failed")], LETTERS, HEARD, {"missing": 1}, id="failed, though answered"),
        pytest.param([*TOLD, ending("bridge-failed")], LETTERS, HEARD, {"double": 1, "missing": 1}, id="two endings"),
        pytest.param([TOLD[1], TOLD[0], TOLD[2]], [], HEARD, {"order": 2}, id="out of order"),
        pytest.param([piece(1), piece(3), ending(sequence=4)], [], HEARD, {"order": 1}, id="a hole"),
        pytest.param([*TOLD, replace(TOLD[0], body=TOLD[1].body)], [], HEARD, {"changed": 1}, id="other bytes"),
        pytest.param([*FIRST_TRY, *TOLD], [], HEARD, {"void_shown": 1}, id="void text is left"),
        pytest.param([*FIRST_TRY, void(STREAM), *TOLD], [], HEARD, {"void_shown": 1}, id="the wrong stream voided"),
        pytest.param([void(VOID_STREAM), *FIRST_TRY, *TOLD], [], HEARD, {"void_shown": 1}, id="voided too early"),
    ],
)
def test_a_doctored_record_is_seen(
    told: list[Told], letters: list[Letter], heard: list[Heard], found: dict[str, int]
) -> None:
    verdict = compare([EVENT], heard, told, letters)
    assert violations(verdict) == found
    assert len(verdict.findings) == sum(found.values())


def test_events_are_kept_apart() -> None:
    other = [replace(message, event_id="e2", message_id=f"e2:{message.message_id}") for message in TOLD]
    verdict = compare([EVENT, "e2"], HEARD, [*other, *TOLD], [])
    assert violations(verdict) == {"unheard": 1, "void_shown": 1}
    assert all("e2" in finding for finding in verdict.findings)


def test_verdicts_add_up() -> None:
    total = Verdict()
    for _ in range(3):
        total.add(compare([EVENT], [], [], []))
    assert (total.events, total.lost, total.violations, len(total.findings)) == (3, 3, 3, 3)
