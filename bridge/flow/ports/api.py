"""The Amigo API as the flow sees it, and the routes whose templates make its requests."""

from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from bridge.core.answer.history import ConversationRow, Message
from bridge.core.delivery.reconcile import Finish
from bridge.core.event.event import Event
from bridge.core.event.inbound_message import InboundMessage
from bridge.core.event.route import Rendered, Route, RoutedEvent
from bridge.core.event.user import NewUser, UserByEmail
from bridge.core.ledger.owed_enrichments import JsonObject

MESSAGES_A_PAGE, MAX_MESSAGES_A_PAGE = 50, 500


class Routes(Protocol):
    """The configured routes, with their templates."""

    def match(self, event: Event, incoming: InboundMessage) -> Route | None:
        """The first route whose `when` holds for the event. Raises NoRoute, with why, where all of them failed."""

    def render(self, route: Route, event: Event, incoming: InboundMessage) -> Rendered:
        """The route's templates filled in. Raises InvalidEvent where one cannot be."""


class Stream(Protocol):
    """The chunks of an answer as they come, until the server's clean end. Raises what `core.errors` names."""

    def __aiter__(self) -> "Stream": ...

    async def __anext__(self) -> bytes: ...

    async def gathered(self, until: Awaitable[object]) -> bytes:
        """Leave what comes to the operating system until then; gives what has come, maybe nothing, maybe not all."""


class Agent(Protocol):
    """The Amigo API. Every call runs as one user. Errors are those of `core.errors`."""

    def create(self, event: RoutedEvent) -> AbstractAsyncContextManager[Stream]:
        """Start a conversation. Entering sends the request; the stream gives chunks until the server's clean end."""

    def interact(self, event: RoutedEvent, conversation_id: str) -> AbstractAsyncContextManager[Stream]:
        """Deliver the event into an open conversation; otherwise as `create`."""

    async def finish(self, user_id: str, conversation_id: str) -> Finish:
        """Finish a conversation: RUNNING for 409, DONE for 204, GONE for 400 and 404."""

    def conversations(
        self,
        user_id: str,
        service_id: str | None = None,
        *,
        conversation_id: str | None = None,
        event_tag: str | None = None,
        unfinished: bool = False,
    ) -> AsyncIterator[ConversationRow]:
        """The conversations of the user, with the service, or the one with that id; newest first.

        A page is asked for when its first row is. With `event_tag` or `unfinished` the API is asked for those alone;
        whether it has listened, each row tells.
        """

    def messages(
        self, user_id: str, conversation_id: str, *, newest_first: bool = False, page: int = MESSAGES_A_PAGE
    ) -> AsyncIterator[Message]:
        """The messages of a conversation, the oldest first or the newest; none where it does not exist.

        A page is asked for when its first row is.
        """

    async def newest(self, user_id: str, conversation_id: str) -> Message | None:
        """The newest message of a conversation; None where none is shown."""

    async def time_s(self, user_id: str) -> float | None:
        """The time at the API (Unix seconds), never ahead of it; None where it does not tell."""

    async def silent_s(self, user_id: str, conversation_id: str) -> float | None:
        """Seconds since the newest message of a conversation, by the API's own clock; None where none is shown."""

    async def modify_tags(
        self, user_id: str, conversation_id: str, updates: Mapping[str, str], deletes: Sequence[str] = ()
    ) -> None:
        """Write and delete tags of a conversation; others stay."""

    async def probe(self, *, credentials: bool) -> None:
        """Return where the API is reachable and, if asked, takes the bridge's credentials; else raise as any call."""


class EnrichmentSource(Protocol):
    """The API's objects beside an answer, as it gives them. Errors are those of `core.errors`."""

    async def insights(self, user_id: str, conversation_id: str, interaction_id: str) -> JsonObject:
        """The agent's reasoning in an interaction."""

    async def recommended_responses(
        self, user_id: str, conversation_id: str, interaction_id: str, context: str | None
    ) -> JsonObject:
        """Answers that the user might give to the latest interaction of an unfinished conversation."""

    async def interaction_messages(
        self, user_id: str, conversation_id: str, interaction_id: str
    ) -> Sequence[JsonObject]:
        """The messages of an interaction, oldest first; none where none is shown."""

    async def message_source(self, user_id: str, conversation_id: str, message_id: str) -> JsonObject:
        """The address of the sound of a voice message."""


class UserAccounts(Protocol):
    """The users of the organization, in the name of the bridge's own. Errors are those of `core.errors`."""

    async def ids_of(self, user: UserByEmail) -> Sequence[str]:
        """The ids of all users with the e-mail, upper and lower case alike."""

    async def create(self, new: NewUser) -> str:
        """Create a user; gives the id. Refused with 409 where there is one, or where something is under way."""
