"""One external event in hand: its deliveries, how far it has come, and what has gone out for it."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bridge.core.answer.outbound_message import EventContext, OutboundMessage, still_lacking
from bridge.core.delivery.handling import UNTOUCHED, Handling, HandlingStep
from bridge.core.delivery.outcome import DeadLetter, Outcome
from bridge.core.delivery.progress import NOTHING, UNKNOWN, Progress, Step, load
from bridge.core.event.inbound_message import PROGRESS, InboundMessage
from bridge.core.event.route import NO_TAGS, RoutedEvent
from bridge.core.event.tags import together
from bridge.core.lanes.lane_turns import Before, Key
from bridge.core.ledger.attempt_log import NO_ATTEMPTS, AttemptLog
from bridge.core.ledger.due_finish import DueFinish
from bridge.core.ledger.ledger_entry import Entry
from bridge.core.ledger.ledger_knowledge import UNASKED, LedgerKnowledge
from bridge.core.ledger.owed_enrichments import OwedEnrichments
from bridge.flow.ports.broker import Delivery
from bridge.flow.settling.outbox import Outbox


class Deliveries:
    """All deliveries of one event. `first` is the one that is worked on; the others wait for its ack."""

    __slots__ = ("first", "repeats")

    def __init__(self, first: Delivery) -> None:
        self.first = first
        self.repeats: tuple[Delivery, ...] = ()

    def take_over(self, delivery: Delivery) -> None:
        """A further delivery of the same event: it gets the right to ack where the first has lost it."""
        if self.first.alive or self.first.incoming.body != delivery.incoming.body:
            self.repeats += (delivery,)
        else:
            self.first = delivery

    def acknowledge(self) -> bool:
        """Ack every delivery of the event. False where the broker will deliver one of them again."""
        acked = [delivery.ack() for delivery in (self.first, *self.repeats)]
        return all(acked)


@dataclass(slots=True)
class WorkCounts:
    """Counts of one event's answers, all attempts together. `recovered`: an answer came from the history."""

    lines: int = 0
    voids: int = 0
    recovered: bool = False


@dataclass(slots=True, eq=False)
class TagGroup:
    """Events of a lane in unbroken order that may be carried out in one call, and those of which that is done."""

    works: Sequence["Work"]
    done: set["Work"] = field(default_factory=set)

    def after(self, work: "Work") -> Sequence["Work"]:
        """Those behind this one."""
        return self.works[self.works.index(work) + 1 :] if work in self.works else ()

    def dissolve(self) -> None:
        """From now on each goes alone."""
        self.works = ()


