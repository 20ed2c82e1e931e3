"""Conversations and messages as the API's lists show them (docs/api-contract.md, 1.5, 1.6)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from bridge.core.answer.ending import COMPLETE

AGENT_MESSAGE = "agent-message"


@dataclass(frozen=True, slots=True)
class ConversationRow:
    """One row of the list of conversations."""

    id: str
    user_id: str
    service_id: str
    is_finished: bool
    num_messages: int
    tags: Mapping[str, str | None] = field(default_factory=dict)
    version_set: str | None = None
    """None where it is not shown."""

    def carries(self, event_tag: str) -> bool:
        """True where the conversation was started for the event with this tag; tag values are compared trimmed."""
        return (self.tags.get("bridge_event") or "").strip() == event_tag


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation. `created_s` is when the API made it, in Unix seconds by its own clock."""

    id: str
    interaction_id: str
    message_type: str
    text: str
    created_s: float | None = None


def first_interaction(messages: Sequence[Message]) -> list[Message]:
    """The messages of the interaction that a conversation began with. `messages` are oldest first."""
    return [message for message in messages if message.interaction_id == messages[0].interaction_id] if messages else []


def answer(messages: Iterable[Message]) -> Message | None:
    """The agent's answer among the messages of one interaction: its last word."""
    return next((message for message in reversed(list(messages)) if message.message_type == AGENT_MESSAGE), None)


def after(messages: Sequence[Message], watermark: str | None) -> list[Message]:
    """The messages, oldest first, that came after the one whose id is the watermark; all of them where it is None."""
    ids = [message.id for message in messages]
    return list(messages[ids.index(watermark) + 1 :]) if watermark in ids else list(messages)


def recovered_ending(message: Message, *, conversation_completed: bool) -> bytes:
    """The ending as it would have been streamed, written from history: the four fields of the API's specification."""
    return orjson.dumps(
        {
            "type": COMPLETE,
            "message_id": message.id,
            "interaction_id": message.interaction_id,
            "full_message": message.text,
            "conversation_completed": conversation_completed,
        }
    )
