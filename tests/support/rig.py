"""The bridge's broker side as the composition root wires it, without the flow: deliveries and receipts are kept."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bridge.core.answer.outbound_message import Address, CommonHeaders, Outbound, OutboundMessage, RoutingKey, key_at
from bridge.core.broker.publish_refusal import PublishRefusal
from bridge.core.broker.topology import Inbound, topology
from bridge.core.delivery.poison import QUICK_S
from bridge.edges.rabbitmq.addresses import Addresses
from bridge.edges.rabbitmq.connection import USUAL_CONNECT_LIMITS, ConnectLimits
from bridge.edges.rabbitmq.consuming.consumer import BrokerDelivery, Consumer
from bridge.edges.rabbitmq.consuming.inbox import ConsumerInbox
from bridge.edges.rabbitmq.held_queue import BrokerHeldQueues
from bridge.edges.rabbitmq.publishing.batching import BatchingPublisher
from bridge.edges.rabbitmq.publishing.confirmed_publisher import CONFIRM_S, BrokerConfirmedPublisher
from bridge.edges.rabbitmq.publishing.publishers import Publishers
from bridge.edges.rabbitmq.publishing.republisher import BrokerRepublisher
from bridge.edges.rabbitmq.supervisor import MAX_PERMANENT_S, BrokerConfig, Supervisor
from bridge.edges.rabbitmq.watchdog import USUAL_LIMITS, WatchLimits
from bridge.flow.guards.quick_deaths import QuickDeaths
from bridge.flow.ports.broker import Delivery
from tests.support.broker import Broker
from tests.support.fakes import FakeLedger
from tests.support.logbook import Logbook
from tests.support.plain_publisher import PlainPublisher
from tests.support.rabbit import AGENT, DEAD, DELAY, EVENTS, Rabbit
from tests.support.waiting import until

# Every implementation of the publisher port; the tests run once for each.
PUBLISHERS: dict[str, Callable[[tuple[Outbound, ...]], Any]] = {
    "plain": PlainPublisher,
    "batching": BatchingPublisher,
}


def inbound(queue: str = EVENTS, **changes: Any) -> Inbound:
    fields: dict[str, Any] = {"exchange": EVENTS, "queue": queue, "bindings": ("#",), "prefetch": 50}
    return Inbound(**{**fields, "max_bytes": 1_048_576, **changes})


def is_acked(delivery: Delivery) -> bool:
    assert isinstance(delivery, BrokerDelivery)
    return delivery.acked


def outbound(exchange: str = AGENT, **changes: Any) -> Outbound:
    return Outbound(exchange, RoutingKey("{type}"), **changes)


def outgoing(message_id: str, body: bytes = b"{}", **changes: Any) -> OutboundMessage:
    """An outbound message that somebody must get."""
    fields: dict[str, Any] = {
        "outbound": 0,
        "exchange": AGENT,
        "routing_key": "text.sms.new-message",
        "type": "new-message",
        "correlation_id": "event-1",
        "timestamp_s": 1_700_000_000,
        "headers": {"event_id": "event-1", "sequence": 1, "recovered": True},
        "mandatory": True,
    }
    fields |= changes
    headers = fields.pop("headers")
    own = {name: headers[name] for name in headers if name in ("stream", "sequence", "recovered")}
    shared = {name: value for name, value in headers.items() if name not in own}
    common_headers = CommonHeaders(fields.pop("correlation_id"), shared)
    timestamp_s = fields.pop("timestamp_s")
    return OutboundMessage(Address(**fields), body, message_id, timestamp_s, common_headers, own)


@dataclass
class Receipts:
    """What became of each message, in the order in which it was told."""

    confirmations: list[str] = field(default_factory=list)
    refusals: list[tuple[str, PublishRefusal]] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)
    told: list[OutboundMessage] = field(default_factory=list)

    def confirmed(self, messages: Sequence[OutboundMessage]) -> None:
        self.confirmations += [message.message_id for message in messages]
        self.told += messages

    def refused(self, message: OutboundMessage, refusal: PublishRefusal) -> None:
        self.refusals.append((message.message_id, refusal))
        self.told.append(message)

    def lost(self, message: OutboundMessage) -> None:
        self.losses.append(message.message_id)

    async def all_told(self, number: int, bound_s: float = 30.0) -> None:
        await until(lambda: len(self.told) >= number, f"{number} fates are told", bound_s)
        assert len(self.told) == number


class Rig:
    """Session, consumer, publisher and republisher in one vhost; `rabbit` is the broker as others see it.

    Without `lean` the delay queues belong to the topology too; they take most of the time of a declaration.
    """

    def __init__(
        self,
        broker: Broker,
        *,
        vhost: str,
        log: Logbook,
        urls: Sequence[str] = (),
        inbounds: Sequence[Inbound] = (inbound(),),
        outbounds: Sequence[Outbound] = (outbound(),),
        may_declare: bool = True,
        publisher: str | Callable[[tuple[Outbound, ...]], Any] = "batching",
        dice: Callable[[], float] = lambda: 0.0,
        lean: bool = True,
        watch: WatchLimits = USUAL_LIMITS,
        connect: ConnectLimits = USUAL_CONNECT_LIMITS,
        max_permanent_s: float = MAX_PERMANENT_S,
        confirm_s: float = CONFIRM_S,
        receive: Callable[[Delivery], None] | None = None,
        quick_s: float = QUICK_S,
        addresses: Addresses | None = None,
    ) -> None:
        self.vhost = vhost
        self.rabbit = Rabbit(broker, vhost)
        self.log = log
        self.deliveries: list[Delivery] = []
        self.inbox = ConsumerInbox()
        self.consumer = Consumer(tuple(inbounds), self.inbox, receive or self.deliveries.append, log)
        make = PUBLISHERS[publisher] if isinstance(publisher, str) else publisher
        self.publisher = make(tuple(outbounds))
        self.republisher = BrokerRepublisher()
        self.confirmed_publisher = BrokerConfirmedPublisher(lambda: self.publisher.blocked, confirm_s)
        self.held_queues = BrokerHeldQueues(self.republisher, DELAY, log)
        exchanges = tuple(outbound.exchange for outbound in outbounds)
        keys = {outbound.exchange: key for outbound in outbounds if (key := key_at(outbound)) is not None}
        names = {"dead_exchange": DEAD, "dead": DEAD, "delay_exchange": DELAY}
        whole = topology(tuple(inbounds), exchanges, **names, keys=keys)
        self.ledger = FakeLedger()
        self.supervisor = Supervisor(
            BrokerConfig(
                tuple(urls) or (self.rabbit.url,),
                replace(whole, queues=tuple(queue for queue in whole.queues if not lean or not queue.as_found)),
                may_declare,
                watch,
                connect,
                max_permanent_s,
            ),
            self.consumer,
            Publishers(self.publisher, self.republisher, self.confirmed_publisher, (self.held_queues,)),
            QuickDeaths(self.ledger, self.inbox, log, quick_s),
            dice,
            log,
            addresses,
        )
        self._running: asyncio.Task[None] | None = None

    @property
    def generation(self) -> int:
        return self.supervisor.generations

    @property
    def bodies(self) -> list[bytes]:
        return [delivery.incoming.body for delivery in self.deliveries]

    def run(self) -> None:
        self._running = asyncio.create_task(self.supervisor.run())

    async def start(self) -> "Rig":
        self.run()
        await self.connected()
        return self

    async def connected(self, generation: int = 1, bound_s: float = 30.0) -> None:
        """There is a generation, that one at least, and it consumes."""

        def is_so() -> bool:
            if self._running is not None and self._running.done():
                self._running.result()
            return self.generation >= generation and self.supervisor.trouble is None and self.consumer.consuming

        try:
            await until(is_so, f"generation {generation}", bound_s)
        except AssertionError as error:
            raise AssertionError(f"{error}; the session says: {self.supervisor.trouble}") from None

    async def delivered(self, number: int, bound_s: float = 20.0) -> list[Delivery]:
        await until(lambda: len(self.deliveries) >= number, f"{number} deliveries", bound_s)
        return self.deliveries

    async def stop(self, bound_s: float = 20.0) -> None:
        """Cancel the session, which must end in time; whatever it raised is raised here."""
        if self._running is None:
            return
        running, self._running = self._running, None
        running.cancel()
        await until(running.done, "the session has ended after it was cancelled", bound_s)
        if not running.cancelled():
            running.result()
