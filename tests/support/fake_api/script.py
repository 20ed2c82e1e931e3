"""What the fake API is told to do with a request: refuse it, cut it, or stream an answer step by step.

A test scripts a list of answers for one message text (or one user); each attempt takes the next one, and when
the list is used up the default answer follows.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.fake_api.truth import Talk


@dataclass(frozen=True)
class Refusal:
    """An answer without a stream; `commit` says that the API did the work all the same."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    detail: str = "refused by the script"
    commit: bool = False


@dataclass(frozen=True)
class Cut:
    """The connection is reset before a status line is sent."""

    commit: bool = False


@dataclass(frozen=True)
class Gate:
    """The stream stands still here until the test sets the event."""

    event: asyncio.Event = field(default_factory=asyncio.Event)

    def open(self) -> None:
        self.event.set()


@dataclass(frozen=True)
class Commit:
    """The interaction is saved here, whatever is said about it on the stream."""


@dataclass(frozen=True)
class Reset:
    """The connection is reset here (TCP RST)."""


@dataclass(frozen=True)
class Created:
    def line(self, talk: "Talk") -> bytes:
        return _json(type="conversation-created", conversation_id=talk.conversation.id)


@dataclass(frozen=True)
class Heard:
    def line(self, talk: "Talk") -> bytes:
        return _json(type="user-message-available", message_id=talk.heard_id, user_message=talk.text or "")


@dataclass(frozen=True)
class Piece:
    text: str
    last: bool = False

    def line(self, talk: "Talk") -> bytes:
        return _json(
            type="new-message",
            message=self.text,
            transcript_alignment=None,
            stop=self.last,
            sequence_number=talk.next_piece(),
            message_id=talk.said_id,
        )


@dataclass(frozen=True)
class Complete:
    """Saves the interaction and says so; `done` finishes the conversation too. `full=None` joins the pieces."""

    done: bool = True
    full: str | None = None

    def line(self, talk: "Talk") -> bytes:
        return _json(
            type="interaction-complete",
            message_id=talk.said_id,
            interaction_id=talk.interaction_id,
            full_message=talk.full_message,
            conversation_completed=self.done,
        )


@dataclass(frozen=True)
class Error:
    """The stream's own error event; before `Complete` it voids the interaction."""

    code: int = 500

    def line(self, talk: "Talk") -> bytes:
        return _json(type="error", http_error_code=self.code, error_description="scripted")


@dataclass(frozen=True)
class Raw:
    """These bytes exactly; a function gets the talk. The newline is added unless `newline` is false."""

    data: bytes | Callable[["Talk"], bytes]
    newline: bool = True

    def line(self, talk: "Talk") -> bytes:
        return self.data(talk) if callable(self.data) else self.data


Step = Created | Heard | Piece | Complete | Error | Raw | Gate | Commit | Reset
Line = Created | Heard | Piece | Complete | Error | Raw


class Husk(Enum):
    """What the API makes of an interaction that broke off, be it that its client went away or that it failed itself."""

    ROLLBACK = "nothing is left of it"
    COMMIT = "it is saved at once"
    LATE = "it runs on, locked, and is saved when the test says so"
    EMPTY = "an empty conversation is left; finishing it deletes it (204)"
    STUCK = "an empty conversation is left; finishing it is refused (400)"


@dataclass(frozen=True)
class Stream:
    """One streamed answer.

    The API sends the opening line itself (conversation-created or user-message-available, as the call wants it),
    unless the stream is `bare`. `cut_every` slices the bytes into TCP chunks of that size across lines (None: one
    chunk a line).
    `framed=False` sends no chunked framing: the end of the connection is the end of the body.
    """

    steps: tuple[Step, ...]
    cut_every: int | None = None
    framed: bool = True
    last_newline: bool = True
    bare: bool = False
    abandoned: Husk = Husk.ROLLBACK
    stays_open: bool = False

    @property
    def complete(self) -> Complete:
        """Its own, or what a commit without one means."""
        found = [step for step in self.steps if isinstance(step, Complete)]
        return found[0] if found else Complete(done=not self.stays_open)

    @property
    def full_message(self) -> str:
        pieces = "".join(step.text for step in self.steps if isinstance(step, Piece))
        return pieces if self.complete.full is None else self.complete.full


Answer = Refusal | Cut | Stream


def answer(*pieces: str, done: bool = True, before_end: tuple[Step, ...] = (), **options: object) -> Stream:
    """A well-behaved stream."""
    said = tuple(Piece(text, last=index == len(pieces) - 1) for index, text in enumerate(pieces))
    return Stream((*said, *before_end, Complete(done)), **options)  # type: ignore[arg-type]


def _json(**fields: object) -> bytes:
    """With the spaces of json.dumps: a bridge that writes its own JSON cannot reproduce these bytes by luck."""
    return json.dumps(fields, ensure_ascii=False).encode()
