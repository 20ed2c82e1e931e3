"""The composition root: the only file that knows every room. Read it from top to bottom for the order of the start.

health ▸ API client ▸ broker's parts ▸ flow ▸ tasks          the stop is the reverse, see `Bridge.stop`
"""

import asyncio
import gc
import os
import random
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from bridge import __version__
from bridge.core.answer.history import ConversationRow
from bridge.core.answer.outbound_message import Outbound, RoutingKey, Stamp
from bridge.core.broker.topology import Inbound, topology
from bridge.core.counters import Tally
from bridge.core.delivery.retry import RetryPolicy
from bridge.core.event.route import ChannelSettings, Defaults
from bridge.core.event.tags import fence
from bridge.core.webhook.client_address import networks
from bridge.core.webhook.schemes import key_of
from bridge.edges import crash
from bridge.edges.amigo.agent import AmigoAgent
from bridge.edges.amigo.client import Credentials, HttpClient
from bridge.edges.amigo.signed import ONE_ATTEMPT, SignedClient
from bridge.edges.ledger.opening import open_ledger
from bridge.edges.rabbitmq.batching import BatchingPublisher
from bridge.edges.rabbitmq.consumer import Consumer
from bridge.edges.rabbitmq.copier import BrokerCopier
from bridge.edges.rabbitmq.entrance import BrokerEntrance
from bridge.edges.rabbitmq.session import Session
from bridge.edges.secrets import Keyring, Ring
from bridge.edges.telemetry.metrics import Gauges, Metrics
from bridge.edges.templates import JinjaRoutes
from bridge.edges.web.health import Component, HealthServer
from bridge.edges.web.webhooks import WebhookDoor
from bridge.flow import failpoints
from bridge.flow.api_breaker import Gate
from bridge.flow.broker_absence import BrokerAbsence
from bridge.flow.dispatcher import Dispatcher
from bridge.flow.interaction import Interaction
from bridge.flow.ledger_journal import Book
from bridge.flow.ledger_watch import LedgerWatch
from bridge.flow.outbox import Outbox
from bridge.flow.ports.ledger import Ledger
from bridge.flow.ports.runtime import Log
from bridge.flow.reconciler import Reconciliation
from bridge.flow.relay import Limits, Streaming
from bridge.flow.settler import Settling
from bridge.flow.webhook_ingest import Intake
from bridge.settings import AmqpSettings, Settings

CONFIRMS_S = 5.0
"""How long the stop waits for confirms and acks that are still open."""
LAG_EVERY_S = 0.5
CRASH_AT = "BRIDGE_CRASH_AT"
"""For tests: the label of a step at which to die."""
COLLECTOR = (50_000, 20, 50)


