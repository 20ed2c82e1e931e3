"""What the flow needs of the world. Edges keep these promises; `tests/promises` holds fake and real to them alike."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from bridge.core.answer.history import ConversationRow, Message
from bridge.core.answer.outbound_message import OutboundMessage
from bridge.core.broker.publish_refusal import PublishRefusal
from bridge.core.broker.republished_copy import Copy
from bridge.core.delivery.ledger_entry import Claim, Entry
from bridge.core.delivery.progress import Record
from bridge.core.delivery.reconcile import Finish
from bridge.core.event.event import Event
from bridge.core.event.inbound_message import Incoming
from bridge.core.event.route import Rendered, Route, RoutedEvent
from bridge.core.webhook.problem import Answer, Refusal
from bridge.core.webhook.signature import Request, Source

Clock = Callable[[], float]
Dice = Callable[[], float]


class Delivery(Protocol):
    """One delivery of an inbound message. The right to ack dies with the connection that brought it."""

    @property
    def incoming(self) -> Incoming: ...

    @property
    def alive(self) -> bool:
        """False once the connection is gone: the broker will deliver the message again."""

    def ack(self) -> bool:
        """Acknowledge. False where the right to do so is gone. Called once at most."""


class Receipt(Protocol):
    """Told what became of each message handed to a publisher: `confirmed` or `refused`, once, in the loop's thread."""

    def confirmed(self, messages: Sequence[OutboundMessage]) -> None:
        """The broker has them, in every queue that wants them."""

    def refused(self, message: OutboundMessage, refusal: PublishRefusal) -> None:
        """The broker does not take it. Some queues may have it all the same."""

    def lost(self, message: OutboundMessage) -> None:
        """The connection went before the confirm: outcome unknown. The publisher sends it again by itself."""


class Publisher(Protocol):
    """Takes outbound messages and sees each one to its confirm, in order for each outbound, across reconnects."""

    def publish(self, messages: Sequence[OutboundMessage], receipt: Receipt, *, alone: bool = False) -> None:
        """Hand over without waiting. Nothing is forgotten: without a connection messages wait for the next one.

        `alone`: they may close the channel again; nobody else's may wait for them, and their order is given up.
        """

    def forget(self, receipt: Receipt) -> None:
        """Publish no more of what waits for the next connection with this receipt, which is told nothing of it."""

    @property
    def full(self) -> bool:
        """Whether too much is unconfirmed: streams are not to be published from until there is room."""

    async def room(self) -> None:
        """Return as soon as it is not full."""


class Copier(Protocol):
    """Publishes dead letters and delayed copies."""

    async def copy(self, copy: Copy, *, alone: bool = False) -> None:
        """Return when the broker has confirmed the copy. Waits through reconnects; raises CopyRefused otherwise.

        `alone`: as with a Publisher.
        """


class CopyRefused(Exception):
    """The broker refused a copy, or there is no queue for it: somebody must look at the topology."""

    def __init__(self, refusal: PublishRefusal) -> None:
        super().__init__(refusal.error)
        self.refusal = refusal


class Entrance(Protocol):
    """Publishes for somebody who waits: taken and confirmed, or refused, and that soon."""

    async def enqueue(self, message: OutboundMessage) -> None:
        """Return when the broker has confirmed the message. Raises NotTaken where it does not within a few seconds.

        Without a connection, or while the broker blocks, that is at once. What was sent already may arrive even so.
        """


class NotTaken(Exception):
    """The broker has not confirmed a message. `unrouted`: no queue would get it, until somebody changes something."""

    def __init__(self, error: str, *, unrouted: bool = False) -> None:
        super().__init__(error)
        self.unrouted = unrouted


class Keyring(Protocol):
    """The active secrets of the webhooks."""

    def keys(self, source: str) -> Sequence[bytes]:
        """Those of a source, as its scheme takes them."""


class Reception(Protocol):
    """Takes webhooks as they come in from the web. Errors are Refusals."""

    def admit(self, name: str, method: str, request: Request) -> Source:
        """The source of this name, asked before the body is read."""

    async def take(self, source: Source, request: Request) -> Answer:
        """What the sender is answered, once it is safe to say so."""

    def refused(self, name: str, refusal: Refusal, client: str) -> None:
        """To be counted and logged; `client` is the sender's address."""


