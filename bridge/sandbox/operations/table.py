"""The table of operations (docs/api-contract.md, 1.0): ids, paths with their exact slashes, limits."""

from bridge.sandbox.http.call import Operation
from bridge.sandbox.operations import (
    accounts,
    catalogue,
    conversations,
    destinations,
    insights,
    interactions,
    messages,
    profiles,
)

_CONVERSATION = "/conversation/{conversation_id}"
_INTERACTION = _CONVERSATION + "/interaction/{interaction_id}"
_DESTINATION = "/webhook_destination/{webhook_destination_id}"

OPERATIONS = (
    Operation("sign-in-with-api-key", "POST", "/user/signin_with_api_key", 5, accounts.sign_in, "key"),
    Operation("create-conversation", "POST", "/conversation/", 5, interactions.create),
    Operation("interact-with-conversation", "POST", _CONVERSATION + "/interact", 15, interactions.interact),
    Operation("finish-conversation", "POST", _CONVERSATION + "/finish/", 5, conversations.finish),
    Operation("get-conversations", "GET", "/conversation/", 15, conversations.list_conversations),
    Operation("get-conversation-messages", "GET", _CONVERSATION + "/messages/", 20, messages.list_messages),
    Operation(
        "retrieve-message-source",
        "GET",
        _CONVERSATION + "/messages/{message_id}/source",
        30,
        messages.message_source,
    ),
    Operation("modify-tags-of-conversation", "POST", _CONVERSATION + "/tags/", 50, conversations.modify_tags),
    Operation(
        "recommend-responses-for-interaction",
        "POST",
        _INTERACTION + "/recommend_responses",
        20,
        insights.recommended_responses,
    ),
    Operation("get-interaction-insights", "GET", _INTERACTION + "/insights", 20, insights.interaction_insights),
    Operation(
        "generate-conversation-starter",
        "POST",
        "/conversation/conversation_starter",
        10,
        insights.conversation_starters,
    ),
    Operation("get-services", "GET", "/service/", 50, catalogue.list_services),
    Operation("create-invited-user", "POST", "/user/", 50, accounts.create_user),
    Operation("get-users", "GET", "/user/", 60, accounts.list_users),
    Operation("update-user-info", "POST", "/user/{requested_user}", 50, profiles.update_user),
    Operation("delete-user", "DELETE", "/user/{requested_user}", 500, profiles.delete_user),
    Operation("get-user-model", "GET", "/user/{requested_user}/user_model", 60, profiles.user_model),
    Operation("create-webhook-destination", "POST", "/webhook_destination/", 20, destinations.create_destination),
    Operation("get_webhook_destinations", "GET", "/webhook_destination/", 20, destinations.list_destinations),
    Operation("update-webhook-destination", "POST", _DESTINATION, 20, destinations.update_destination),
    Operation("delete-webhook-destination", "DELETE", _DESTINATION, 20, destinations.delete_destination),
    Operation(
        "rotate-webhook-destination-secret", "POST", _DESTINATION + "/rotate-secret", 20, destinations.rotate_secret
    ),
    Operation("get-webhook-deliveries", "GET", _DESTINATION + "/delivery", 5, destinations.list_deliveries),
    Operation("get-organization", "GET", "/organization/", 0, catalogue.organization, "open"),
)
