"""Disruption: what a fault does to the steps of an answer. Pure; ``KINDS`` of fault.py says it in words."""

from collections.abc import Callable, Sequence

from bridge.sandbox.script.fault import Fault
from bridge.sandbox.script.script_steps import Commit, Cut, End, Hold, Mute, Say, ScriptStep, Void, error

_LONG_S = 3600.0
_SHORT_S = 1.0
_DESCRIPTION = "An unexpected error occurred."


def disrupt(steps: Sequence[ScriptStep], fault: Fault) -> list[ScriptStep]:
    """The steps as the fault leaves them; faults of other phases change nothing."""
    change = _CHANGES.get(fault.kind)
    return list(steps) if change is None else change(list(steps), fault)


def _strike(steps: list[ScriptStep], fault: Fault) -> int:
    """The place after ``after`` pieces: never beyond the commit."""
    pieces = 0
    for index, step in enumerate(steps):
        if isinstance(step, Commit) or (isinstance(step, Say) and step.type == "new-message" and pieces >= fault.after):
            return index
        pieces += isinstance(step, Say) and step.type == "new-message"
    return len(steps)


def _commit(steps: list[ScriptStep]) -> int:
    """The index behind the commit."""
    return steps.index(Commit()) + 1


def _complete(steps: list[ScriptStep]) -> int:
    """The index behind interaction-complete."""
    return max(i for i, step in enumerate(steps) if isinstance(step, Say) and step.type == "interaction-complete") + 1


def _error_first(steps: list[ScriptStep], fault: Fault) -> list[ScriptStep]:
    return [Void(), error(fault.code, _DESCRIPTION), End()]


def _error_after_first(steps: list[ScriptStep], fault: Fault) -> list[ScriptStep]:
    return [steps[0], Void(fault.keep), error(fault.code, _DESCRIPTION), End()]


def _error_mid(steps: list[ScriptStep], fault: Fault) -> list[ScriptStep]:
    return [*steps[: _strike(steps, fault)], Void(fault.keep), error(fault.code, _DESCRIPTION), End()]


def _error_after_complete(steps: list[ScriptStep], fault: Fault) -> list[ScriptStep]:
    at = _complete(steps)
    return [*steps[:at], error(fault.code, _DESCRIPTION), *steps[at:]]


def _cut_before_commit(steps: list[ScriptStep], fault: Fault) -> list[ScriptStep]:
    return [*steps[: _strike(steps, fault)], Void(fault.keep), Cut()]


def _cut_after_commit(steps: list[ScriptStep], fault: Fault) -> list[ScriptStep]:
    return [*steps[: _commit(steps)], Cut()]


def _cut_after_complete(steps: list[ScriptStep], fault: Fault) -> list[ScriptStep]:
    return [*steps[: _complete(steps)], Cut()]


def _cut_then_commit(steps: list[ScriptStep], fault: Fault) -> list[ScriptStep]:
    return [*steps[: _strike(steps, fault)], Cut(release=False), _pause(fault, _SHORT_S), Commit()]


def _cut_then_void(steps: list[ScriptStep], fault: Fault) -> list[ScriptStep]:
    return [*steps[: _strike(steps, fault)], Cut(release=False), _pause(fault, _SHORT_S), Void(fault.keep)]


def _eof_before_commit(steps: list[ScriptStep], fault: Fault) -> list[ScriptStep]:
    return [*steps[: _strike(steps, fault)], Void(fault.keep), End()]


def _eof_after_commit(steps: list[ScriptStep], fault: Fault) -> list[ScriptStep]:
    return [*steps[: _commit(steps)], End()]


def _stall(steps: list[ScriptStep], fault: Fault) -> list[ScriptStep]:
    at = _strike(steps, fault)
    return [*steps[:at], _pause(fault, _LONG_S), *steps[at:]]


def _stall_after_commit(steps: list[ScriptStep], fault: Fault) -> list[ScriptStep]:
    at = _commit(steps)
    return [*steps[:at], _pause(fault, _LONG_S), *steps[at:]]


def _slow_eof(steps: list[ScriptStep], fault: Fault) -> list[ScriptStep]:
    return [*steps[:-1], _pause(fault, _SHORT_S), steps[-1]]


def _malformed_line(steps: list[ScriptStep], fault: Fault) -> list[ScriptStep]:
    at = _strike(steps, fault)
    return [*steps[:at], Say("malformed", b'{"type": "new-message", "message": \n'), *steps[at:]]


def _invalid_utf8(steps: list[ScriptStep], fault: Fault) -> list[ScriptStep]:
    at = _strike(steps, fault)
    return [*steps[:at], Say("malformed", b'{"type": "new-message", "message": "\xc3\x28\xff"}\n'), *steps[at:]]


def _duplicate_complete(steps: list[ScriptStep], fault: Fault) -> list[ScriptStep]:
    at = _complete(steps)
    return [*steps[:at], steps[at - 1], *steps[at:]]


def _out_of_order(steps: list[ScriptStep], fault: Fault) -> list[ScriptStep]:
    pieces = [step for step in steps if isinstance(step, Say) and step.type == "new-message"]
    return [pieces.pop() if isinstance(step, Say) and step.type == "new-message" else step for step in steps]


def _lost_response(steps: list[ScriptStep], fault: Fault) -> list[ScriptStep]:
    return [Mute(), *steps[: _commit(steps)], Cut()]


def _pause(fault: Fault, default_s: float) -> Hold:
    return Hold(default_s if fault.delay_s is None else fault.delay_s)


_CHANGES: dict[str, Callable[[list[ScriptStep], Fault], list[ScriptStep]]] = {
    "error-first": _error_first,
    "error-after-first": _error_after_first,
    "error-mid": _error_mid,
    "error-after-complete": _error_after_complete,
    "cut-before-commit": _cut_before_commit,
    "cut-after-commit": _cut_after_commit,
    "cut-after-complete": _cut_after_complete,
    "cut-then-commit": _cut_then_commit,
    "cut-then-void": _cut_then_void,
    "eof-before-commit": _eof_before_commit,
    "eof-after-commit": _eof_after_commit,
    "stall": _stall,
    "stall-after-commit": _stall_after_commit,
    "slow-eof": _slow_eof,
    "malformed-line": _malformed_line,
    "invalid-utf8": _invalid_utf8,
    "duplicate-complete": _duplicate_complete,
    "out-of-order": _out_of_order,
    "lost-response": _lost_response,
}
