"""The broker as a backend team sees it: pika, plain queues, nothing of the bridge's own."""

import asyncio
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pika
import pika.exceptions
from pika.adapters.blocking_connection import BlockingChannel
from pika.adapters.utils.connection_workflow import AMQPConnectorException

from tests.support.broker import Broker

EVENTS = "bridge.events"
AGENT = "agent.events"
DEAD = "bridge.dead"
DELAY = "bridge.delay"
# The queues' arguments as the design fixes them.
EVENTS_ARGUMENTS = {
    "x-queue-type": "quorum",
    "x-delivery-limit": 100,
    "x-dead-letter-exchange": DEAD,
    "x-dead-letter-routing-key": "poison",
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",
}
DEAD_ARGUMENTS = {"x-queue-type": "quorum", "x-delivery-limit": 1000000}
HELD = "bridge.events.held"
CONTROL = "bridge.control"
DELAYS_S = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1200, 1800, 3600)
QUORUM = {"x-queue-type": "quorum"}
AT_LEAST_ONCE = {"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}


@dataclass
class Outgoing:
    """A message that a backend publishes; `properties` may be raw (see wire.py)."""

    body: bytes
    properties: pika.BasicProperties = field(default_factory=pika.BasicProperties)
    routing_key: str = "backend.event"
    exchange: str = EVENTS


@dataclass
class ReceivedMessage:
    """A message that somebody received."""

    routing_key: str
    exchange: str
    body: bytes
    properties: pika.BasicProperties
    at: float = field(default_factory=time.monotonic)

    @property
    def message_id(self) -> str:
        return str(self.properties.message_id)

    @property
    def type(self) -> str:
        return str(self.properties.type)

    @property
    def headers(self) -> dict[str, Any]:
        return dict(self.properties.headers or {})

    def __repr__(self) -> str:
        return f"<{self.routing_key} {self.message_id} {self.body[:60]!r}>"


class Rabbit:
    """Short connections to one vhost; the async methods leave the event loop to the fake API."""

    def __init__(self, broker: Broker, vhost: str) -> None:
        self.broker, self.vhost = broker, vhost
        self.url = broker.url(vhost)

    @contextmanager
    def channel(self) -> Iterator[BlockingChannel]:
        parameters = pika.URLParameters(self.url)
        parameters.socket_timeout = parameters.blocked_connection_timeout = 20
        connection = pika.BlockingConnection(parameters)
        try:
            yield connection.channel()
        finally:
            if connection.is_open:
                connection.close()

    def publish_now(self, messages: Iterable[Outgoing]) -> None:
        with self.channel() as channel:
            channel.confirm_delivery()
            for message in messages:
                channel.basic_publish(
                    message.exchange, message.routing_key, message.body, message.properties, mandatory=True
                )

    async def publish(self, *messages: Outgoing) -> None:
        await asyncio.to_thread(self.publish_now, messages)

    def depth_now(self, queue: str) -> tuple[int, int] | None:
        """Ready messages and consumers, or None where there is no such queue."""
        try:
            with self.channel() as channel:
                ok = channel.queue_declare(queue, passive=True).method
                return ok.message_count, ok.consumer_count
        except pika.exceptions.ChannelClosedByBroker as error:
            if error.reply_code != 404:
                raise
            return None

    async def depth(self, queue: str) -> tuple[int, int] | None:
        return await asyncio.to_thread(self.depth_now, queue)

    async def ready_count(self, queue: str) -> int:
        found = await self.depth(queue)
        assert found is not None, f"there is no queue {queue}"
        return found[0]

    async def counts(self, queue: str) -> tuple[int, int] | None:
        """(ready, unacknowledged), or None where there is no such queue."""
        return await asyncio.to_thread(self.broker.counts, self.vhost, queue)

    async def ready_is(self, queue: str, count: int) -> bool:
        return await self.ready_count(queue) == count

    async def exchange_exists(self, name: str) -> bool:
        def ask() -> bool:
            try:
                with self.channel() as channel:
                    channel.exchange_declare(name, passive=True)
                    return True
            except pika.exceptions.ChannelClosedByBroker:
                return False

        return await asyncio.to_thread(ask)

    def declare_now(self, inbound_arguments: dict[str, Any] | None = None) -> None:
        """The bridge's topology as the design fixes it; the broker refuses a declaration that differs."""
        with self.channel() as channel:
            for exchange in (EVENTS, AGENT, DEAD):
                channel.exchange_declare(exchange, "topic", durable=True)
            channel.queue_declare(EVENTS, durable=True, arguments=inbound_arguments or EVENTS_ARGUMENTS)
            channel.queue_bind(EVENTS, EVENTS, "#")
            channel.exchange_declare(DELAY, "direct", durable=True)
            channel.queue_bind(EVENTS, DELAY, EVENTS)
            channel.queue_declare(DEAD, durable=True, arguments=DEAD_ARGUMENTS)
            channel.queue_bind(DEAD, DEAD, "#")

    def declare_delays_now(self, back_through: str = DELAY) -> None:
        """The delay queues, quorum, TTL, dead-lettered back (those of earlier versions through ""), and the held queue.

        See docs/operations.md, What has to exist at the broker.
        """
        back = {"x-dead-letter-exchange": back_through, "x-dead-letter-routing-key": EVENTS, **AT_LEAST_ONCE}
        with self.channel() as channel:
            for seconds in DELAYS_S:
                name, arguments = f"{EVENTS}.delay.{seconds}", {**QUORUM, **back, "x-message-ttl": seconds * 1000}
                channel.queue_declare(name, durable=True, arguments=arguments)
                if back_through:
                    channel.queue_bind(name, back_through, name)
            channel.queue_declare(HELD, durable=True, arguments={**EVENTS_ARGUMENTS, "x-delivery-limit": 1_000_000})
            channel.queue_bind(HELD, DELAY, HELD)

    async def declare(self, inbound_arguments: dict[str, Any] | None = None) -> None:
        await asyncio.to_thread(self.declare_now, inbound_arguments)

    def take_now(self, queue: str) -> list[ReceivedMessage]:
        """Takes out all that is ready, many at a time: one after the other costs a round trip for each."""
        taken: list[ReceivedMessage] = []
        with self.channel() as channel:
            while ready := channel.queue_declare(queue, passive=True).method.message_count:
                most = min(ready, 1000)
                channel.basic_qos(prefetch_count=most)
                found = channel.consume(queue, inactivity_timeout=20)
                for number, (method, properties, body) in enumerate(found, start=1):
                    assert method is not None, f"{queue} has {ready} messages and delivers none"
                    taken.append(ReceivedMessage(method.routing_key, method.exchange, body, properties))
                    if number == most:
                        break
                channel.cancel()  # before the ack, which would let more come
                channel.basic_ack(method.delivery_tag, multiple=True)
        return taken

    async def take(self, queue: str) -> list[ReceivedMessage]:
        return await asyncio.to_thread(self.take_now, queue)

    async def put(self, queue: str, body: bytes) -> None:
        """Straight into a queue."""
        await self.publish(Outgoing(body, routing_key=queue, exchange=""))

    async def delete_exchange(self, exchange: str) -> None:
        def delete() -> None:
            with self.channel() as channel:
                channel.exchange_delete(exchange)

        await asyncio.to_thread(delete)

    async def make_exchange(self, exchange: str, kind: str = "topic") -> None:
        def make() -> None:
            with self.channel() as channel:
                channel.exchange_declare(exchange, kind, durable=True)

        await asyncio.to_thread(make)

    async def delete_queue(self, queue: str) -> None:
        def delete() -> None:
            with self.channel() as channel:
                channel.queue_delete(queue)

        await asyncio.to_thread(delete)

    def replace_now(self, queue: str, arguments: dict[str, Any]) -> None:
        """Deletes the queue and declares it again in the same breath."""
        with self.channel() as channel:
            channel.queue_delete(queue)
            channel.queue_declare(queue, durable=True, arguments=arguments)
            channel.queue_bind(queue, EVENTS, "#")

    async def make_queue(self, queue: str, arguments: dict[str, Any], *keys: str, exchange: str = AGENT) -> None:
        def make() -> None:
            with self.channel() as channel:
                channel.exchange_declare(exchange, "topic", durable=True)
                channel.queue_declare(queue, durable=True, arguments=arguments)
                for key in keys:
                    channel.queue_bind(queue, exchange, key)

        await asyncio.to_thread(make)


class Subscriber:
    """A subscriber with a durable queue of its own, in a thread; comes back by itself when the broker does."""

    def __init__(self, url: str, queue: str = "subscriber", exchanges: Sequence[str] = (AGENT,)) -> None:
        self._url, self._queue, self._exchanges = url, queue, exchanges
        self.records: list[ReceivedMessage] = []
        self._stopping = threading.Event()
        self._bound = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"subscriber {queue}", daemon=True)

    def start(self) -> None:
        self._thread.start()
        assert self._bound.wait(40), "the subscriber's queue is not bound"

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(20)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._consume()
            except (pika.exceptions.AMQPError, AMQPConnectorException, OSError):
                self._stopping.wait(0.05)

    def _consume(self) -> None:
        parameters = pika.URLParameters(self._url)
        parameters.socket_timeout = parameters.stack_timeout = 15
        connection = pika.BlockingConnection(parameters)
        try:
            channel = connection.channel()
            channel.queue_declare(self._queue, durable=True, arguments=QUORUM)
            for exchange in self._exchanges:
                channel.exchange_declare(exchange, "topic", durable=True)
                channel.queue_bind(self._queue, exchange, "#")
            channel.basic_qos(prefetch_count=200)
            channel.basic_consume(self._queue, self._received)
            self._bound.set()
            while not self._stopping.is_set():
                connection.process_data_events(time_limit=0.05)
        finally:
            if connection.is_open:
                connection.close()

    def _received(self, channel: BlockingChannel, method: Any, properties: pika.BasicProperties, body: bytes) -> None:
        self.records.append(ReceivedMessage(method.routing_key, method.exchange, body, properties))
        channel.basic_ack(method.delivery_tag)