class Bridge:
    """All parts of one process, wired."""

    def __init__(
        self, settings: Settings, client: HttpClient, credentials: Credentials, ledger: Ledger, log: Log
    ) -> None:
        self.tally = Tally()
        self.stopping = False
        self.loop_lag_s = 0.0
        self._log = log
        self._settings = settings
        inbounds, outbounds = inbounds_of(settings.amqp), outbounds_of(settings.amqp)
        retry = settings.retry
        policy = RetryPolicy(retry.attempts, retry.first, retry.longest, retry.publish_for)
        dice = random.random
        stamp = Stamp(outbounds, time.time)

        self.consumer = Consumer(inbounds, log)
        self.publisher = BatchingPublisher(outbounds)
        copier = BrokerCopier()
        entrance = BrokerEntrance(lambda: self.publisher.blocked)
        self.intake = self._intake(entrance, inbounds[0], stamp)
        exchanges = tuple(outbound.exchange for outbound in outbounds)
        dead, delay = settings.amqp.dead_letter, settings.amqp.delay.exchange
        self.session = Session(
            tuple(url.get_secret_value() for url in settings.amqp.url),
            topology(inbounds, exchanges, dead_exchange=dead.exchange, dead=dead.queue, delay_exchange=delay),
            may_declare=settings.amqp.declare,
            consumer=self.consumer,
            publisher=self.publisher,
            copier=copier,
            entrance=entrance,
            ledger=ledger,
            dice=dice,
            log=log,
        )

        agent = AmigoAgent(SignedClient(client, credentials, ONE_ATTEMPT, dice, log=log))
        self.gate = Gate(agent, self.consumer, policy, dice, log)
        self.book = Book(ledger, log, holds=settings.ledger.when_lost == "hold")
        self.ledger_watch = self._ledger_watch(ledger)
        self.reconciliation = Reconciliation(agent, settings.amigo.settle, log)
        limits = Limits(settings.amigo.max_line, settings.amigo.longest)
        streaming = Streaming(self.publisher, self.book, stamp, limits, lambda: f"{random.getrandbits(48):012x}")
        max_bytes = {inbound.queue: inbound.max_bytes for inbound in inbounds}
        self.dispatcher = Dispatcher(
            routes=JinjaRoutes([route.route() for route in settings.routes], max_bytes),
            defaults=defaults_of(settings),
            max_bytes=max_bytes,
            interaction=Interaction(agent, streaming, self.reconciliation, log),
            settling=Settling(copier, self.book, stamp, dead.exchange, delay, policy, time.time, dice, self.tally, log),
            book=self.book,
            gate=self.gate,
            new_outbox=lambda: Outbox(self.publisher, policy, dice, log),
            policy=policy,
            park_after_s=settings.lanes.park_after,
            dice=dice,
            tally=self.tally,
            log=log,
        )
        self.consumer.receive = self.dispatcher.receive
        self.absence = BrokerAbsence(lambda: self.session.trouble is None, self.dispatcher.let_go)

    def _ledger_watch(self, ledger: Ledger) -> LedgerWatch:
        patience_s = self._settings.ledger.patience
        return LedgerWatch(ledger, self.book, self.consumer, patience_s, self.session.begin, self._log)

    def _intake(self, entrance: BrokerEntrance, inbound: Inbound, stamp: Stamp) -> Intake:
        return Intake(
            sources={hook.name: hook.source() for hook in self._settings.webhooks},
            keyring=keyring_of(self._settings, self._log),
            entrance=entrance,
            inbound=inbound,
            stamp=stamp,
            clock=time.time,
            tally=self.tally,
            log=self._log,
        )

    def components(self) -> list[Component]:
        """The rows of `/readyz`."""
        connected, why = self.session.trouble, self.gate.why
        held = ", ".join(self.consumer.held_back_by)
        consuming = None if self.consumer.consuming else connected or f"held back: {held or 'starting'}"
        blocked = "the broker blocks publishing (memory or disk alarm)" if self.publisher.blocked else None
        rows = {
            "broker": connected,
            "consumer": consuming,
            "publisher": connected or blocked,
            "api": why.get("api"),
            "credentials": why.get("credentials"),
            "permissions": self.reconciliation.sight.missing,
            "process": "stopping" if self.stopping else None,
            **{f"webhook {name}": why for name, why in self.intake.troubles().items() if why is not None},
        }
        return [
            *(Component(name, reason is None, reason) for name, reason in rows.items()),
            Component("ledger", self.book.trouble is None, self.book.trouble, needed=self.ledger_watch.holding),
        ]

    def gauges(self) -> Gauges:
        """What a scrape finds just now."""
        return Gauges(
            in_hand=self.dispatcher.in_hand,
            running=self.tally.streaming,
            unconfirmed=self.publisher.unconfirmed,
            blocked=self.publisher.blocked,
            generations=self.session.generations,
            loop_lag_s=self.loop_lag_s,
            components={row.name: row.ok for row in self.components()},
        )

    async def measure_lag(self) -> None:
        """Notice how late the event loop is, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            before_s = loop.time()
            await asyncio.sleep(LAG_EVERY_S)
            self.loop_lag_s = max(0.0, loop.time() - before_s - LAG_EVERY_S)

    async def stop(self) -> None:
        """Take nothing more, finish what streams within the grace, wait for confirms; what is left stays unacked."""
        self.stopping = True
        grace_s = self._settings.shutdown.grace
        self._log.info("bridge.stopping", in_hand=self.dispatcher.in_hand, grace_s=grace_s)
        self.consumer.pause("stopping")
        left = await self.dispatcher.stop(grace_s)
        for done in (self.publisher.drained, self.consumer.acks_sent):
            try:
                async with asyncio.timeout(CONFIRMS_S):
                    await done()
            except TimeoutError:
                self._log.warning("bridge.unconfirmed", messages=self.publisher.unconfirmed)
        self._log.info("bridge.drained", left_to_the_next_instance=left)


async def serve(settings: Settings, log: Log) -> int:
    """Run the service until it is told to stop. Returns the exit status."""
    stop = _stop_signals()
    if CRASH_AT in os.environ:
        failpoints.listener = crash.at(os.environ[CRASH_AT])
    credentials = credentials_of(settings)
    async with AsyncExitStack() as stack:
        client = HttpClient(credentials, settings.amigo.idle)
        keeping = open_ledger(settings.ledger.url.get_secret_value(), settings.ledger.keep, log)
        ledger = await stack.enter_async_context(keeping)
        bridge = Bridge(settings, client, credentials, ledger, log)
        metrics = Metrics(bridge.tally, bridge.gauges)
        door = WebhookDoor(bridge.intake, networks(settings.http.trusted_proxies))
        health = HealthServer(
            settings.http.host,
            settings.http.port,
            components=bridge.components,
            metrics=metrics.text,
            version=__version__,
            webhook=door.handle,
            malformed=door.malformed,
        )
        try:
            await stack.enter_async_context(health)
        except (OSError, ValueError) as error:
            log.critical("bridge.unstartable", error=f"http.host, http.port: {error}")
            return 1
        await stack.enter_async_context(client)
        _spare_the_collector()
        for hook in settings.webhooks:
            if hook.scheme == "none":
                log.warning("webhook.insecure", source=hook.name, error="anybody who can reach it can start events")
        log.info("bridge.started", http=f"http://{settings.http.host}:{health.port}")
        broken = await stack.enter_async_context(_running(bridge, log))
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait((stopped, broken), return_when=asyncio.FIRST_COMPLETED)
        await bridge.stop()
    log.info("bridge.stopped")
    return 1 if broken.done() and not broken.cancelled() else 0


def _spare_the_collector() -> None:
    """What is loaded by now stays, and streams make much garbage without cycles: look for cycles less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTOR)


