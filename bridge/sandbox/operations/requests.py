"""The JSON bodies of all operations: one table for each, from which every check of a body is made.

What the specification leaves to prose (an unknown role, a version set that does not exist) is decided by the operation.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from bridge.sandbox.http.fields import (
    Address,
    CreateTags,
    Email,
    HexId,
    Language,
    ModifyTags,
    PlainVariables,
    RequestBody,
    SecretVariables,
    Timezone,
    WebAddress,
    Words,
    distinct,
)

WebhookType = Literal[
    "conversation-post-processing-complete", "api-key-expiration-soon", "agent-framework-resource-updated"
]
MessageType = Literal["user-message", "external-event"]
_Count = Annotated[int, Field(ge=1, le=10)]
_Retries = Annotated[int, Field(ge=1, le=5)]


class CreateConversation(RequestBody):
    service_id: HexId
    service_version_set_name: str = "release"
    initial_message: Words | None = None
    initial_message_type: MessageType | None = None
    tags: CreateTags = Field(default_factory=dict)
    is_test: bool = False

    @model_validator(mode="after")
    def _message_with_its_type(self) -> "CreateConversation":
        if (self.initial_message is None) != (self.initial_message_type is None):
            raise ValueError("initial_message and initial_message_type belong together")
        return self


class ConversationStarter(RequestBody):
    service_id: HexId
    service_version_set_name: str = "release"
    facets: Annotated[list[Words], Field(min_length=1)]
    min_count: _Count
    max_count: _Count
    generation_instructions: Words


class RecommendResponses(RequestBody):
    context: Words = "A typical person seeking this service."


class TagChanges(RequestBody):
    updates: ModifyTags = Field(default_factory=dict)
    deletes: Annotated[list[Words], AfterValidator(distinct)] = Field(default_factory=list)


class Preferences(RequestBody):
    enable_response_recommendation: bool = False
    preferred_language: Language | None = None
    conversations_visible_to_admins: bool = True
    user_model_visible_to_admins: bool = True
    timezone: Timezone | None = None
    audio_keyterms: list[str] = Field(default_factory=list)


class InvitedUser(RequestBody):
    first_name: Words
    last_name: Words
    email: Email
    role_name: str
    login_link: WebAddress | None = None
    nonsensitive_user_variables: PlainVariables = Field(default_factory=dict)
    sensitive_user_variables: SecretVariables = Field(default_factory=dict)
    user_preferences: Preferences | None = None


class Unchanged(RequestBody):
    """An object in place of a setting: the setting stays as it is."""


class UserChanges(RequestBody):
    """Null or no field leaves a setting as it is; but a language or a time zone is taken away by null."""

    first_name: Words | None = None
    last_name: Words | None = None
    enable_response_recommendation: bool | None = None
    preferred_language: Language | Unchanged | None = Unchanged()
    conversations_visible_to_admins: bool | None = None
    user_model_visible_to_admins: bool | None = None
    timezone: Timezone | Unchanged | None = Unchanged()
    additional_context: list[Words] | None = None
    audio_keyterms: list[str] | None = None


class NewDestination(RequestBody):
    url: Address
    accepted_types: list[WebhookType]
    retry_attempts: _Retries = 3


class DestinationChanges(RequestBody):
    retry_attempts: _Retries | None = None
    accepted_types: list[WebhookType] | None = None
