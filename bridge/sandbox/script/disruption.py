"""Disruption: what a fault does to the beats of an answer. Pure; ``KINDS`` of fault.py says it in words."""

from collections.abc import Callable, Sequence

from bridge.sandbox.script.fault import Fault
from bridge.sandbox.script.script_steps import Beat, Commit, Cut, End, Hold, Mute, Say, Void, error

_LONG_S = 3600.0
_SHORT_S = 1.0
_DESCRIPTION = "An unexpected error occurred."


def disrupt(beats: Sequence[Beat], fault: Fault) -> list[Beat]:
    """The beats as the fault leaves them; faults of other phases change nothing."""
    change = _CHANGES.get(fault.kind)
    return list(beats) if change is None else change(list(beats), fault)


def _strike(beats: list[Beat], fault: Fault) -> int:
    """The place after ``after`` pieces: never beyond the commit."""
    pieces = 0
    for index, beat in enumerate(beats):
        if isinstance(beat, Commit) or (isinstance(beat, Say) and beat.type == "new-message" and pieces >= fault.after):
            return index
        pieces += isinstance(beat, Say) and beat.type == "new-message"
    return len(beats)


def _commit(beats: list[Beat]) -> int:
    """The index behind the commit."""
    return beats.index(Commit()) + 1


def _complete(beats: list[Beat]) -> int:
    """The index behind interaction-complete."""
    return max(i for i, beat in enumerate(beats) if isinstance(beat, Say) and beat.type == "interaction-complete") + 1


def _error_first(beats: list[Beat], fault: Fault) -> list[Beat]:
    return [Void(), error(fault.code, _DESCRIPTION), End()]


def _error_after_first(beats: list[Beat], fault: Fault) -> list[Beat]:
    return [beats[0], Void(fault.keep), error(fault.code, _DESCRIPTION), End()]


def _error_mid(beats: list[Beat], fault: Fault) -> list[Beat]:
    return [*beats[: _strike(beats, fault)], Void(fault.keep), error(fault.code, _DESCRIPTION), End()]


def _error_after_complete(beats: list[Beat], fault: Fault) -> list[Beat]:
    at = _complete(beats)
    return [*beats[:at], error(fault.code, _DESCRIPTION), *beats[at:]]


def _cut_before_commit(beats: list[Beat], fault: Fault) -> list[Beat]:
    return [*beats[: _strike(beats, fault)], Void(fault.keep), Cut()]


def _cut_after_commit(beats: list[Beat], fault: Fault) -> list[Beat]:
    return [*beats[: _commit(beats)], Cut()]


def _cut_after_complete(beats: list[Beat], fault: Fault) -> list[Beat]:
    return [*beats[: _complete(beats)], Cut()]


def _cut_then_commit(beats: list[Beat], fault: Fault) -> list[Beat]:
    return [*beats[: _strike(beats, fault)], Cut(release=False), _pause(fault, _SHORT_S), Commit()]


def _cut_then_void(beats: list[Beat], fault: Fault) -> list[Beat]:
    return [*beats[: _strike(beats, fault)], Cut(release=False), _pause(fault, _SHORT_S), Void(fault.keep)]


def _eof_before_commit(beats: list[Beat], fault: Fault) -> list[Beat]:
    return [*beats[: _strike(beats, fault)], Void(fault.keep), End()]


def _eof_after_commit(beats: list[Beat], fault: Fault) -> list[Beat]:
    return [*beats[: _commit(beats)], End()]


def _stall(beats: list[Beat], fault: Fault) -> list[Beat]:
    at = _strike(beats, fault)
    return [*beats[:at], _pause(fault, _LONG_S), *beats[at:]]


def _stall_after_commit(beats: list[Beat], fault: Fault) -> list[Beat]:
    at = _commit(beats)
    return [*beats[:at], _pause(fault, _LONG_S), *beats[at:]]


def _slow_eof(beats: list[Beat], fault: Fault) -> list[Beat]:
    return [*beats[:-1], _pause(fault, _SHORT_S), beats[-1]]


def _malformed_line(beats: list[Beat], fault: Fault) -> list[Beat]:
    at = _strike(beats, fault)
    return [*beats[:at], Say("malformed", b'{"type": "new-message", "message": \n'), *beats[at:]]


def _invalid_utf8(beats: list[Beat], fault: Fault) -> list[Beat]:
    at = _strike(beats, fault)
    return [*beats[:at], Say("malformed", b'{"type": "new-message", "message": "\xc3\x28\xff"}\n'), *beats[at:]]


def _duplicate_complete(beats: list[Beat], fault: Fault) -> list[Beat]:
    at = _complete(beats)
    return [*beats[:at], beats[at - 1], *beats[at:]]


def _out_of_order(beats: list[Beat], fault: Fault) -> list[Beat]:
    pieces = [beat for beat in beats if isinstance(beat, Say) and beat.type == "new-message"]
    return [pieces.pop() if isinstance(beat, Say) and beat.type == "new-message" else beat for beat in beats]


def _lost_response(beats: list[Beat], fault: Fault) -> list[Beat]:
    return [Mute(), *beats[: _commit(beats)], Cut()]


def _pause(fault: Fault, default_s: float) -> Hold:
    return Hold(default_s if fault.delay_s is None else fault.delay_s)


_CHANGES: dict[str, Callable[[list[Beat], Fault], list[Beat]]] = {
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
