"""Every answer of every operation fits the models that the official SDK generated from the published specification.

The specification itself judges every answer of every test: tests/support/observed_sandbox.py.
"""

from typing import Any

from amigo_sdk.generated import model

from bridge.sandbox.operations.table import OPERATIONS

from .caller import SERVICE, Caller
from .conftest import Start

MODELS: dict[str, Any] = {
    "sign-in-with-api-key": model.UserSignInWithApiKeyResponse,
    "create-conversation": model.ConversationCreateConversationResponse,
    "interact-with-conversation": model.ConversationInteractWithConversationResponse,
    "get-conversations": model.ConversationGetConversationsResponse,
    "get-conversation-messages": model.ConversationGetConversationMessagesResponse,
    "recommend-responses-for-interaction": model.ConversationRecommendResponsesForInteractionResponse,
    "get-interaction-insights": model.ConversationGetInteractionInsightsResponse,
    "generate-conversation-starter": model.ConversationGenerateConversationStarterResponse,
    "get-services": model.ServiceGetServicesResponse,
    "create-invited-user": model.UserCreateInvitedUserResponse,
    "get-users": model.UserGetUsersResponse,
    "get-user-model": model.UserGetUserModelResponse,
    "create-webhook-destination": model.WebhookDestinationCreateWebhookDestinationResponse,
    "get_webhook_destinations": model.WebhookDestinationGetWebhookDestinationsResponse,
    "rotate-webhook-destination-secret": model.WebhookDestinationRotateWebhookDestinationSecretResponse,
    "get-webhook-deliveries": model.WebhookDestinationGetWebhookDeliveriesResponse,
    "get-organization": model.OrganizationGetOrganizationResponse,
}


def judge(operation: str, status: int, content: Any) -> None:
    """Raises where the SDK's model of the answer does not take it."""
    if content is None:
        assert status == 204
    elif operation in MODELS:
        MODELS[operation].model_validate(content)


class Session:
    """Uses every operation once and keeps what was answered."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.answers: list[tuple[str, int, Any]] = []

    async def ask(self, operation: str, method: str, path: str, body: object = None, **options: Any) -> Any:
        status, content = await self.caller.ask(method, path, body, **options)
        self.answers.append((operation, status, content))
        return content

    async def use_everything(self) -> None:
        await self._sign_in_and_look_around()
        conversation_id, interaction_id, message_id = await self._talk()
        await self._look_back(conversation_id, interaction_id, message_id)
        await self._webhooks()

    async def _sign_in_and_look_around(self) -> None:
        keys = {"x-api-key": "k", "x-api-key-id": "i", "x-user-id": "user-1"}
        await self.ask("sign-in-with-api-key", "POST", "/user/signin_with_api_key", headers=keys)
        await self.ask("get-organization", "GET", "/organization/")
        await self.ask("get-services", "GET", "/service/?limit=2")
        user = {"first_name": "A", "last_name": "B", "email": "a@example.com", "role_name": "DefaultUserRole"}
        made = await self.ask("create-invited-user", "POST", "/user/", user)
        await self.ask("create-invited-user", "POST", "/user/", user)
        await self.ask("get-users", "GET", "/user/")
        await self.ask("update-user-info", "POST", f"/user/{made['user_id']}", {"timezone": "Europe/Berlin"})
        await self.ask("get-user-model", "GET", f"/user/{made['user_id']}/user_model")
        await self.ask("delete-user", "DELETE", f"/user/{made['user_id']}")
        starter = {"service_id": SERVICE, "facets": ["x"], "min_count": 1, "max_count": 2}
        await self.ask(
            "generate-conversation-starter",
            "POST",
            "/conversation/conversation_starter",
            {**starter, "generation_instructions": "Be brief"},
        )

    async def _talk(self) -> tuple[str, str, str]:
        everything = "hello [[reply:all-actions]][[reply:voice]]"
        created = await self.caller.create(everything, body={"tags": {"channel": "sms", "urgent": None}})
        self.answers += [("create-conversation", created.status, event) for event in created.events]
        asked = await self.caller.interact(created.conversation_id, everything)
        self.answers += [("interact-with-conversation", asked.status, event) for event in asked.events]
        return created.conversation_id, asked.ending["interaction_id"], asked.ending["message_id"]

    async def _look_back(self, conversation_id: str, interaction_id: str, message_id: str) -> None:
        path = f"/conversation/{conversation_id}"
        interaction = f"{path}/interaction/{interaction_id}"
        await self.ask("get-conversations", "GET", "/conversation/?limit=1")
        await self.ask("get-conversation-messages", "GET", f"{path}/messages/?limit=1")
        await self.ask("retrieve-message-source", "GET", f"{path}/messages/{message_id}/source")
        await self.ask("modify-tags-of-conversation", "POST", f"{path}/tags/", {"updates": {"channel": "email"}})
        await self.ask("recommend-responses-for-interaction", "POST", f"{interaction}/recommend_responses")
        await self.ask("get-interaction-insights", "GET", f"{interaction}/insights")
        await self.ask("finish-conversation", "POST", f"{path}/finish/")
        await self.ask("finish-conversation", "POST", f"{path}/finish/")

    async def _webhooks(self) -> None:
        kinds = ["conversation-post-processing-complete"]
        wanted = {"url": "https://hooks.example.com/amigo", "accepted_types": kinds}
        made = await self.ask("create-webhook-destination", "POST", "/webhook_destination/", wanted)
        path = f"/webhook_destination/{made['webhook_destination_id']}"
        await self.caller.ask("POST", "/_sandbox/webhooks", {"organization": "acme"})
        await self.ask("get_webhook_destinations", "GET", "/webhook_destination/")
        await self.ask("update-webhook-destination", "POST", path, {"retry_attempts": 2})
        await self.ask("rotate-webhook-destination-secret", "POST", f"{path}/rotate-secret")
        await self.ask("rotate-webhook-destination-secret", "POST", f"{path}/rotate-secret")
        await self.ask("get-webhook-deliveries", "GET", f"{path}/delivery")
        await self.ask("delete-webhook-destination", "DELETE", path)


async def answers_of_everything(start: Start) -> list[tuple[str, int, Any]]:
    session = Session(await start())
    await session.use_everything()
    return session.answers


async def test_every_answer_of_every_operation_fits_the_models_of_the_official_sdk(start: Start) -> None:
    answers = await answers_of_everything(start)
    for answer in answers:
        if answer[1] < 400:
            judge(*answer)
    assert {operation for operation, _, _ in answers} == {operation.id for operation in OPERATIONS}
