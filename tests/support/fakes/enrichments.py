"""The API's objects beside an answer, made of the fake API's conversations. No two calls give the same object."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Sequence
from itertools import count

from bridge.core.errors import Refused
from bridge.core.ledger.owed_enrichments import JsonObject
from tests.support.fakes.agent import FakeAgent
from tests.support.fakes.play import Talk

NOT_LATEST = "The conversation is finished, or it is not the latest interaction."


class FakeEnrichments:
    """The port. `journal` has every call and when it was, `voice` the ids of messages that are voice.

    `fail` makes the next calls of an operation raise, `break_down` all of them. `takes_s` is how long each takes.
    """

    def __init__(self, agent: FakeAgent) -> None:
        self.journal: list[tuple[str, float]] = []
        self.contexts: list[str | None] = []
        self.voice: set[str] = set()
        self.shows_messages = True
        self.takes_s: defaultdict[str, float] = defaultdict(float)
        self._agent = agent
        self._failures: defaultdict[str, deque[Exception]] = defaultdict(deque)
        self._broken: dict[str, Exception] = {}
        self._numbers = count(1)

    def fail(self, operation: str, *errors: Exception) -> None:
        self._failures[operation].extend(errors)

    def break_down(self, operation: str, error: Exception) -> None:
        self._broken[operation] = error

    def calls(self, operation: str) -> list[float]:
        """When an operation was called: event loop time."""
        return [at_s for name, at_s in self.journal if name == operation]

    async def insights(self, user_id: str, conversation_id: str, interaction_id: str) -> JsonObject:
        await self._called("insights")
        self._talk("insights", user_id, conversation_id, interaction_id)
        return {"current_state_name": "inform", "number": next(self._numbers)}

    async def recommended_responses(
        self, user_id: str, conversation_id: str, interaction_id: str, context: str | None
    ) -> JsonObject:
        await self._called("recommended_responses")
        self.contexts.append(context)
        talk = self._talk("recommend-responses", user_id, conversation_id, interaction_id)
        if talk.finished or talk.running or talk.messages[-1].interaction_id != interaction_id:
            raise Refused("recommend-responses", 400, NOT_LATEST)
        return {"recommended_responses": [f"Yes {next(self._numbers)}", "No"]}

    async def interaction_messages(
        self, user_id: str, conversation_id: str, interaction_id: str
    ) -> Sequence[JsonObject]:
        await self._called("interaction_messages")
        talk = self._talk("messages", user_id, conversation_id, interaction_id)
        return [
            {
                "id": message.id,
                "interaction_id": interaction_id,
                "message": message.text,
                "format": "voice" if message.id in self.voice else "text",
            }
            for message in talk.messages
            if message.interaction_id == interaction_id and self.shows_messages
        ]

    async def message_source(self, user_id: str, conversation_id: str, message_id: str) -> JsonObject:
        await self._called("message_source")
        if message_id not in self.voice:
            raise Refused("message-source", 400, "It is a text message.")
        return {"url": f"https://audio.example.com/{message_id}?{next(self._numbers)}"}

    async def _called(self, operation: str) -> None:
        self.journal.append((operation, asyncio.get_running_loop().time()))
        await asyncio.sleep(self.takes_s[operation])
        failure = self._failures[operation].popleft() if self._failures[operation] else self._broken.get(operation)
        if failure is not None:
            raise failure

    def _talk(self, operation: str, user_id: str, conversation_id: str, interaction_id: str) -> Talk:
        for talk in self._agent.talks:
            ids = {message.interaction_id for message in talk.messages}
            if (talk.id, talk.user_id) == (conversation_id, user_id) and interaction_id in ids and not talk.gone:
                return talk
        raise Refused(operation, 404, "Specified conversation or interaction is not found.")
