"""The sandbox's memory: plain rows; times are milliseconds since the epoch."""

from dataclasses import dataclass, field
from typing import Any

POST_PROCESSINGS = ("generate-user-models", "extract-memories", "compute-metrics")


@dataclass
class Message:
    id: str
    interaction_id: str
    created_ms: int
    sender: str
    message: str
    format: str
    message_type: str


@dataclass
class Interaction:
    """One committed exchange; ``inbound_type`` is ``agent-first``, ``skip``, ``user-message`` or ``external-event``."""

    id: str
    conversation_id: str
    inbound_type: str
    inbound: str
    external_events: list[str]
    user_message_id: str | None
    agent_message_id: str
    full_message: str
    completed: bool
    committed_ms: int = 0
    scene: int = 0


@dataclass
class Conversation:
    id: str
    org_id: str
    user_id: str
    service_id: str
    version_set: str
    created_ms: int
    tags: dict[str, str | None]
    is_test: bool
    finished_ms: int | None = None
    post_processed: list[str] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    interactions: list[Interaction] = field(default_factory=list)

    @property
    def last_ms(self) -> int:
        """When the newest message was made, else when the conversation was."""
        return max((m.created_ms for m in self.messages), default=self.created_ms)

    @classmethod
    def load(cls, row: dict[str, Any]) -> "Conversation":
        messages = [Message(**m) for m in row["messages"]]
        interactions = [Interaction(**i) for i in row["interactions"]]
        return cls(**{**row, "messages": messages, "interactions": interactions})


@dataclass
class Turn:
    """An interaction on its way: nothing of it is visible before it is committed."""

    conversation: Conversation
    interaction: Interaction
    messages: list[Message]
    starts_conversation: bool


@dataclass
class User:
    org_id: str
    user_id: str
    first_name: str
    last_name: str
    email: str
    role_name: str = "DefaultUserRole"
    verified: bool = True
    denied: list[str] = field(default_factory=list)
    own_only: bool = False
    nonsensitive: dict[str, str] = field(default_factory=dict)
    sensitive_names: list[str] = field(default_factory=list)
    preferences: dict[str, Any] = field(default_factory=dict)
    additional_context: list[str] = field(default_factory=list)


@dataclass
class Service:
    id: str
    org_id: str
    name: str
    description: str
    version_sets: list[str]
    tags: dict[str, str | None] = field(default_factory=dict)
    is_active: bool = True


@dataclass
class Destination:
    """A webhook destination; ``old_secret`` signs too until ``dual_until_ms``."""

    id: str
    org_id: str
    url: str
    accepted_types: list[str]
    retry_attempts: int
    secret: str
    secret_ms: int
    old_secret: str | None = None
    dual_until_ms: int = 0


@dataclass
class Delivery:
    """One webhook to one destination; ``attempts`` are (time in ms, status code; 0 = no answer)."""

    id: str
    org_id: str
    destination_id: str
    type: str
    content: dict[str, Any]
    created_ms: int
    status: str = "failed"
    dual_signed: bool = False
    attempts: list[tuple[int, int]] = field(default_factory=list)
