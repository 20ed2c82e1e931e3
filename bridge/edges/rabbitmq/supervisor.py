"""The supervisor of the connection to RabbitMQ: one generation after the other, for as long as the process lives.

connect twice ▸ topology ▸ publisher, republisher ▸ watch ▸ consumer ▸ ✝ ▸ back-off with jitter ▸ the next one
"""

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import count

import aio_pika
from yarl import URL

from bridge.core.broker.reconnect_limits import limit_factor
from bridge.core.broker.topology import Topology
from bridge.edges.rabbitmq import lenient_decoding
from bridge.edges.rabbitmq.addresses import Addresses
from bridge.edges.rabbitmq.connection import USUAL_CONNECT_LIMITS, ConnectLimits, SeverableConnection, connection_to
from bridge.edges.rabbitmq.consuming.consumer import Consumer
from bridge.edges.rabbitmq.destinations import Destinations
from bridge.edges.rabbitmq.generation import BrokerTrouble, Generation
from bridge.edges.rabbitmq.publishing.publishers import Publishers
from bridge.edges.rabbitmq.topology import declare, verify
from bridge.edges.rabbitmq.watchdog import USUAL_LIMITS, Watchdog, WatchLimits
from bridge.flow.ports.broker import ConnectionLives
from bridge.flow.ports.runtime import Dice, Log

HEALTHY_S = 10.0
SHORTEST_S, MAX_S, MAX_PERMANENT_S = 0.2, 10.0, 5.0


@dataclass(frozen=True, slots=True)
class BrokerConfig:
    """The broker's addresses, in their order; the topology; whether it may be declared; and limits.

    `max_permanent_s` is the longest wait before the next try where only an operator can mend what is wrong.
    """

    urls: tuple[str, ...]
    topology: Topology
    may_declare: bool = True
    watch: WatchLimits = USUAL_LIMITS
    connect: ConnectLimits = USUAL_CONNECT_LIMITS
    max_permanent_s: float = MAX_PERMANENT_S


