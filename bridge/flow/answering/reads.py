"""The reads of the API's lists, each as short as what it is to prove: docs/semantics.md, Reads are bounded.

Filters are asked for and not trusted: each row is compared, and where one shows that the API has not listened to the
filter, the list is read on.
"""

from collections.abc import Collection

from bridge.core.answer.history import ConversationRow, Message
from bridge.flow.ports.api import Agent


async def conversation(agent: Agent, user_id: str, conversation_id: str) -> ConversationRow | None:
    """The conversation with that id, where it is listed."""
    async for row in agent.conversations(user_id, conversation_id=conversation_id):
        if row.id == conversation_id:
            return row
    return None


async def unfinished(agent: Agent, user_id: str, service_id: str) -> list[ConversationRow]:
    """The unfinished conversations of the user with the service, newest first; the API holds one at a time open.

    A finished row after an unfinished one shows that the API lists all of them: what follows is older still.
    """
    rows: list[ConversationRow] = []
    async for row in agent.conversations(user_id, service_id, unfinished=True):
        if not row.is_finished:
            rows.append(row)
        elif rows:
            break
    return rows


async def carrying(agent: Agent, user_id: str, service_id: str, event_tag: str) -> list[ConversationRow]:
    """The conversations with this event tag, finished or not: one page, or all where the API does not filter."""
    rows = agent.conversations(user_id, service_id, event_tag=event_tag)
    return [row async for row in rows if row.carries(event_tag)]


async def first_exchange(agent: Agent, user_id: str, conversation_id: str) -> list[Message]:
    """The messages of the interaction that a conversation began with, and the one after them; oldest first."""
    messages: list[Message] = []
    async for message in agent.messages(user_id, conversation_id):
        messages.append(message)
        if message.interaction_id != messages[0].interaction_id:
            break
    return messages


async def back_to(agent: Agent, user_id: str, conversation_id: str, known: Collection[str | None]) -> list[Message]:
    """The newest messages of a conversation, back to one of these ids; oldest first. All of them where none is met."""
    messages: list[Message] = []
    async for message in agent.messages(user_id, conversation_id, newest_first=True):
        messages.append(message)
        if message.id in known:
            break
    return messages[::-1]