@dataclass(slots=True, eq=False)
class Work:
    """One event, from its delivery to its settlement. `attempt` counts those used up, `pauses` the waits since.

    `started_s` is the time of the delivery on the event loop's clock. `handling` changes by `follow`, `progress` by
    `apply`, and `ledger` is the journal's. `foreseen` is the first request, where that is plain before the claim.
    `stream` is the one whose lines went out last, `due` the finish of the event's conversation that its answer leaves.
    `joined_tags` are those of the conversation that it has joined. `tag_group`: it tags together with its neighbours.
    `answer` is the ending that an answer has been found or given in this handling, and `owed` what is still due to
    subscribers once that is out; `enrichments` are those of it that are on their way out.
    `awaits` is the conversation for whose end it waits, so that what steers or joins that one may pass it.
    `turn_of` is the lane of which the ledger has given it the turn, `before` are those that come before it there.
    `refused_since_s` is since when the broker refuses what is published for it (Unix seconds), in earlier handlings;
    `lacking` are the outbounds that do not have its ending yet, where that is known of an earlier handling.
    `dead_lettered`: the letter of its failure is out, and `bridge-failed` is not.
    `log` are its last attempts, and `limit` says which rate limit it waits for, if it does. `refusal` is why the event
    cannot be resolved: nothing is asked for it any more. `uncopyable`: no delay queue will ever take a copy of it.
    `is_refused`: it is held in hand just now, only because the broker refuses what it publishes.
    """

    event: RoutedEvent
    deliveries: Deliveries
    outbox: Outbox
    started_s: float
    traceparent: str | None = None
    attempt: int = 0
    pauses: int = 0
    progress: Progress = NOTHING
    handling: Handling = UNTOUCHED
    ledger: LedgerKnowledge = UNASKED
    foreseen: Progress | None = None
    stream: str | None = None
    due: DueFinish | None = None
    answer: bytes | None = None
    owed: OwedEnrichments | None = None
    enrichments: Outbox | None = None
    limit: str = ""
    log: AttemptLog = NO_ATTEMPTS
    joined_tags: Mapping[str, str | None] = field(default_factory=lambda: NO_TAGS)
    counts: WorkCounts = field(default_factory=WorkCounts)
    refusal: Outcome | None = None
    tag_group: TagGroup | None = None
    turn_of: Key | None = None
    before: Before | None = None
    uncopyable: bool = False
    awaits: str | None = None
    refused_since_s: float | None = None
    lacking: frozenset[int] | None = None
    dead_lettered: bool = False
    is_refused: bool = False
    digest: bytes = field(init=False)
    """The SHA-256 of the body, which tells it from another."""

    def __post_init__(self) -> None:
        self.digest = digest(self.incoming.body)

    @classmethod
    def of(
        cls, event: RoutedEvent, delivery: Delivery, outbox: Outbox, started_s: float, refusal: Outcome | None = None
    ) -> "Work":
        """The work of a delivery, with the event's past; where it cannot be told, the past counts as unknown."""
        incoming = delivery.incoming
        return cls(
            event=event,
            deliveries=Deliveries(delivery),
            outbox=outbox,
            started_s=started_s,
            traceparent=traceparent(incoming),
            attempt=incoming.attempt,
            pauses=incoming.pauses,
            progress=past(incoming),
            refusal=refusal,
            refused_since_s=incoming.refused_since_s,
            dead_lettered=incoming.dead_lettered,
        )

    @property
    def in_lane(self) -> bool:
        """True where the event stands in a lane that the ledger has: its user and its service are known."""
        return all(self.event.lane)

    @property
    def lacks_turn(self) -> bool:
        """True where it is claimed without the turn of its lane: it has come into this lane since, say."""
        is_done = self.tag_group is not None and self in self.tag_group.done
        return self.in_lane and self.entry is not None and self.turn_of != self.event.lane and not is_done

    @property
    def delivery(self) -> Delivery:
        return self.deliveries.first

    @property
    def incoming(self) -> InboundMessage:
        return self.deliveries.first.incoming

    @property
    def redelivered(self) -> bool:
        """True where an earlier delivery of this very message may have been worked on."""
        return self.incoming.redelivered

    @property
    def comes_again(self) -> bool:
        """True where some process may have had the event in hand before: redelivered, or back from a delay queue."""
        return self.redelivered or self.incoming.copies > 0

    @property
    def conversation_id(self) -> str | None:
        """The conversation that the event speaks in, or is to speak in, as far as it is known."""
        return self.progress.conversation_id or self.event.conversation_id

    @property
    def entry(self) -> Entry | None:
        """The ledger's entry of the event; None where it could not be claimed."""
        return self.ledger.entry

    @property
    def first_request(self) -> Progress | None:
        """The request that may reach the API, or may have, without a further word; None where none may."""
        return self.foreseen or (self.progress if self.progress.needs_proof else None)

    @property
    def number(self) -> int:
        """The number of the attempt that is being made: 1, 2, 3 …"""
        return self.attempt + 1

    @property
    def context(self) -> EventContext:
        return self.context_of(None)

    def context_of(self, stream: str | None) -> EventContext:
        """The context of the messages of a stream, or of none."""
        event, version_set = self.event, self.progress.version_set
        conversation_id, joined = self.conversation_id, self.joined_tags
        return EventContext.of(event, self.number, self.traceparent, conversation_id, stream, joined, version_set)

    def apply(self, step: Step) -> None:
        """This has happened to the event's requests. Raises ImpossibleStep."""
        self.progress = self.progress.after(step)

    def follow(self, step: HandlingStep, letter: DeadLetter | None = None) -> None:
        """This has happened in the handling of the event; FAILED comes with its letter. Raises ImpossibleStep."""
        self.handling = self.handling.after(step, letter)

    def due_finish(self, now_s: float) -> DueFinish | None:
        """The finish of the conversation after this sign of life; None where the conversation is not known."""
        event, conversation_id = self.event, self.conversation_id
        if conversation_id is None:
            return None
        return DueFinish(
            conversation_id=conversation_id,
            user_id=event.user_id,
            service_id=event.service_id,
            finish_s=event.finish_s,
            last_s=now_s,
            event_id=event.id,
            channel=event.channel,
            version_set=self.progress.version_set or "",
            route=event.route,
            tags=together(self.joined_tags, event.tags),
        )

    def still_lacking(self, ending: Sequence[OutboundMessage]) -> Sequence[OutboundMessage]:
        """The messages of its ending that are still to be published: outbounds that have it get it once."""
        return still_lacking(ending, self.lacking)

    def trust_headers(self, *, known: bool, failed: bool) -> None:
        """Believe what the message says of an earlier handling only as far as the ledger knows of one."""
        if not known:
            self.refused_since_s = None
        if not failed:
            self.dead_lettered = False

    def resumes_plan(self) -> bool:
        """Go on with the event as it was planned when something was asked for it. True where its lane is another."""
        planned = self.progress.planned
        if planned is None:
            return False
        lane, self.event = self.event.lane, planned.applied_to(self.event)
        return self.event.lane != lane

    def fails_as_planned(self) -> None:
        """The event is over, and is told of as it was tried last."""
        planned = self.progress.planned or self.log.planned
        if planned is not None:
            self.event = planned.applied_to(self.event)

    def plan_anew(self) -> None:
        """The ledger is to be asked again what is known of the event: what it said may have changed since."""
        self.ledger, self.foreseen = self.ledger.having(None), None
        if self.enrichments is not None:
            self.enrichments.forget()
        self.answer = self.owed = self.enrichments = None

    def forget(self) -> None:
        """Publish no more of it here: somebody else sees to it."""
        self.outbox.forget()
        if self.enrichments is not None:
            self.enrichments.forget()


def digest(body: bytes) -> bytes:
    """The SHA-256 of a body, which tells it from another."""
    return hashlib.sha256(body).digest()


def past(incoming: InboundMessage) -> Progress:
    """The progress of earlier deliveries: unknown after a redelivery, a delayed copy has it in its header."""
    if incoming.redelivered:
        return UNKNOWN
    return load(incoming.headers.get(PROGRESS))


def traceparent(incoming: InboundMessage) -> str | None:
    """The W3C trace context of the publisher, where there is a plausible one."""
    value = incoming.headers.get("traceparent")
    return (
        value if isinstance(value, str) and 0 < len(value) <= 100 and value.isascii() and value.isprintable() else None
    )
