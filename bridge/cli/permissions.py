"""Permissions of the API's roles, by the operation that needs them (docs/api-contract.md, 1.4 to 1.14).

A list leaves out, without a word, whatever the role does not let it show: whoever reads one must be told.
"""

NEEDED = {
    "list": "Conversation:GetConversation",
    "messages": "Conversation:GetMessage",
    "message-source": "Conversation:GetMessage",
    "tags": "Conversation:ModifyConversation",
    "recommend-responses": "Conversation:GetRecommendedResponses",
    "insights": "Conversation:GetInteractionInsights or Organization:GetServiceHierarchicalStateMachine",
    "finish": "User:UpdateUserInfo or Conversation:FinishConversation",
    "services": "Service:GetService",
    "create-user": "User:InviteUser, or has not more privileges than the new user's role",
    "users": "User:GetUserInfo",
}


def lacks(operation: str) -> str:
    """The words for a refusal of this operation."""
    return f"the role lacks {NEEDED.get(operation, 'a permission')}"


def nothing_listed(operation: str) -> str:
    """The words for an empty list: the API does not tell a missing permission from a list without rows."""
    return f"nothing is listed: {lacks(operation)}, or there is nothing that fits"
