"""Permissions of the API's roles, and the operations that need them (docs/api-contract.md, 1.4 to 1.14).

A list leaves out, without a word, whatever the role does not let it show: whoever reads one must be told.
"""

from collections.abc import Mapping

GET_CONVERSATION = "Conversation:GetConversation"
GET_MESSAGE = "Conversation:GetMessage"
GET_USER = "User:GetUserInfo"
GET_VERSION_SET = "Service:GetVersionSet"

NEEDED: Mapping[str, str] = {
    "list": GET_CONVERSATION,
    "messages": GET_MESSAGE,
    "message-source": GET_MESSAGE,
    "tags": "Conversation:ModifyConversation",
    "recommend-responses": "Conversation:GetRecommendedResponses",
    "insights": "Conversation:GetInteractionInsights or Organization:GetServiceHierarchicalStateMachine",
    "finish": "User:UpdateUserInfo or Conversation:FinishConversation",
    "services": "Service:GetService",
    "create-user": "User:InviteUser, or has not more privileges than the new user's role",
    "users": GET_USER,
}


def lacks(operation: str) -> str:
    """The words for a refusal of this operation."""
    return f"the role lacks {NEEDED.get(operation, 'a permission')}"


def nothing_listed(operation: str) -> str:
    """The words for an empty list: the API does not tell a missing permission from a list without rows."""
    return f"nothing is listed: {lacks(operation)}, or there is nothing that fits"
