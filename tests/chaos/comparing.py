"""The comparison of three independent records: what was published, what the API committed, what a subscriber received.

It knows nothing of the bridge: only ids, streams, sequences and bytes.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields

COMPLETE, FAILED, VOIDED = "interaction-complete", "bridge-failed", "bridge-voided"
FINISHED, TAGGED = "conversation-finished", "conversation-tagged"
CANCELLED, SETTLED = "bridge-cancelled", "cancel-settled"
ENDINGS = (COMPLETE, FAILED, "bridge-coalesced", FINISHED, TAGGED, CANCELLED, SETTLED, "bridge-expired")
UNCERTAIN, UNDELIVERABLE = "uncertain", "undeliverable"
MAX_FINDINGS = 20


@dataclass(frozen=True)
class Heard:
    """An interaction that the API committed for an event, and the id of the message that answers it."""

    event_id: str
    answer_id: str


@dataclass(frozen=True)
class Told:
    """A message as the subscriber received it, repeats and all."""

    event_id: str
    message_id: str
    type: str
    body: bytes
    stream: str | None = None
    sequence: int | None = None
    recovered: bool = False

    @property
    def ends(self) -> bool:
        """True for the ending of the event: the end of a conversation that was idle is none."""
        return is_ending(self.event_id, self.message_id, self.type)


@dataclass(frozen=True)
class Letter:
    """A dead letter."""

    event_id: str
    reason: str


@dataclass
class Verdict:
    """Counts; all but the first three must be 0."""

    events: int = 0
    uncertain: int = 0
    dead_letters: int = 0
    lost: int = 0
    unheard: int = 0
    too_many: int = 0
    missing: int = 0
    double: int = 0
    order: int = 0
    changed: int = 0
    early_acks: int = 0
    void_shown: int = 0
    unfinished: int = 0
    findings: list[str] = field(default_factory=list)

    @property
    def violations(self) -> int:
        return sum(getattr(self, name) for name in VIOLATIONS)

    def add(self, other: "Verdict") -> None:
        for name in COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.findings = (self.findings + other.findings)[:MAX_FINDINGS]

    def found(self, name: str, what: str) -> None:
        setattr(self, name, getattr(self, name) + 1)
        self.findings.append(f"{name}: {what}")


COUNTS = tuple(one.name for one in fields(Verdict) if one.name != "findings")
VIOLATIONS = COUNTS[3:]


def is_ending(event_id: str, message_id: str, type_: str) -> bool:
    """True for the ending of the event; what the bridge finishes by itself bears the conversation's id."""
    return type_ in ENDINGS and (type_ != FINISHED or message_id == f"{event_id}:{FINISHED}")


def compare(sent: Iterable[str], heard: Sequence[Heard], told: Sequence[Told], letters: Sequence[Letter]) -> Verdict:
    """What the records of these events say; records of other events are passed over."""
    verdict = Verdict()
    interactions: defaultdict[str, set[str]] = defaultdict(set)
    for one in heard:
        interactions[one.event_id].add(one.answer_id)
    messages: defaultdict[str, list[Told]] = defaultdict(list)
    for message in told:
        messages[message.event_id].append(message)
    reasons: defaultdict[str, list[str]] = defaultdict(list)
    for letter in letters:
        reasons[letter.event_id].append(letter.reason)
    for event_id in sent:
        verdict.events += 1
        mine = without_repeats(messages[event_id], verdict)
        _endings(event_id, mine, interactions[event_id], reasons[event_id], verdict)
        _order(event_id, mine, verdict)
        _shown(event_id, mine, interactions[event_id], reasons[event_id], verdict)
    return verdict


def without_repeats(messages: Iterable[Told], verdict: Verdict) -> list[Told]:
    """The subscriber's first rule; an equal id must be the same bytes, unless one was read from history."""
    seen: dict[str, Told] = {}
    for message in messages:
        first = seen.setdefault(message.message_id, message)
        if first.body != message.body and not (first.recovered or message.recovered):
            verdict.found("changed", f"{message.message_id} stands for two bodies")
    return list(seen.values())


def _endings(event_id: str, mine: list[Told], heard: set[str], reasons: list[str], verdict: Verdict) -> None:
    endings = [message for message in mine if message.ends]
    types = Counter(message.type for message in endings)
    verdict.uncertain += UNCERTAIN in reasons
    verdict.dead_letters += bool(reasons)
    if len(heard) > 1:
        verdict.found("too_many", f"{event_id} was heard {len(heard)} times: {sorted(heard)}")
    if len(endings) > 1:
        verdict.found("double", f"{event_id} has the endings {dict(types)}")
    if not endings and not reasons:
        verdict.found("lost", f"{event_id} has neither ending nor dead letter, and was heard {len(heard)} times")
    elif not endings and UNDELIVERABLE not in reasons:
        verdict.found("missing", f"{event_id} has a dead letter ({reasons}) and no ending")
    elif types[FAILED] and not reasons:
        verdict.found("missing", f"{event_id} is said to have failed and has no dead letter")
    if types[COMPLETE] and not heard:
        verdict.found("unheard", f"{event_id} is said to be answered, and no interaction was committed")
    if types[FAILED] and heard and UNCERTAIN not in reasons:
        verdict.found("missing", f"{event_id} was answered and is said to have failed ({reasons})")
    if types[CANCELLED] and heard:
        verdict.found("too_many", f"{event_id} is said to be cancelled, and was heard")


def _order(event_id: str, mine: list[Told], verdict: Verdict) -> None:
    """Within a stream 1, 2, 3 …; the ending may come from the ledger, after pieces that were never published."""
    latest: defaultdict[str, int] = defaultdict(int)
    for message in mine:
        if message.sequence is None or message.stream is None:
            continue
        expected = latest[message.stream] + 1
        behind = message.sequence < expected
        hole = message.sequence > expected and not message.ends
        if behind or hole:
            verdict.found("order", f"{event_id} stream {message.stream}: {message.sequence} where {expected} was due")
        latest[message.stream] = max(message.sequence, latest[message.stream])


def _shown(event_id: str, mine: list[Told], heard: set[str], reasons: list[str], verdict: Verdict) -> None:
    """The second rule: what is left of the pieces when all voids are obeyed belongs to a committed interaction."""
    pieces: list[Told] = []
    for message in mine:
        if message.type == VOIDED:
            pieces = [piece for piece in pieces if not _voided(piece, json.loads(message.body))]
        elif message.type == "new-message":
            pieces.append(message)
    if not any(message.ends for message in mine) or UNCERTAIN in reasons:
        return
    said_in = {answer_of(piece): piece.stream for piece in pieces}
    for answer in sorted(said_in.keys() - heard):
        verdict.found(
            "void_shown", f"{event_id} shows stream {said_in[answer]} with {answer}, which was never committed"
        )


def _voided(piece: Told, void: dict[str, object]) -> bool:
    if void.get("stream") is not None:
        return piece.stream == void["stream"]
    return piece.stream != void.get("before")


def answer_of(piece: Told) -> str:
    """The message that a piece is part of."""
    return str(json.loads(piece.body).get("message_id"))