class Supervisor:
    """Keeps a generation alive. `trouble` says why there is none; None while there is one.

    `destinations` is what the broker said last of everything that is published to.
    """

    def __init__(
        self,
        config: BrokerConfig,
        consumer: Consumer,
        publishers: Publishers,
        lives: ConnectionLives,
        dice: Dice,
        log: Log,
        addresses: Addresses | None = None,
    ) -> None:
        self.trouble: str | None = "not connected yet"
        self.generations = 0
        self.destinations = Destinations(config.topology, log, may_declare=config.may_declare)
        self._urls = config.urls
        self._addresses = addresses or Addresses()
        self._topology = config.topology
        self._to_declare = config.may_declare
        self._watch_limits = config.watch
        self._connect_limits = config.connect
        self._max_permanent_s = config.max_permanent_s
        self._limit_factor = 1.0
        self._consumer = consumer
        self._publishers = publishers
        self._lives = lives
        self._dice = dice
        self._log = log

    async def run(self) -> None:
        """Connect, and connect again, until cancelled; then close what is open in good order."""
        lenient_decoding.install()
        loop = asyncio.get_running_loop()
        failures = 0
        for number in count(1):
            url, permanent, started_s = self._urls[(number - 1) % len(self._urls)], False, loop.time()
            generation = Generation(number)
            try:
                self.trouble = await self._live(generation, url)
                permanent = generation.refused
            except BrokerTrouble as trouble:
                self.trouble, permanent = str(trouble), trouble.permanent
            failures = 1 if loop.time() - started_s > HEALTHY_S else failures + 1
            wait_s = self._wait_s(failures, permanent=permanent)
            say = self._log.error if permanent else self._log.warning
            say("broker.lost", error=self.trouble, generation=number, permanent=permanent, again_in_s=round(wait_s, 2))
            await asyncio.sleep(wait_s)

    def _wait_s(self, failures: int, *, permanent: bool) -> float:
        if permanent:
            return self._max_permanent_s * (0.5 + self._dice() / 2)
        return SHORTEST_S + self._dice() * min(MAX_S, SHORTEST_S * 2.0 ** min(failures, 16))

    async def _live(self, generation: Generation, url: str) -> str:
        """One generation, from connecting to its end; returns why it ended."""
        async with AsyncExitStack() as stack:
            stack.callback(generation.end, "closed")
            publishing = await self._connect(stack, generation, url, "publishing")
            consuming = await self._connect(stack, generation, url, "consuming")
            await self._see_to_topology(consuming)
            await self._publishers.attach(stack, publishing, generation)
            stack.callback(self._consumer.detach)
            watch = self._watchdog(generation)
            self.generations += 1
            self.trouble = None
            await self._lives.begin()
            self._log.info("broker.connected", generation=generation.number, host=URL(url).host)
            return await self._until_over(
                generation,
                self._consume(watch, consuming, generation),
                watch.blocked(publishing),
                watch.confirms(),
                watch.publishing(publishing),
                watch.consuming(consuming),
                self._lives.outlive(),
            )

    def _watchdog(self, generation: Generation) -> Watchdog:
        outbound, copies = self._publishers.outbound, self._publishers.copies
        limits = self._watch_limits.times(self._limit_factor)
        return Watchdog(self._consumer, outbound, copies, self.destinations, generation, limits, self._log)

    async def _consume(
        self, watch: Watchdog, consuming: aio_pika.abc.AbstractConnection, generation: Generation
    ) -> None:
        """Consume, but not before the checks have passed that may end the generation at once.

        The broker counts what it has delivered and gets back: a connection that ends again and again must have had
        nothing.
        """
        await watch.looked()
        await self._consumer.run(consuming, generation)

    async def _until_over(self, generation: Generation, *parts: Coroutine[None, None, None]) -> str:
        tasks = [asyncio.create_task(self._part(generation, part)) for part in parts]
        began_s = asyncio.get_running_loop().time()
        try:
            self.trouble = await generation.over()
            lived_s = asyncio.get_running_loop().time() - began_s
            self._lives.ended(lived_s)
            limit_s = max(self._watch_limits.slowest_confirm_s, self._watch_limits.stuck_s)
            before, judged = self._limit_factor, generation.judged
            self._limit_factor = limit_factor(before, judged=judged, lived_s=lived_s, limit_s=limit_s)
            return self.trouble
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for part in parts:
                part.close()  # one whose task was cancelled before it began was never awaited

    async def _part(self, generation: Generation, part: Coroutine[None, None, None]) -> None:
        try:
            await part
        except BrokerTrouble as trouble:
            generation.end(str(trouble), trouble.kind)
        except asyncio.CancelledError:
            generation.end("the connection was lost")
            raise
        except Exception as error:
            self._log.critical("broker.broken", exc_info=True)
            generation.end(f"{type(error).__name__}: {error}")

    async def _connect(
        self, stack: AsyncExitStack, generation: Generation, url: str, what: str
    ) -> aio_pika.abc.AbstractConnection:
        name = f"amigo-bridge {what}"
        connection = await connection_to(url, name, addresses=self._addresses, limits=self._connect_limits)
        generation.watch(connection, f"the {what} connection")
        stack.push_async_callback(self._close, connection)
        return connection

    async def _close(self, connection: SeverableConnection) -> None:
        if not await connection.closed_in_order():
            self._log.info("broker.unclosed", error="the connection was cut: the broker did not answer")

    async def _see_to_topology(self, connection: aio_pika.abc.AbstractConnection) -> None:
        """Declare once in the life of the process, if at all; from then on only verify.

        Without any queue to consume there is nothing to do. What else is missing is told, and does without.
        """
        if self._to_declare:
            as_found = await declare(connection, self._topology)
            self._to_declare = False
            if as_found:
                error = "they have other arguments, as an earlier version declared them, and are used as they are"
                self._log.warning("topology.as_found", queues=as_found, error=error)
            return
        missing, queues = await verify(connection, self._topology)
        if set(self._topology.consumed) <= set(queues):
            raise BrokerTrouble(f"missing at the broker: {', '.join(missing)}", permanent=True)
        self.destinations.queues_missing([name for name in queues if name not in self._topology.consumed])
