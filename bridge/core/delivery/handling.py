"""How far the handling of an event in hand has come: claimed, asking, held, or decided to have failed.

Every change of phase is in NEXT; a step that has no row there is a bug, and is never carried out.

new ──claimed──▸ claimed ──asked──▸ asking ──answered or cut──▸ claimed ──failed──▸ failed ──▸ its dead letter
 │ ledger lost     │ ledger lost                                                     │ ledger lost
 └───▸ held ◂──────┘     held ──turn──▸ new                                          └───▸ failed-held ──turn──▸ failed
another process has the event ──▸ new, whatever was known or decided
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from bridge.core.delivery.outcome import DeadLetter
from bridge.core.delivery.progress import ImpossibleStep


class HandlingPhase(StrEnum):
    """The start of the lane's next turn, or what is going on in this one."""

    NEW = "new"
    """The ledger is to be asked what it knows of the event."""
    CLAIMED = "claimed"
    """The ledger has told, or could not: attempts follow."""
    ASKING = "asking"
    """A request is out, or its stream is read."""
    HELD = "held"
    """Nothing goes on without the ledger: once that is there it is asked anew, as it may know more of the event."""
    FAILED = "failed"
    """The event is to be dead-lettered: the ledger is told, then everybody else."""
    FAILED_HELD = "failed-held"
    """The same, once the ledger is there."""


class HandlingStep(StrEnum):
    """Something that happens to an event in hand."""

    TURN = "turn"
    """The lane has come to it."""
    CLAIMED = "claimed"
    ASKED = "asked"
    """A request is about to be sent."""
    ANSWERED = "answered"
    """The request is over, its stream too where one was opened."""
    FAILED = "failed"
    LEDGER_LOST = "ledger-lost"
    """The event cannot go on without the ledger."""
    TAKEN = "taken"
    """Another process has the event, and sees to it."""


NEXT: Mapping[HandlingStep, Mapping[HandlingPhase, HandlingPhase]] = {
    HandlingStep.TURN: {
        HandlingPhase.NEW: HandlingPhase.NEW,
        HandlingPhase.CLAIMED: HandlingPhase.CLAIMED,
        HandlingPhase.HELD: HandlingPhase.NEW,
        HandlingPhase.FAILED: HandlingPhase.FAILED,
        HandlingPhase.FAILED_HELD: HandlingPhase.FAILED,
    },
    HandlingStep.CLAIMED: {HandlingPhase.NEW: HandlingPhase.CLAIMED},
    HandlingStep.ASKED: {HandlingPhase.CLAIMED: HandlingPhase.ASKING},
    HandlingStep.ANSWERED: {HandlingPhase.ASKING: HandlingPhase.CLAIMED},
    HandlingStep.FAILED: {HandlingPhase.CLAIMED: HandlingPhase.FAILED},
    HandlingStep.LEDGER_LOST: {
        HandlingPhase.NEW: HandlingPhase.HELD,
        HandlingPhase.CLAIMED: HandlingPhase.HELD,
        HandlingPhase.FAILED: HandlingPhase.FAILED_HELD,
    },
    HandlingStep.TAKEN: {
        HandlingPhase.NEW: HandlingPhase.NEW,
        HandlingPhase.CLAIMED: HandlingPhase.NEW,
        HandlingPhase.FAILED: HandlingPhase.NEW,
    },
}
DECIDED = frozenset({HandlingPhase.FAILED, HandlingPhase.FAILED_HELD})


@dataclass(frozen=True, slots=True)
class Handling:
    """The phase, and in FAILED and FAILED_HELD, only there, the dead letter that was decided on."""

    phase: HandlingPhase = HandlingPhase.NEW
    letter: DeadLetter | None = None

    @property
    def claimed(self) -> bool:
        """True where attempts follow, without a further word from the ledger."""
        return self.phase is HandlingPhase.CLAIMED

    @property
    def asking(self) -> bool:
        """True while a request is out, or its stream is read."""
        return self.phase is HandlingPhase.ASKING

    @property
    def held(self) -> bool:
        """True where it goes on only once the ledger is there."""
        return self.phase is HandlingPhase.HELD or self.phase is HandlingPhase.FAILED_HELD

    def after(self, step: HandlingStep, letter: DeadLetter | None = None) -> "Handling":
        """The handling once this has happened. `letter` comes with FAILED alone. Raises ImpossibleStep."""
        phase = NEXT[step].get(self.phase)
        if phase is None or (letter is not None) is not (step is HandlingStep.FAILED):
            raise ImpossibleStep(f"{step} cannot follow on the phase {self.phase}")
        return Handling(phase, letter or self.letter) if phase in DECIDED else UNDECIDED[phase]


UNDECIDED: Mapping[HandlingPhase, Handling] = {
    phase: Handling(phase) for phase in HandlingPhase if phase not in DECIDED
}
"""The only value of each phase without a letter: most events get by with these."""

UNTOUCHED = UNDECIDED[HandlingPhase.NEW]
