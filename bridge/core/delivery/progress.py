"""The requests made for one event and what is known of each, so that nothing is asked twice.

Every change of phase is in NEXT; a step that has no row there is a bug, and is never carried out. So a request is sent
only where nothing was asked, or where all that was asked is proved void: docs/semantics.md, What the API shows.

clear ──requested──▸ requested ──stream opened──▸ streaming ┐ cut, or the process ends: the phase stays, or is
  ▴    ◂──not made──    │                            │      ┘ recalled as unproved from ledger or header
  │                     ▾                            ▾
void ◂──────────── proved void ── unproved ◂── stream voided
  └──requested──▸ requested anew ──not made──▸ void: what came before is in doubt again
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import orjson

from bridge.core.errors import BridgeError
from bridge.core.ledger.planned_event import PlannedEvent, load_planned
from bridge.core.value import value


class RequestKind(StrEnum):
    """The request that may have reached the API. UNKNOWN: an earlier delivery may have asked for anything."""

    NONE = "none"
    CREATE = "create"
    INTERACT = "interact"
    FINISH = "finish"
    TAG = "tag"
    UNKNOWN = "unknown"


class Phase(StrEnum):
    """How far the last request has come, as far as this process knows."""

    CLEAR = "clear"
    """Nothing was asked that may have been carried out."""
    REQUESTED = "requested"
    """A request is being sent, or was sent and not answered by a stream."""
    REQUESTED_ANEW = "requested-anew"
    """The same, after an earlier one was proved void: that is in doubt again where this one turns out not made."""
    STREAMING = "streaming"
    """The request was answered by a stream."""
    UNPROVED = "unproved"
    """Something was asked by an earlier attempt or process, and what became of it is to be found out."""
    VOID = "void"
    """All that was asked is proved void. It stays on record until the next request is made."""


class ImpossibleStep(BridgeError):
    """A step that must not follow on what has happened: a bug of the bridge."""


@value(frozen=True, slots=True)
class Requested:
    """A request is about to be sent. `stream` is what would answer it; `watermark` the newest message before it.

    `version_set` is the conversation's own, where it is known; `planned` what the event resolved to.
    """

    request: RequestKind
    stream: str | None
    conversation_id: str | None = None
    watermark: str | None = None
    asked_s: float | None = None
    version_set: str | None = None
    planned: PlannedEvent | None = None


@dataclass(frozen=True, slots=True)
class NotMade:
    """The request never reached the API, or was refused by it without being carried out."""


@value(frozen=True, slots=True)
class StreamOpened:
    """The API answers with a stream. Subscribers have been told what an earlier one, whose id is lost, means."""


@value(frozen=True, slots=True)
class LinesSeen:
    """The stream has come so far: the sequence of its last line, its conversation, the id of the event's message."""

    published: int
    conversation_id: str | None
    announced: str | None


@dataclass(frozen=True, slots=True)
class StreamVoided:
    """The stream ended with an error: its lines are void, and whether its request left something is to be seen."""


@dataclass(frozen=True, slots=True)
class ProvedVoid:
    """Nothing of what was asked has been carried out, nor will be."""


@dataclass(frozen=True, slots=True)
class StillRunning:
    """The request was found still running, or its conversation locked."""


@dataclass(frozen=True, slots=True)
class Waited:
    """The conversation is busy, at this Unix time (s): the first such time is remembered."""

    now_s: int


@dataclass(frozen=True, slots=True)
class ConversationListed:
    """The API lists a conversation of this event, though it did not answer with one."""

    planned: PlannedEvent | None = None


@dataclass(frozen=True, slots=True)
class Doubted:
    """An earlier delivery may have asked for anything: nobody can tell."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """The answer was found in the history of this conversation."""

    conversation_id: str | None


@dataclass(frozen=True, slots=True)
class Recalled:
    """An earlier process asked, as the ledger or a message's header has it."""

    progress: "Progress"


@dataclass(frozen=True, slots=True)
class StartedOver:
    """The ledger has it that nothing is open; `lost_stream` as it was."""

    lost_stream: bool


Step = (
    Requested
    | NotMade
    | StreamOpened
    | LinesSeen
    | StreamVoided
    | ProvedVoid
    | StillRunning
    | Waited
    | ConversationListed
    | Doubted
    | Recovered
    | Recalled
    | StartedOver
)
ASKED = (Phase.REQUESTED, Phase.REQUESTED_ANEW, Phase.STREAMING, Phase.UNPROVED, Phase.VOID)

