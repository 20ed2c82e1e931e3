"""Steps: the answer to one request as a list of small steps, so that faults and framings are plain list changes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson


@dataclass(frozen=True)
class Say:
    """One event line. ``pause_s`` comes before it at pace 1; ``cuts`` are the offsets between its TCP chunks."""

    type: str
    data: bytes
    pause_s: float = 0.0
    cuts: tuple[int, ...] = ()


@dataclass(frozen=True)
class Hold:
    """Silence, in real seconds whatever the pace."""

    seconds: float


@dataclass(frozen=True)
class Mute:
    """From here on nothing is written, not even the status line."""


@dataclass(frozen=True)
class Commit:
    """The interaction is saved. The lock stays."""


@dataclass(frozen=True)
class Void:
    """The interaction is forgotten and the lock released."""

    keep_conversation: bool = False


@dataclass(frozen=True)
class Cut:
    """The connection is reset; ``release`` frees the lock just before, so that the client finds it free."""

    release: bool = True


@dataclass(frozen=True)
class End:
    """The lock is released and the stream ends as it should."""


ScriptStep = Say | Hold | Mute | Commit | Void | Cut | End


def say(event: dict[str, Any], pause_s: float = 0.0) -> Say:
    """The line of an event, newline included."""
    return Say(str(event["type"]), orjson.dumps(event) + b"\n", pause_s)


def error(code: int, description: str) -> Say:
    return say({"type": "error", "http_error_code": code, "error_description": description})


def framed(steps: Sequence[ScriptStep], framing: str) -> list[ScriptStep]:
    """The same events in other packages; an unknown framing changes nothing."""
    if framing == "bytewise":
        return [_cut_at(step, range(1, len(step.data))) if isinstance(step, Say) else step for step in steps]
    if framing == "emoji-split":
        return [_cut_at(step, _inside_characters(step.data)) if isinstance(step, Say) else step for step in steps]
    if framing == "blank-lines":
        return [replace(step, data=b"\n" + step.data + b"\n") if isinstance(step, Say) else step for step in steps]
    if framing == "one-chunk":
        return _merged(steps)
    if framing == "no-final-newline":
        return _last_line_open(steps)
    return list(steps)


def _cut_at(step: Say, cuts: Iterable[int]) -> Say:
    return replace(step, cuts=tuple(cuts))


def _inside_characters(data: bytes) -> list[int]:
    """The offset after the first byte of every character that has several."""
    return [offset + 1 for offset, byte in enumerate(data) if byte >= 0xC0]


def _merged(steps: Sequence[ScriptStep]) -> list[ScriptStep]:
    merged: list[ScriptStep] = []
    for step in steps:
        last = merged[-1] if merged else None
        if isinstance(step, Say) and isinstance(last, Say):
            merged[-1] = replace(last, data=last.data + step.data, type=step.type)
        else:
            merged.append(step)
    return merged


def _last_line_open(steps: Sequence[ScriptStep]) -> list[ScriptStep]:
    last = max(index for index, step in enumerate(steps) if isinstance(step, Say))
    return [
        replace(step, data=step.data.rstrip(b"\n")) if index == last and isinstance(step, Say) else step
        for index, step in enumerate(steps)
    ]
