"""An independent Amigo API for the tests: it speaks the contract, keeps the truth and does what it is told."""

from tests.support.fake_api.api import FakeApi
from tests.support.fake_api.script import (
    Answer,
    Commit,
    Complete,
    Created,
    Cut,
    Error,
    Gate,
    Heard,
    Husk,
    Piece,
    Raw,
    Refusal,
    Reset,
    Step,
    Stream,
    answer,
)
from tests.support.fake_api.truth import Call, Conversation, Interaction, Message, Talk, Truth

__all__ = [
    "Answer",
    "Call",
    "Commit",
    "Complete",
    "Conversation",
    "Created",
    "Cut",
    "Error",
    "FakeApi",
    "Gate",
    "Heard",
    "Husk",
    "Interaction",
    "Message",
    "Piece",
    "Raw",
    "Refusal",
    "Reset",
    "Step",
    "Stream",
    "Talk",
    "Truth",
    "answer",
]