NEXT: Mapping[type[Step], Mapping[Phase, Phase]] = {
    Requested: {Phase.CLEAR: Phase.REQUESTED, Phase.VOID: Phase.REQUESTED_ANEW},
    NotMade: {Phase.REQUESTED: Phase.CLEAR, Phase.REQUESTED_ANEW: Phase.VOID},
    StreamOpened: {Phase.REQUESTED: Phase.STREAMING, Phase.REQUESTED_ANEW: Phase.STREAMING},
    LinesSeen: {Phase.STREAMING: Phase.STREAMING},
    StreamVoided: {Phase.STREAMING: Phase.UNPROVED},
    ProvedVoid: dict.fromkeys(ASKED, Phase.VOID),
    StillRunning: dict.fromkeys(ASKED, Phase.UNPROVED),
    Waited: {phase: phase for phase in Phase},
    ConversationListed: {Phase.CLEAR: Phase.UNPROVED, Phase.VOID: Phase.UNPROVED},
    Doubted: {Phase.CLEAR: Phase.UNPROVED},
    Recovered: dict.fromkeys(ASKED, Phase.UNPROVED),
    Recalled: dict.fromkeys(Phase, Phase.UNPROVED),
    StartedOver: dict.fromkeys(Phase, Phase.CLEAR),
}


@value(frozen=True, slots=True)
class Progress:
    """The requests made for one event so far.

    `stream` and `published` say which stream may have been seen by subscribers, up to which sequence. For an interact,
    `watermark` is the newest message id before it and `announced` the id that the API gave its message. `lost_stream`:
    an earlier process may have published part of a stream whose id is not known here. `waits` counts how often the
    request was found still running, and `busy_since_s` is the Unix time (s) since when the conversation has been found
    busy. `asked_s` is the API's time (Unix seconds) of the request, where the watermark was remembered, not asked for:
    others may have spoken between the two. `earlier` is what was proved void when the request was made anew.
    `version_set` is the conversation's own, and `planned` what the event had been resolved to when all this was asked.
    """

    phase: Phase = Phase.CLEAR
    request: RequestKind = RequestKind.NONE
    conversation_id: str | None = None
    stream: str | None = None
    published: int = 0
    watermark: str | None = None
    announced: str | None = None
    lost_stream: bool = False
    waits: int = 0
    busy_since_s: int | None = None
    asked_s: float | None = None
    earlier: "Progress | None" = None
    version_set: str | None = None
    planned: PlannedEvent | None = None

    @property
    def loses_stream(self) -> bool:
        """True where subscribers may have seen a void stream whose id nobody knows any more."""
        return self.lost_stream or (self.request is RequestKind.UNKNOWN and self.stream is None)

    @property
    def needs_proof(self) -> bool:
        """True where something was asked: what became of it is found out before anything else is."""
        return self.phase is not Phase.CLEAR

    def after(self, step: Step) -> "Progress":
        """The progress once this has happened. Raises ImpossibleStep."""
        kind = type(step)
        phase = NEXT[kind].get(self.phase)
        if phase is None:
            raise ImpossibleStep(f"{kind.__name__} cannot follow on the phase {self.phase}")
        return CHANGES[kind](self, step, phase)

    def dump(self) -> str | None:
        """As JSON, for the ledger and for the header of a delayed copy; None where there is nothing to remember."""
        if self.request is RequestKind.NONE and self == NOTHING:
            return None
        row: dict[str, object] = {
            "request": self.request,
            "conversation_id": self.conversation_id,
            "stream": self.stream,
            "published": self.published,
            "watermark": self.watermark,
            "announced": self.announced,
            "lost_stream": self.lost_stream,
            "waits": self.waits,
            "busy_since": self.busy_since_s,
            "asked": self.asked_s,
        }
        planned = None if self.planned is None else self.planned.dump()
        more: dict[str, object] = {"version_set": self.version_set, "planned": planned}
        row.update({name: value for name, value in more.items() if value is not None})
        return orjson.dumps(row).decode()


def _requested(before: Progress, step: Requested, phase: Phase) -> Progress:
    return Progress(
        phase=phase,
        request=step.request,
        conversation_id=step.conversation_id,
        stream=step.stream,
        watermark=step.watermark,
        lost_stream=before.lost_stream,
        busy_since_s=before.busy_since_s,
        asked_s=step.asked_s,
        earlier=before if phase is Phase.REQUESTED_ANEW else None,
        version_set=step.version_set,
        planned=step.planned,
    )


