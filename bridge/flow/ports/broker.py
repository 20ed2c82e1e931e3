"""RabbitMQ as the flow sees it: deliveries, messages out and what became of them, copies, a consumer to hold back."""

from collections.abc import Callable, Sequence
from typing import Protocol

from bridge.core.answer.outbound_message import OutboundMessage
from bridge.core.broker.publish_refusal import PublishRefusal
from bridge.core.broker.republished_copy import RepublishedCopy
from bridge.core.errors import BridgeError
from bridge.core.event.inbound_message import InboundMessage


class Delivery(Protocol):
    """One delivery of an inbound message. The right to ack dies with the connection that brought it."""

    @property
    def incoming(self) -> InboundMessage: ...

    @property
    def alive(self) -> bool:
        """False once the connection is gone: the broker will deliver the message again."""

    def ack(self) -> bool:
        """Acknowledge. False where the right to do so is gone. Called once at most."""


class Backlog(Protocol):
    """The inbound queues' messages that are in nobody's hands."""

    async def short(self) -> bool:
        """True where every inbound is consumed, and has fewer of them than its prefetch. Raises nothing."""


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
        """True while too much is unconfirmed: streams are not to be published from until there is room."""

    async def room(self) -> None:
        """Return as soon as it is not full."""


class Republisher(Protocol):
    """Publishes dead letters and delayed copies."""

    async def copy(self, copy: RepublishedCopy, *, alone: bool = False) -> None:
        """Return when the broker has confirmed the copy. Waits through reconnects; raises RepublishRefused otherwise.

        `alone`: as with a Publisher.
        """


class RepublishRefused(BridgeError):
    """The broker refused a copy, or there is no queue for it: somebody must look at the topology."""

    def __init__(self, refusal: PublishRefusal) -> None:
        super().__init__(refusal.error)
        self.refusal = refusal


class Inbox(Protocol):
    """The consumer as the flow sees it: it can be held back."""

    def pause(self, reason: str) -> None:
        """Stop taking new events until every reason has been resumed. Cancels the consumer, requeues nothing."""

    def resume(self, reason: str) -> None:
        """Take new events again, if no other reason stands."""

    def pause_queues(self, queues: frozenset[str]) -> None:
        """Consume none of these inbound queues, since a person wants it so, and all others as before."""

    def isolate(self, settlements: int) -> None:
        """Take one event at a time, from the next start of a consumer on, until so many have been settled."""

    async def begun(self) -> None:
        """Return once something has been consumed from."""


class HeldQueues(Protocol):
    """The queues in which pauses keep events back, one for each inbound."""

    async def pass_on(self, queue: str, receive: Callable[[Delivery], None]) -> int:
        """Pass on to the inbound `queue`, in order, as many messages as its held queue has now; gives how many.

        What the broker can never take there is given to `receive`, as deliveries of `queue`.
        Raises HeldQueueUnavailable; what has not been passed on by then is there still.
        """

    async def take(self, queue: str, receive: Callable[[Delivery], None]) -> bool:
        """Take one message, the first, in hand from the held queue of the inbound `queue`; False where there is none.

        It is given to `receive`, as a delivery of `queue`. Raises HeldQueueUnavailable.
        """


class HeldQueueUnavailable(BridgeError):
    """A held queue cannot be passed on just now."""


class ConnectionLives(Protocol):
    """Told of the lives of connections that consume."""

    async def begin(self) -> None:
        """About to consume."""

    async def outlive(self) -> None:
        """Called beside the consuming; cancelled at its end."""

    def ended(self, lived_s: float) -> None:
        """The connection is over, so many seconds after `begin`."""
