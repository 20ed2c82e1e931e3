"""The ledger's memory of an event, and the plan that follows when the event comes, or comes again.

The table is that of docs/semantics.md, What the ledger knows.

claimed ▸ requested ▸ open ▸ answered ▸ complete       waiting: in a delay queue, with `progress` as it was
                 └────────┴──── or failed
"""

from dataclasses import field
from enum import StrEnum

from bridge.core.answer.sent_ending import SentEnding
from bridge.core.delivery.outcome import ROWS, DeadLetter, OutcomeKind
from bridge.core.delivery.poison import MAX_DEATHS, POISON
from bridge.core.delivery.progress import Doubted, Progress, Recalled, StartedOver
from bridge.core.lanes.lane_turns import Before
from bridge.core.ledger.attempt_log import NO_ATTEMPTS, AttemptLog
from bridge.core.ledger.owed_enrichments import OwedEnrichments
from bridge.core.value import value


class State(StrEnum):
    """How far an event has come. ANSWERED: the ending's bytes are known; COMPLETE and FAILED are final."""

    CLAIMED = "claimed"
    WAITING = "waiting"
    REQUESTED = "requested"
    OPEN = "open"
    ANSWERED = "answered"
    COMPLETE = "complete"
    FAILED = "failed"


UNDELIVERABLE = ROWS[OutcomeKind.UNDELIVERABLE].reason
NO_USER = ROWS[OutcomeKind.NO_USER].reason
FINAL = frozenset({State.COMPLETE, State.FAILED})


@value(frozen=True, slots=True)
class Entry:
    """The ledger's knowledge of one event.

    `digest` is the SHA-256 of the inbound body, or its beginning, `attempt` counts the attempts used up. `ending` is
    the ending's bytes, from ANSWERED on, and `sent` the way that they take; its sequence is then `progress.published`.
    Of an event that is COMPLETE for some time both are gone. `letter` says why the event failed. `requeue` is the
    greatest `x-bridge-requeue` acted upon. `deaths` counts the processes that died with the event in hand. `owed` are
    the enrichments that an event owes which is COMPLETE otherwise.
    `log` has its last attempts, and what it waits for, until it is COMPLETE.
    """

    event_id: str
    state: State
    digest: bytes
    progress: Progress = field(default_factory=Progress)
    attempt: int = 0
    ending: bytes | None = None
    letter: DeadLetter | None = None
    requeue: int = 0
    deaths: int = 0
    sent: SentEnding | None = None
    owed: OwedEnrichments | None = None
    log: AttemptLog = NO_ATTEMPTS

    @property
    def is_final(self) -> bool:
        """True where nothing is left to be done for the event."""
        return self.state in FINAL and self.owed is None

    def is_of(self, digest: bytes) -> bool:
        """True where the event had a body of this digest, as far as is known: one cancelled before it came had none."""
        return digest.startswith(self.digest)


class Holder(StrEnum):
    """Who had the event when it was claimed."""

    NOBODY = "nobody"
    """The ledger did not know it."""
    EARLIER = "earlier"
    """An entry was left by a process that is gone, or settled, or let go: it is this process's now."""
    ANOTHER = "another"
    """Another process has it, and its lease runs."""
    LANE = "lane"
    """Others come before it in its lane: it waits there, and has not been claimed."""


@value(frozen=True, slots=True)
class Claim:
    """The result of a claim. `entry` is the knowledge before it; `wait_s` is the rest of another process's lease.

    `before` are those that come before it in its lane.
    """

    holder: Holder
    entry: Entry | None = None
    wait_s: float = 0.0
    before: Before | None = None


class Plan(StrEnum):
    """The course for an event that has been claimed."""

    START = "start"
    """Nothing has been asked for it."""
    RECONCILE = "reconcile"
    """Something may have been asked: find out what became of it."""
    REPUBLISH = "republish"
    """Answered: publish the ending's bytes."""
    REPEAT = "repeat"
    """Ended: acknowledge."""
    ENRICH = "enrich"
    """Ended, and enrichments are due: see them out, then acknowledge."""
    RESUME_FAILURE = "resume-failure"
    """Failed: see its failure's steps through."""
    POISON = "poison"
    """Too many processes have died with it in hand: dead-letter it untried."""
    LANE = "lane"
    """Others come before it in its lane: wait for them."""
    DELAY = "delay"
    """Another process is at it: come back later."""


def plan(claim: Claim, *, redelivered: bool, requeue: int, sure: bool) -> Plan:
    """The table's left side. `requeue` is the number in the header `x-bridge-requeue`, 0 without one.

    `sure`: no request is ever made unless the ledger has it, so an entry without one proves that there was none.
    """
    entry = claim.entry
    if claim.holder is Holder.ANOTHER:
        return Plan.DELAY
    if claim.holder is Holder.LANE:
        return Plan.LANE
    if entry is None:
        return Plan.RECONCILE if redelivered else Plan.START
    match entry.state:
        case State.COMPLETE:
            return Plan.REPEAT if entry.owed is None else Plan.ENRICH
        case State() as state if state is not State.FAILED and entry.deaths >= MAX_DEATHS:
            return Plan.POISON
        case State.ANSWERED:
            return Plan.REPUBLISH
        case State.FAILED if requeue <= entry.requeue:
            return Plan.RESUME_FAILURE
        case State.FAILED if entry.ending is not None:
            return Plan.REPUBLISH
        case State.FAILED:
            return Plan.RECONCILE if _unproved(entry) else Plan.START
        case State.CLAIMED | State.WAITING if sure and not entry.progress.needs_proof:
            return Plan.START
        case State.WAITING if not redelivered and not entry.progress.needs_proof:
            return Plan.START
        case _:
            return Plan.RECONCILE


def _unproved(entry: Entry) -> bool:
    """True for a failure that says nothing of what was asked: somebody may have been answered all the same."""
    reason = None if entry.letter is None else entry.letter.reason
    return reason in (UNDELIVERABLE, POISON) or (reason == NO_USER and entry.progress.needs_proof)


def recall(entry: Entry, plan_: Plan) -> Recalled | StartedOver:
    """The first step of an event whose plan is carried out.

    Where an entry without a request is reconciled, it proves nothing: the ledger may have been away at the request.
    """
    progress = entry.progress
    if plan_ is Plan.RECONCILE and not progress.needs_proof:
        return Recalled(progress.after(Doubted()))
    return StartedOver(progress.lost_stream) if plan_ is Plan.START or not progress.needs_proof else Recalled(progress)
