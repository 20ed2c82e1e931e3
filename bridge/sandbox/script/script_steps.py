"""Beats: the answer to one request as a list of small steps, so that faults and framings are plain list changes."""

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


Beat = Say | Hold | Mute | Commit | Void | Cut | End


def say(event: dict[str, Any], pause_s: float = 0.0) -> Say:
    """The line of an event, newline included."""
    return Say(str(event["type"]), orjson.dumps(event) + b"\n", pause_s)


def error(code: int, description: str) -> Say:
    return say({"type": "error", "http_error_code": code, "error_description": description})


def framed(beats: Sequence[Beat], framing: str) -> list[Beat]:
    """The same events in other packages; an unknown framing changes nothing."""
    if framing == "bytewise":
        return [_cut_at(beat, range(1, len(beat.data))) if isinstance(beat, Say) else beat for beat in beats]
    if framing == "emoji-split":
        return [_cut_at(beat, _inside_characters(beat.data)) if isinstance(beat, Say) else beat for beat in beats]
    if framing == "blank-lines":
        return [replace(beat, data=b"\n" + beat.data + b"\n") if isinstance(beat, Say) else beat for beat in beats]
    if framing == "one-chunk":
        return _merged(beats)
    if framing == "no-final-newline":
        return _last_line_open(beats)
    return list(beats)


def _cut_at(beat: Say, cuts: Iterable[int]) -> Say:
    return replace(beat, cuts=tuple(cuts))


def _inside_characters(data: bytes) -> list[int]:
    """The offset after the first byte of every character that has several."""
    return [offset + 1 for offset, byte in enumerate(data) if byte >= 0xC0]


def _merged(beats: Sequence[Beat]) -> list[Beat]:
    merged: list[Beat] = []
    for beat in beats:
        last = merged[-1] if merged else None
        if isinstance(beat, Say) and isinstance(last, Say):
            merged[-1] = replace(last, data=last.data + beat.data, type=beat.type)
        else:
            merged.append(beat)
    return merged


def _last_line_open(beats: Sequence[Beat]) -> list[Beat]:
    last = max(index for index, beat in enumerate(beats) if isinstance(beat, Say))
    return [
        replace(beat, data=beat.data.rstrip(b"\n")) if index == last and isinstance(beat, Say) else beat
        for index, beat in enumerate(beats)
    ]