class Ledger(Protocol):
    """Remembers events across processes. Every method raises LedgerUnavailable, and returns when it is durable.

    An event that is claimed belongs to this process until `release`, or for as long as it lives and renews its lease.
    """

    @property
    def trouble(self) -> str | None:
        """Why it is unavailable; None when it is well. It logs both by itself, once."""

    @property
    def shared(self) -> bool:
        """Whether other processes may use it at the same time."""

    async def available(self) -> None:
        """Return as soon as there is no trouble."""

    async def away(self) -> None:
        """Return as soon as there is trouble."""

    async def claim(
        self, event_id: str, digest: bytes, *, durable: bool = False, record: Record | None = None
    ) -> Claim:
        """Take the event, unless another process has it. Of two that claim at once, one gets it.

        A claim of what is in the hands of a process that has died counts as a death of the event. With `record`, an
        event that nobody knew is at once remembered as requested under it. Without that and without `durable`, a new
        event's claim may be forgotten when this process dies.
        """

    def gathering(self) -> Awaitable[None] | None:
        """While calls are gathered: done in time for one more, before all are carried out. None otherwise."""

    async def write(self, entry: Entry) -> None:
        """Remember this of an event that is claimed. Writes of one event are carried out in order."""

    def write_soon(self, entry: Entry) -> None:
        """The same, without waiting and without an error: it is not missed where process or ledger die first."""

    def complete_soon(self, answered: Entry) -> None:
        """As `write_soon` of this entry, which was written as answered, in the state complete."""

    async def release(self, event_ids: Collection[str]) -> None:
        """Let go of events, so that any process may claim them at once."""

    async def find(self, event_id: str) -> Entry | None:
        """What is known, without claiming it; of its deaths, as many as a claim would find."""

    async def begun(self) -> int:
        """This process begins to consume. Gives how many before it, in a row, died before they could say `lives_on`."""

    async def lives_on(self) -> None:
        """This process has outlived the danger of the beginning."""


class LedgerUnavailable(Exception):
    """The ledger is locked, full, broken or gone. What it would have said must be asked of the API."""


class LeaseLost(LedgerUnavailable):
    """What was to be written is of an event that another process has taken over. That one sees to it from now on."""


class EntryUnreadable(LedgerUnavailable):
    """What the ledger has of one event makes no sense: that event is known, and nothing of what became of it."""


class Inbox(Protocol):
    """The consumer as the flow sees it: it can be held back."""

    def pause(self, reason: str) -> None:
        """Stop taking new events until every reason has been resumed. Cancels the consumer, requeues nothing."""

    def resume(self, reason: str) -> None:
        """Take new events again, if no other reason stands."""


class Routes(Protocol):
    """The configured routes, with their templates."""

    def match(self, event: Event, incoming: Incoming) -> Route | None:
        """The first route whose `when` holds for the event. Raises NoRoute, with why, where all of them failed."""

    def render(self, route: Route, event: Event, incoming: Incoming) -> Rendered:
        """The route's templates filled in. Raises InvalidEvent where one cannot be."""


class Stream(Protocol):
    """The chunks of an answer as they come, until the server's clean end. Raises what `core.failure` names."""

    def __aiter__(self) -> "Stream": ...

    async def __anext__(self) -> bytes: ...

    def hold(self) -> None:
        """Leave what comes to the operating system until the next chunk is asked for."""

    async def gathered(self, until: Awaitable[object]) -> bytes:
        """Leave what comes to the operating system until then; gives what has come, maybe nothing, maybe not all."""


class Agent(Protocol):
    """The Amigo API. Every call runs as one user. Errors are those of `core.failure`."""

    def create(self, event: RoutedEvent) -> AbstractAsyncContextManager[Stream]:
        """Start a conversation. Entering sends the request; the stream gives chunks until the server's clean end."""

    def interact(self, event: RoutedEvent, conversation_id: str) -> AbstractAsyncContextManager[Stream]:
        """Deliver the event into an open conversation; otherwise as `create`."""

    async def finish(self, user_id: str, conversation_id: str) -> Finish:
        """Finish a conversation: RUNNING for 409, DONE where it is finished or gone now."""

    async def conversations(
        self, user_id: str, service_id: str | None = None, *, conversation_id: str | None = None
    ) -> Sequence[ConversationRow]:
        """All conversations of the user with the service, or the one with that id; newest first."""

    async def messages(self, user_id: str, conversation_id: str) -> Sequence[Message]:
        """All messages of a conversation, oldest first; none where it does not exist."""

    async def modify_tags(self, user_id: str, conversation_id: str, updates: dict[str, str]) -> None:
        """Write tags of a conversation."""

    async def probe(self, *, credentials: bool) -> None:
        """Return where the API is reachable and, if asked, takes the bridge's credentials; else raise as any call."""


class Log(Protocol):
    """A structured logger: an event name (`noun.past`) and fields."""

    def debug(self, event: str, **fields: Any) -> Any: ...
    def info(self, event: str, **fields: Any) -> Any: ...
    def warning(self, event: str, **fields: Any) -> Any: ...
    def error(self, event: str, **fields: Any) -> Any: ...
    def critical(self, event: str, **fields: Any) -> Any: ...