def _not_made(before: Progress, _: NotMade, __: Phase) -> Progress:
    earlier = before.earlier or Progress(lost_stream=before.lost_stream)
    return replace(earlier, busy_since_s=before.busy_since_s)


def _stream_opened(before: Progress, _: StreamOpened, phase: Phase) -> Progress:
    return Progress(
        phase=phase,
        request=before.request,
        conversation_id=before.conversation_id,
        stream=before.stream,
        watermark=before.watermark,
        asked_s=before.asked_s,
        version_set=before.version_set,
        planned=before.planned,
    )


def _lines_seen(before: Progress, step: LinesSeen, phase: Phase) -> Progress:
    return Progress(
        phase=phase,
        request=before.request,
        conversation_id=step.conversation_id,
        stream=before.stream,
        published=step.published,
        watermark=before.watermark,
        announced=step.announced,
        asked_s=before.asked_s,
        version_set=before.version_set,
        planned=before.planned,
    )


def _stream_voided(before: Progress, _: StreamVoided, phase: Phase) -> Progress:
    return replace(before, phase=phase, stream=None, published=0)


def _proved_void(before: Progress, _: ProvedVoid, phase: Phase) -> Progress:
    lost_stream = before.loses_stream
    return replace(before, phase=phase, stream=None, published=0, lost_stream=lost_stream, earlier=None)


def _still_running(before: Progress, _: StillRunning, phase: Phase) -> Progress:
    return replace(before, phase=phase, waits=before.waits + 1, earlier=None)


def _waited(before: Progress, step: Waited, _: Phase) -> Progress:
    return replace(before, busy_since_s=before.busy_since_s or step.now_s)


def _conversation_listed(before: Progress, step: ConversationListed, phase: Phase) -> Progress:
    created = Progress(phase, RequestKind.CREATE, planned=before.planned or step.planned)
    return replace(created, lost_stream=before.lost_stream, busy_since_s=before.busy_since_s)


def _doubted(before: Progress, _: Doubted, phase: Phase) -> Progress:
    return replace(before, phase=phase, request=RequestKind.UNKNOWN)


def _recovered(before: Progress, step: Recovered, phase: Phase) -> Progress:
    return replace(before, phase=phase, conversation_id=step.conversation_id, earlier=None)


def _recalled(_: Progress, step: Recalled, phase: Phase) -> Progress:
    return replace(step.progress, phase=phase, earlier=None)


def _started_over(before: Progress, step: StartedOver, _: Phase) -> Progress:
    return Progress(lost_stream=step.lost_stream, busy_since_s=before.busy_since_s)


CHANGES: Mapping[type[Step], Callable[[Progress, Any, Phase], Progress]] = {
    Requested: _requested,
    NotMade: _not_made,
    StreamOpened: _stream_opened,
    LinesSeen: _lines_seen,
    StreamVoided: _stream_voided,
    ProvedVoid: _proved_void,
    StillRunning: _still_running,
    Waited: _waited,
    ConversationListed: _conversation_listed,
    Doubted: _doubted,
    Recovered: _recovered,
    Recalled: _recalled,
    StartedOver: _started_over,
}
"""The values after each step, once NEXT has said that it may follow."""

NOTHING = Progress()
UNKNOWN = NOTHING.after(Doubted())


def load(text: object) -> Progress:
    """The progress that was dumped. What cannot be read is taken as an unknown request: it will be asked about."""
    if text is None:
        return NOTHING
    try:
        row = orjson.loads(str(text))
        request = RequestKind(row["request"])
        return Progress(
            phase=Phase.CLEAR if request is RequestKind.NONE else Phase.UNPROVED,
            request=request,
            conversation_id=_id(row["conversation_id"]),
            stream=_id(row["stream"]),
            published=int(row["published"]),
            watermark=_id(row["watermark"]),
            announced=_id(row["announced"]),
            lost_stream=bool(row["lost_stream"]),
            waits=int(row["waits"]),
            busy_since_s=None if row.get("busy_since") is None else int(row["busy_since"]),
            asked_s=None if row.get("asked") is None else float(row["asked"]),
            version_set=_id(row.get("version_set")),
            planned=load_planned(row.get("planned") or row.get("user_id")),
        )
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return UNKNOWN


def _id(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError("an id is text")
    return value
