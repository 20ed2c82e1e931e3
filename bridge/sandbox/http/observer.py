"""Who is told of all that the sandbox answers: tests that hold it to the published schemas."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class SentAnswer:
    """One answer of an operation; `lines` are the events where it is a stream, else `content` is its body.

    `asked_for` names the faults and the scripted replies that shaped it.
    """

    operation: str
    status: int
    content: bytes
    lines: tuple[bytes, ...]
    asked_for: tuple[str, ...]


class AnswerObserver(Protocol):
    """Told of each answer before it is sent."""

    def answered(self, answer: SentAnswer) -> None:
        """Takes note; whatever is wrong with the answer, the client gets it."""


class NobodyObserves:
    """The observer of a sandbox that nobody observes."""

    def answered(self, answer: SentAnswer) -> None:
        """Takes no note."""
