"""What the fake API does with a request: the steps of its answer, and what becomes of it where it gets no end.

A step is a chunk of bytes, an exception that cuts the stream, a Gate, seconds to wait, or a function of the turn that
gives a chunk: `opening`, `said`, `complete`, `error`.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

import orjson

from bridge.core.answer.history import Message


class Fate(StrEnum):
    """What the API keeps of an interaction that was cut, refused or in error before its end."""

    ROLLED_BACK = "rolled-back"
    """Nothing, and no conversation that only it created."""
    EMPTY = "empty"
    """The conversation, with nothing in it."""
    HEARD = "heard"
    """The event's message, without an answer."""
    SAVED = "saved"
    """Everything, as if it had come to its end."""


class Gate:
    """The stream stands still here until the test opens it."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self._opened = asyncio.Event()

    def open(self) -> None:
        self._opened.set()

    async def passed(self) -> None:
        self.reached.set()
        await self._opened.wait()


@dataclass(eq=False)
class Talk:
    """A conversation as the API has it. It is listed from `listed_from_s` (event loop time) on."""

    id: str
    user_id: str
    service_id: str
    tags: dict[str, str | None]
    listed_from_s: float = 0.0
    messages: list[Message] = field(default_factory=list)
    finished: bool = False
    running: bool = False
    gone: bool = False
    version_set: str | None = None


@dataclass(eq=False)
class Turn:
    """One request to create or interact, as it is being answered."""

    talk: Talk
    creates: bool
    text: str | None
    kind: str
    number: int
    done: bool = False
    saved: bool = False
    pieces: int = 0
    kept: str | None = None

    @property
    def interaction_id(self) -> str:
        return f"a{self.number:023x}"

    @property
    def heard_id(self) -> str:
        return f"b{self.number:023x}"

    @property
    def said_id(self) -> str:
        return f"d{self.number:023x}"

    @property
    def full_message(self) -> str:
        return f"Answer to {self.text}"

    def hear(self) -> None:
        """Keep the event's message."""
        if self.text is not None and not self.saved:
            self._keep(self.heard_id, self.kind, self.kept or self.text)

    def save(self) -> None:
        """Keep the whole interaction."""
        if not self.saved:
            self.hear()
            self.saved = True
            self._keep(self.said_id, "agent-message", self.full_message)
            self.talk.finished = self.talk.finished or self.done

    def _keep(self, id_: str, kind: str, text: str) -> None:
        now_s = asyncio.get_running_loop().time()
        self.talk.messages.append(Message(id_, self.interaction_id, kind, text, now_s))


Step = bytes | Exception | Gate | float | Callable[[Turn], bytes]


def line(**fields: object) -> bytes:
    """One NDJSON line."""
    return orjson.dumps(fields) + b"\n"


def opening(turn: Turn) -> bytes:
    """The first line of a stream: `conversation-created`, or `user-message-available` for an interact."""
    if turn.creates:
        return line(type="conversation-created", conversation_id=turn.talk.id)
    return line(type="user-message-available", message_id=turn.heard_id, user_message=turn.text or "")


def said(text: str) -> Callable[[Turn], bytes]:
    """A piece of the agent's answer."""

    def step(turn: Turn) -> bytes:
        turn.pieces += 1
        return line(type="new-message", message=text, stop=False, sequence_number=turn.pieces, message_id=turn.said_id)

    return step


def complete(*, done: bool = False) -> Callable[[Turn], bytes]:
    """The ending; the interaction is saved before it is said. `done`: the conversation is over with it."""

    def step(turn: Turn) -> bytes:
        turn.done = done
        turn.save()
        return line(
            type="interaction-complete",
            message_id=turn.said_id,
            interaction_id=turn.interaction_id,
            full_message=turn.full_message,
            conversation_completed=done,
        )

    return step


def error(code: int = 500, text: str = "the agent failed") -> bytes:
    """An error on the stream."""
    return line(type="error", http_error_code=code, error_description=text)


@dataclass(frozen=True)
class Play:
    """How one request is answered. `refusal` is raised in place of an answer, though the request was received.

    Where the interaction gets no ending, `fate` comes `settles_s` seconds later; it is still running until then.
    `over`: where it is saved then, the conversation is over with it. The answer begins after `thinks_s` seconds.
    """

    steps: tuple[Step, ...] = (opening, said("Hello"), complete())
    fate: Fate = Fate.ROLLED_BACK
    settles_s: float = 0.0
    refusal: Exception | None = None
    over: bool = False
    thinks_s: float = 0.0


def answered(*steps: Step, fate: Fate = Fate.ROLLED_BACK, settles_s: float = 0.0) -> Play:
    """A stream of these steps after its opening."""
    return Play((opening, *steps), fate, settles_s)


def refused(refusal: Exception, fate: Fate = Fate.ROLLED_BACK, settles_s: float = 0.0) -> Play:
    """A request that reached the API, whose answer did not come."""
    return Play((), fate, settles_s, refusal)
