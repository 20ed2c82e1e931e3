"""The whole client against a sandbox: one user, a conversation that has been answered, and each operation once."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from bridge.core.delivery.retry import RetryPolicy
from bridge.core.event.user import NewUser
from bridge.edges.amigo.authorized import ONE_ATTEMPT, SignedClient
from bridge.edges.amigo.calls import Slice, create_user_call, services_call, users_call
from bridge.edges.amigo.client import HttpClient
from bridge.edges.amigo.conversations import ConversationsApi
from bridge.edges.amigo.destinations import DestinationsApi
from bridge.sandbox.state.state import State
from tests.support.amigo import SERVICE, credentials
from tests.support.observed_sandbox import observed_sandbox
from tests.support.stream_events import StreamEvent, lines, read_event

USER = "user-1"
MAX_LINE = 4 * 1024 * 1024
PROCESSED = "conversation-post-processing-complete"
ADA = NewUser("Ada", "Lovelace", "ada@example.com", "DefaultUserRole")
HOOK = "https://hooks.example.com/amigo"


@dataclass
class Bench:
    """The client's three faces, and the sandbox's inside."""

    state: State
    signed: SignedClient
    conversations: ConversationsApi
    destinations: DestinationsApi
    base_url: str
    conversation_id: str = ""
    interaction_id: str = ""
    message_id: str = ""
    destination_id: str = ""

    async def talk(self) -> None:
        """A conversation with one spoken answer, and a webhook destination."""
        events = await said(self.conversations.create(USER, SERVICE, response_format="voice"))
        (self.conversation_id,) = (event.conversation_id for event in events if event.type == "conversation-created")
        ending = events[-1]
        self.interaction_id, self.message_id = ending.interaction_id, ending.message_id
        made = await self.destinations.create(USER, HOOK, [PROCESSED])
        self.destination_id = made.webhook_destination_id

    def fault(self, kind: str, operation: str, count: int | None = None, **settings: Any) -> None:
        self.state.faults.clear()
        self.state.faults.add({"match": {"operation": operation}, "kind": kind, "count": count, **settings})

    def asked(self, operation: str) -> int:
        """How many requests of this operation the sandbox has seen."""
        return len(self.state.journal.entries(operation, None, 0))


@asynccontextmanager
async def bench(policy: RetryPolicy = ONE_ATTEMPT, *, idle_s: float = 5.0, **options: Any) -> AsyncIterator[Bench]:
    """A sandbox and a client of it, without pauses."""
    changes = options.pop("credentials", {})
    async with observed_sandbox(**options) as sandbox:
        who = credentials(sandbox.base_url, **changes)
        async with HttpClient(who, idle_s) as client:
            signed = SignedClient(client, who, policy, lambda: 0.0)
            faces = ConversationsApi(signed), DestinationsApi(signed)
            yield Bench(sandbox.state, signed, *faces, sandbox.base_url)


async def said(stream: Any) -> list[Any]:
    """All events of a stream."""
    events: list[StreamEvent] = []
    async with stream as chunks:
        async for line in lines(chunks, MAX_LINE):
            events.append(read_event(line))
    return events


async def all_of(rows: AsyncIterator[Any]) -> list[Any]:
    return [row async for row in rows]


@dataclass(frozen=True)
class Operation:
    """`name` is the client's, `id` the API's; `statuses` are those of docs/api-contract.md, Appendix A and 1."""

    name: str
    id: str
    statuses: tuple[int, ...]
    ask: Callable[[Bench], Awaitable[Any]]


USUAL = (401, 403, 422, 429, 503)
FOUND = (404, *USUAL)


def services(b: Bench, page_size: int = 20, **filters: Any) -> Awaitable[Any]:
    """All services that fit, as the command `services` asks for them."""
    call = services_call(USER, **filters, rows=Slice(sort_by=("+name",)))
    return all_of(b.signed.rows(call, "services", page_size))


OPERATIONS = (
    Operation("sign-in", "sign-in-with-api-key", (401, 404, 422, 429, 503), lambda b: b.signed.tokens.of("somebody")),
    Operation(
        "create-conversation",
        "create-conversation",
        (400, 409, *FOUND),
        lambda b: said(b.conversations.create("user-2", SERVICE, message="Invoice 7", kind="external-event")),
    ),
    Operation(
        "interact",
        "interact-with-conversation",
        (400, 408, 409, 415, *FOUND),
        lambda b: said(b.conversations.interact(USER, b.conversation_id, message="And now?")),
    ),
    Operation("list", "get-conversations", USUAL, lambda b: all_of(b.conversations.list(USER))),
    Operation(
        "messages",
        "get-conversation-messages",
        FOUND,
        lambda b: all_of(b.conversations.messages(USER, b.conversation_id)),
    ),
    Operation(
        "message-source",
        "retrieve-message-source",
        (400, *FOUND),
        lambda b: b.conversations.message_source(USER, b.conversation_id, b.message_id),
    ),
    Operation(
        "tags",
        "modify-tags-of-conversation",
        (400, *FOUND),
        lambda b: b.conversations.modify_tags(USER, b.conversation_id, {"channel": "sms"}),
    ),
    Operation(
        "recommend-responses",
        "recommend-responses-for-interaction",
        (400, *FOUND),
        lambda b: b.conversations.recommended_responses(USER, b.conversation_id, b.interaction_id),
    ),
    Operation(
        "insights",
        "get-interaction-insights",
        FOUND,
        lambda b: b.conversations.insights(USER, b.conversation_id, b.interaction_id),
    ),
    Operation("services", "get-services", FOUND, services),
    Operation("users", "get-users", FOUND, lambda b: b.signed.send(users_call(USER, emails=["ada@example.com"]))),
    Operation(
        "create-user", "create-invited-user", (409, *FOUND), lambda b: b.signed.send(create_user_call(USER, ADA))
    ),
    Operation(
        "create-webhook-destination",
        "create-webhook-destination",
        (400, 409, *FOUND),
        lambda b: b.destinations.create(USER, HOOK, [PROCESSED]),
    ),
    Operation("webhook-destinations", "get_webhook_destinations", FOUND, lambda b: b.destinations.list(USER)),
    Operation(
        "update-webhook-destination",
        "update-webhook-destination",
        (409, *FOUND),
        lambda b: b.destinations.update(USER, b.destination_id, retry_attempts=2),
    ),
    Operation(
        "rotate-webhook-secret",
        "rotate-webhook-destination-secret",
        (400, 409, *FOUND),
        lambda b: b.destinations.rotate_secret(USER, b.destination_id),
    ),
    Operation(
        "webhook-deliveries",
        "get-webhook-deliveries",
        FOUND,
        lambda b: all_of(b.destinations.deliveries(USER, b.destination_id)),
    ),
    Operation(
        "delete-webhook-destination",
        "delete-webhook-destination",
        (409, *FOUND),
        lambda b: b.destinations.delete(USER, b.destination_id),
    ),
    Operation(
        "finish", "finish-conversation", (400, 409, *FOUND), lambda b: b.conversations.finish(USER, b.conversation_id)
    ),
)
