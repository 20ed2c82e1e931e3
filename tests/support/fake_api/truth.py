"""What really happened, as the API knows it: conversations, committed interactions, messages, and every call."""

import itertools
import secrets
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.support.fake_api.script import Complete, Husk, Stream


def new_id() -> str:
    return secrets.token_hex(12)


def now() -> str:
    return datetime.now(UTC).isoformat()


@dataclass
class Call:
    """One request; times are of time.monotonic(), `ended` is None while it runs."""

    op: str
    user: str | None
    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    started: float = field(default_factory=time.monotonic)
    ended: float | None = None
    status: int | None = None
    body: Any = None
    text: str | None = None
    conversation_id: str | None = None
    service: str | None = None

    def param(self, name: str) -> list[str]:
        return [value for key, value in self.query if key == name]


@dataclass
class Message:
    id: str
    interaction_id: str
    message_type: str
    message: str
    created_at: str


@dataclass
class Interaction:
    """A committed one."""

    id: str
    text: str | None
    kind: str | None
    earlier: list[tuple[str, str]]
    full_message: str
    message_id: str


@dataclass
class Conversation:
    id: str
    user: str
    service: str
    version_set: str
    tags: dict[str, str | None]
    created_at: str
    response_format: str = "text"
    finished: bool = False
    locked: bool = False
    husk: Husk | None = None
    interactions: list[Interaction] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)


@dataclass
class Talk:
    """One attempt at an interaction: what was asked, and the lines that were sent, without their newlines."""

    conversation: Conversation
    stream: Stream
    text: str | None
    kind: str | None
    creates: bool
    earlier: list[tuple[str, str]] = field(default_factory=list)
    interaction_id: str = field(default_factory=new_id)
    heard_id: str = field(default_factory=new_id)
    said_id: str = field(default_factory=new_id)
    sent: list[bytes] = field(default_factory=list)
    committed: bool = False
    ended: bool = False
    _pieces: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    @property
    def full_message(self) -> str:
        return self.stream.full_message

    @property
    def complete(self) -> Complete:
        return self.stream.complete

    def next_piece(self) -> int:
        return next(self._pieces)


class Truth:
    """The API's data and its two rules: one unfinished conversation per (user, service); a void turn leaves nothing."""

    def __init__(self) -> None:
        self.conversations: dict[str, Conversation] = {}
        self.talks: list[Talk] = []
        self.calls: list[Call] = []

    def unfinished(self, user: str, service: str) -> Conversation | None:
        for conversation in self.conversations.values():
            if (conversation.user, conversation.service) == (user, service) and not conversation.finished:
                return conversation
        return None

    def open(self, user: str, service: str, tags: dict[str, str | None], version_set: str = "release") -> Conversation:
        conversation = Conversation(new_id(), user, service, version_set, dict(tags), now())
        self.conversations[conversation.id] = conversation
        return conversation

    def converse(self, conversation: Conversation, text: str) -> None:
        """An interaction that took place before the test began."""
        self.commit(Talk(conversation, Stream((Complete(done=False, full="Indeed."),)), text, "user-message", False))

    def commit(self, talk: Talk) -> None:
        if talk.committed:
            return
        talk.committed = True
        conversation = talk.conversation
        conversation.interactions.append(
            Interaction(talk.interaction_id, talk.text, talk.kind, talk.earlier, talk.full_message, talk.said_id)
        )
        if talk.text is not None:
            kind = talk.kind or "user-message"
            conversation.messages.append(Message(talk.heard_id, talk.interaction_id, kind, talk.text, now()))
        conversation.messages.append(
            Message(talk.said_id, talk.interaction_id, "agent-message", talk.full_message, now())
        )
        conversation.finished = conversation.finished or talk.complete.done

    def void(self, talk: Talk) -> None:
        """An interaction that did not come about; a conversation that only it created goes with it, or stays empty."""
        if talk.committed or not talk.creates:
            return
        if talk.stream.abandoned in (Husk.EMPTY, Husk.STUCK):
            talk.conversation.husk = talk.stream.abandoned
        else:
            self.conversations.pop(talk.conversation.id, None)

    def committed(self, text: str | None = None) -> list[Interaction]:
        every = (one for conversation in self.conversations.values() for one in conversation.interactions)
        return [one for one in every if text is None or one.text == text]

    def conversation_of(self, text: str) -> Conversation:
        found = [c for c in self.conversations.values() if any(one.text == text for one in c.interactions)]
        assert len(found) == 1, f"{len(found)} conversations heard {text!r}"
        return found[0]

    def talks_of(self, text: str) -> list[Talk]:
        return [talk for talk in self.talks if talk.text == text]

    def calls_of(self, *ops: str, user: str | None = None, since: float = 0.0) -> list[Call]:
        return [
            call
            for call in self.calls
            if call.op in ops and call.started >= since and (user is None or call.user == user)
        ]

    def overlaps(self) -> list[tuple[Call, Call]]:
        """Pairs of create or interact calls of one (user, service) that ran at the same time."""
        latest: dict[tuple[str | None, str | None], Call] = {}
        pairs = []
        for call in sorted(self.calls_of("create", "interact"), key=lambda call: call.started):
            before = latest.get((call.user, call.service))
            if before is not None and (before.ended is None or before.ended > call.started):
                pairs.append((before, call))
            latest[call.user, call.service] = call
        return pairs