@asynccontextmanager
async def _running(bridge: Bridge, log: Log) -> AsyncIterator[asyncio.Future[str]]:
    """The tasks that run as long as the process; gives a future that is done as soon as one of them has failed."""
    broken: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def failed(task: asyncio.Task[None]) -> None:
        if task.cancelled():
            return
        log.critical("task.broken", task=task.get_name(), exc_info=task.exception())
        if not broken.done():
            broken.set_result(task.get_name())

    parts = {
        "session": bridge.session.run(),
        "gate": bridge.gate.run(),
        "lanes": bridge.dispatcher.run(),
        "ledger watch": bridge.ledger_watch.run(),
        "absence": bridge.absence.run(),
        "lag": bridge.measure_lag(),
    }
    tasks = [asyncio.create_task(part, name=name) for name, part in parts.items()]
    for task in tasks:
        task.add_done_callback(failed)
    try:
        yield broken
    finally:
        for task in reversed(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        broken.cancel()


def _stop_signals() -> asyncio.Event:
    """Set by the first SIGTERM or SIGINT; the second one ends the process at once."""
    stop = asyncio.Event()

    def told(number: int) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told, number)
    return stop


def credentials_of(settings: Settings) -> Credentials:
    """Where the API is, and who the bridge is there."""
    amigo = settings.amigo
    return Credentials(
        base_url=amigo.base_url,
        organization_id=amigo.organization_id,
        api_key_id=amigo.api_key_id,
        api_key=amigo.api_key.get_secret_value(),
        user_id=amigo.user_id,
        token_organization_id=amigo.token_organization_id,
        mongo_cluster=amigo.mongo_cluster,
    )


async def conversations_of(settings: Settings, event_id: str, user_id: str | None) -> list[ConversationRow]:
    """The conversations at the API that carry the event's fence. Raises ApiError; ValueError without a user."""
    user_id = user_id or settings.amigo.user_id
    if user_id is None:
        raise ValueError("no user: give --user-id, or set amigo.user_id")
    credentials = credentials_of(settings)
    async with HttpClient(credentials, settings.amigo.idle) as client:
        agent = AmigoAgent(SignedClient(client, credentials, ONE_ATTEMPT, random.random))
        rows = await agent.conversations(user_id)
    return [row for row in rows if row.carries(fence(event_id))]


def keyring_of(settings: Settings, log: Log | None = None) -> Keyring:
    """The webhooks' secrets, as their schemes take them."""
    return Keyring(
        {
            hook.name: Ring(
                [secret.get_secret_value() for secret in hook.secrets],
                hook.secrets_file,
                partial(key_of, hook.scheme),
                time.time,
                log,
            )
            for hook in settings.webhooks
        }
    )


def inbounds_of(amqp: AmqpSettings) -> tuple[Inbound, ...]:
    """The inbounds as values."""
    return tuple(Inbound(**dict(inbound)) for inbound in amqp.inbound)


def outbounds_of(amqp: AmqpSettings) -> tuple[Outbound, ...]:
    """The outbounds as values."""
    return tuple(
        Outbound(
            exchange=outbound.exchange,
            key=RoutingKey(outbound.routing_key),
            types=outbound.types,
            required=outbound.required,
            cloudevents=outbound.format == "cloudevents",
        )
        for outbound in amqp.outbound
    )


def defaults_of(settings: Settings) -> Defaults:
    """What holds where neither event nor route says otherwise."""
    channels: dict[str, ChannelSettings] = {
        name: ChannelSettings(channel.version_set, channel.response_format)
        for name, channel in settings.channels.items()
    }
    return Defaults(settings.amigo.user_id, settings.amigo.agent_actions, channels)
