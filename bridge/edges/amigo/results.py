"""The API's answers, typed (docs/api-contract.md, 1). Times are aware datetimes.

Only an id must be there. Fields that nobody knows are ignored; a field that is missing, null where it may not be, or
of another form than the contract says, has its empty value: a change of the API in a detail costs that detail only.
"""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
)

from bridge.core.errors import Unreadable

VersionInfo = tuple[str, int]
"""An id and a version number."""


class Result(BaseModel):
    """Part of an answer."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    @field_validator("*", mode="wrap")
    @classmethod
    def _or_empty(cls, value: Any, read: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
        try:
            return read(value)
        except ValidationError:
            field = cls.model_fields[str(info.field_name)]
            if field.is_required():
                raise
            return field.get_default(call_default_factory=True)

    @classmethod
    def read(cls, operation: str, content: object) -> Self:
        """The result in decoded JSON. Raises Unreadable where the answer is not one of this kind."""
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            wrong = ", ".join(".".join(map(str, fault["loc"])) or "all of it" for fault in error.errors())
            raise Unreadable(f"{operation}: the answer cannot be read: {wrong}") from None


UNKNOWN_VERSION_SET = "unknown"
"""The API's name for that of a very old conversation."""


class VersionSetInfo(Result):
    name: str = UNKNOWN_VERSION_SET
    agent_version_info: VersionInfo | None = None
    service_hierarchical_state_machine_version_info: VersionInfo | None = None
    llm_model_preferences: Mapping[str, Any] = {}


class ConversationResult(Result):
    """A row of the list. `final_message` and `version_set_info` are empty without the permissions for them."""

    id: str
    user_id: str = ""
    service_id: str = ""
    created_at: AwareDatetime | None = None
    is_finished: bool = False
    is_analyzed: bool = False
    completed_post_processings: tuple[str, ...] = ()
    final_message: str = ""
    version_set_info: VersionSetInfo | None = None
    num_messages: int = 0
    tags: Mapping[str, str | None] = {}


class MessageResult(Result):
    """`message_type` is `user-message`, `agent-message`, `agent-inner-thought`, `external-event` or new."""

    id: str
    interaction_id: str = ""
    created_at: AwareDatetime | None = None
    sender: str = ""
    message: str = ""
    format: str = "text"
    message_type: str = ""


class MessageSource(Result):
    """The address of a voice message's audio; only `url` is certain (docs/api-contract.md, 7.29)."""

    url: str
    expires_at: AwareDatetime | None = None
    content_type: str = ""


class RecommendedResponses(Result):
    recommended_responses: tuple[str, ...]


class ToolCall(Result):
    """`duration` is in seconds."""

    tool_name: str = ""
    tool_id: str = ""
    tool_version: str = ""
    input: Mapping[str, Any] = {}
    output: str | None = None
    duration: float = 0.0


class WorkingMemory(Result):
    content: str = ""
    context: str = ""


class Insights(Result):
    """The agent's reasoning. `state_transition_logs` differ by their `type`, so they stay as they came."""

    current_state_name: str
    current_state_action: str = ""
    current_state_objective: str = ""
    state_transition_logs: tuple[Mapping[str, Any], ...] = ()
    working_memory: tuple[WorkingMemory, ...] = ()
    reflections: tuple[str, ...] = ()
    triggered_dynamic_behavior_set_version_info: VersionInfo | None = None
    select_next_action_tool_call_logs: tuple[tuple[ToolCall, ...], ...] = ()
    engage_user_tool_call_logs: tuple[tuple[ToolCall, ...], ...] = ()


class VersionSet(Result):
    """The numbers are null for the latest version."""

    agent_version_number: int | None = None
    service_hierarchical_state_machine_version_number: int | None = None
    llm_model_preferences: Mapping[str, Any] = {}


class ServiceTag(Result):
    key: str
    value: str | None = None


class Service(Result):
    id: str
    name: str = ""
    description: str = ""
    is_active: bool = False
    agent_id: str = ""
    service_hierarchical_state_machine_id: str = ""
    version_sets: Mapping[str, VersionSet] = {}
    tags: tuple[ServiceTag, ...] = ()
    keyterms: tuple[str, ...] = ()


class UserStats(Result):
    num_conversations: int = 0
    num_messages: int = 0
    last_message_time: AwareDatetime | None = None


class UserResult(Result):
    """`role` is an id; `preferences` have the time zone."""

    user_id: str
    first_name: str = ""
    last_name: str = ""
    email: str = ""
    role: str = ""
    user_stats: UserStats = UserStats()
    preferences: Mapping[str, Any] = {}


class CreatedUser(Result):
    """`verify_link` is for users who have to verify themselves first."""

    user_id: str
    verify_link: str | None = None


class WebhookDestination(Result):
    id: str
    url: str = ""
    secret_generated_at: AwareDatetime | None = None
    retry_attempts: int = 0
    accepted_types: tuple[str, ...] = ()


class WebhookDestinations(Result):
    webhook_destinations: tuple[WebhookDestination, ...]


class _Secret(Result):
    """Has a secret that no repr shows."""

    secret: str

    def __repr_args__(self) -> Any:
        return [(name, "***" if name == "secret" else value) for name, value in super().__repr_args__()]


class CreatedDestination(_Secret):
    webhook_destination_id: str


class RotatedSecret(_Secret):
    """Both secrets sign until `dual_signing_stops_at`."""

    dual_signing_stops_at: AwareDatetime | None = None


class DeliveryAttempt(Result):
    delivery_time: AwareDatetime | None = None
    status_code: int = 0


class WebhookDelivery(Result):
    """`status` is `success`, `failed` or new."""

    id: str
    type: str = ""
    webhook_content: Mapping[str, Any] = {}
    status: str = ""
    delivery_attempts: tuple[DeliveryAttempt, ...] = ()
    dual_signed: bool = False
    created_at: AwareDatetime | None = None
