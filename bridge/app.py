"""The composition root: the only file that knows every room. Read it from top to bottom for the order of the start.

health ▸ API client ▸ broker's parts ▸ flow ▸ tasks          the stop is the reverse, see `Bridge.stop`
"""

import asyncio
import os
import random
import socket
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial

from bridge import version
from bridge.core.answer.outbound_message import MessageFactory
from bridge.core.broker.republished_copy import CopyExchanges
from bridge.core.broker.topology import Inbound
from bridge.core.control.command import Facts
from bridge.core.control.pause import PauseScope
from bridge.core.counters import Counters
from bridge.core.delivery.rate_limits import RateLimits
from bridge.core.delivery.retry import Backoff
from bridge.edges.amigo.agent import AmigoAgent
from bridge.edges.amigo.authorized import ONE_ATTEMPT, SignedClient
from bridge.edges.amigo.client import HttpClient
from bridge.edges.amigo.enrichments import AmigoEnrichments
from bridge.edges.amigo.users import AmigoUsers
from bridge.edges.http.server import Component
from bridge.edges.jinja import JinjaRoutes
from bridge.edges.rabbitmq.consuming.backlog import InboundBacklog
from bridge.edges.rabbitmq.consuming.consumer import Consumer
from bridge.edges.rabbitmq.consuming.inbox import ConsumerInbox
from bridge.edges.rabbitmq.control import ControlLink
from bridge.edges.rabbitmq.held_queue import BrokerHeldQueues
from bridge.edges.rabbitmq.publishing.batching import BatchingPublisher
from bridge.edges.rabbitmq.publishing.confirmed_publisher import BrokerConfirmedPublisher
from bridge.edges.rabbitmq.publishing.publishers import Publishers
from bridge.edges.rabbitmq.publishing.republisher import BrokerRepublisher
from bridge.edges.rabbitmq.supervisor import Supervisor
from bridge.edges.telemetry.metrics import Gauges
from bridge.flow.answering.after_answer import AfterAnswer
from bridge.flow.answering.enricher import Enricher
from bridge.flow.answering.enrichment_reader import EnrichmentReader
from bridge.flow.answering.interaction import Interaction
from bridge.flow.answering.open_conversations import OpenConversations
from bridge.flow.answering.reconciler import Reconciler
from bridge.flow.answering.relay import Limits, Relay
from bridge.flow.answering.steering import Steering
from bridge.flow.answering.user_lookup import UserLookup
from bridge.flow.attempts import Attempts
from bridge.flow.event_intake import EventIntake, EventRouter
from bridge.flow.finishing.due_finisher import DueFinisher
from bridge.flow.finishing.due_watch import DueWatch
from bridge.flow.finishing.finish_announcer import FinishAnnouncer
from bridge.flow.guards.api_breaker import ApiBreaker
from bridge.flow.guards.broker_absence import BrokerAbsence
from bridge.flow.guards.ledger_watch import LedgerWatch
from bridge.flow.guards.pauses import Pauses, PausingLives
from bridge.flow.guards.poison_guard import PoisonGuard
from bridge.flow.guards.quick_deaths import QuickDeaths
from bridge.flow.guards.refusal_holds import RefusalHolds
from bridge.flow.guards.turn_guard import TurnGuard
from bridge.flow.lanes.lane_waits import WaitLimits, waiting
from bridge.flow.lanes.lanes import Lanes
from bridge.flow.lanes.lost_events import LostEvents
from bridge.flow.ledger_journal import LedgerJournal
from bridge.flow.ports.ledger import Ledger
from bridge.flow.ports.runtime import Log
from bridge.flow.replica import SteeredReplica
from bridge.flow.settling.outbox import Outbox
from bridge.flow.settling.refusal_log import RefusalLog
from bridge.flow.settling.refused_events import RefusedEvents, shares_of
from bridge.flow.settling.settler import Settler
from bridge.flow.webhook_ingest import IngestConfig, WebhookIngest
from bridge.settings.model import Settings
from bridge.settings.values import (
    broker_of,
    configuration_hash,
    control_of,
    credentials_of,
    defaults_of,
    inbounds_of,
    keyring_of,
    outbounds_of,
    retry_of,
    turn_limit_of,
    user_rules_of,
)

CONFIRMS_S = 5.0
"""How long the stop waits for confirms and acks that are still open."""
LAG_EVERY_S = 0.5
REPLICA = f"{socket.gethostname()}/{os.getpid()}"
"""This process's name among the replicas."""
STARTED = datetime.now(UTC)


def new_stream() -> str:
    """The id of a stream that is about to be opened, which no other has."""
    return f"{random.getrandbits(48):012x}"


class Bridge:
    """All parts of one process, wired."""

    def __init__(
        self, settings: Settings, client: HttpClient, ledger: Ledger, rate_limits: RateLimits, log: Log
    ) -> None:
        self.counters = Counters()
        self.stopping = False
        self.loop_lag_s = 0.0
        self._log = log
        self._settings = settings
        self._rate_limits = rate_limits
        inbounds, outbounds = inbounds_of(settings.amqp), outbounds_of(settings.amqp)
        backoff = Backoff(retry_of(settings), random.random)
        factory = MessageFactory(outbounds, time.time)

        self.inbox = ConsumerInbox()
        self.publisher = BatchingPublisher(outbounds)
        republisher = BrokerRepublisher()
        confirmed_publisher = BrokerConfirmedPublisher(lambda: self.publisher.blocked)
        self.webhook_ingest = self._webhook_ingest(confirmed_publisher, inbounds[0], factory)

        signed = SignedClient(client, credentials_of(settings), ONE_ATTEMPT, random.random, log=log)
        agent, accounts = AmigoAgent(signed), AmigoUsers(signed, settings.amigo.user_id)
        users = UserLookup(accounts, ledger, user_rules_of(settings), self.counters, time.time, log)
        self.api_breaker = ApiBreaker(agent, self.inbox, backoff, log)
        self.journal = self._journal(ledger)
        exchanges = CopyExchanges(settings.amqp.dead_letter.exchange, settings.amqp.delay.exchange)
        held_queues = BrokerHeldQueues(republisher, exchanges.delay, log)
        queues = [inbound.queue for inbound in inbounds]
        self.pauses = Pauses(ledger, self.inbox, queues, held_queues, time.time, log)
        self.refusal_holds = self._refusal_holds(held_queues)
        lives = PausingLives(QuickDeaths(ledger, self.inbox, log), self.pauses)
        self.ledger_watch = LedgerWatch(ledger, self.journal, self.inbox, settings.ledger.patience, lives.begin, log)
        self.reconciler = Reconciler(agent, settings.amigo.settle, log)
        refused_events = self._refused_events(backoff, inbounds)
        relay = self._relay(factory, refused_events)
        settler = self._settler(republisher, factory, exchanges, refused_events)
        conversations = OpenConversations(shared=ledger.shared)
        new_outbox = partial(Outbox, self.publisher, backoff, RefusalLog(log))
        attempts = self._attempts(self._interaction(agent, relay, factory, conversations, users), backoff)
        announcer = FinishAnnouncer(ledger, factory, new_outbox, backoff, self.counters, log)
        finisher = DueFinisher(agent, ledger, conversations, factory, announcer, self.counters, log)
        after = AfterAnswer(self._enricher(signed, factory, refused_events, new_outbox), finisher, self.journal)
        self.lanes = Lanes(attempts, settler, self.api_breaker, self.journal, after, self._wait_limits(inbounds), log)
        self.due_watch = DueWatch(ledger, finisher, self.lanes, factory)
        self.event_intake = EventIntake(router_of(settings), self.lanes, settler, users, new_outbox, self.counters, log)
        self.consumer = Consumer(inbounds, self.inbox, self.event_intake.receive, log)
        self.replica = SteeredReplica(REPLICA, self.pauses, finisher.finished_by_person, self.status, time.time, log)
        self.control = ControlLink(control_of(settings), self.replica, log, RefusalLog(log))
        publishers = Publishers(self.publisher, republisher, confirmed_publisher, (held_queues, self.control))
        self.supervisor = Supervisor(broker_of(settings.amqp), self.consumer, publishers, lives, random.random, log)
        self.absence = BrokerAbsence(lambda: self.supervisor.trouble is None, self.event_intake.let_go)

    def _journal(self, ledger: Ledger) -> LedgerJournal:
        lost = LostEvents(self._settings.lanes.lost_after)
        return LedgerJournal(ledger, self._log, time.time, holds=self._settings.ledger.when_lost == "hold", lost=lost)

    async def watch_backlog(self) -> None:
        """Notice when an event that does not come back may be taken for lost, until cancelled."""
        await self.journal.lost.watch(InboundBacklog(self.consumer))

    def _refused_events(self, backoff: Backoff, inbounds: Sequence[Inbound]) -> RefusedEvents:
        limits = self._wait_limits(inbounds)
        return RefusedEvents(backoff, limits.shares, limits.park_after_s, time.time, self._log)

    def _wait_limits(self, inbounds: Sequence[Inbound]) -> WaitLimits:
        shares = shares_of({inbound.queue: inbound.prefetch for inbound in inbounds})
        return WaitLimits(self._settings.lanes.park_after, shares, turn_limit_of(self._settings))

    def _refusal_holds(self, held_queues: BrokerHeldQueues) -> RefusalHolds:
        limit, configuration = self._settings.retry.refusals, configuration_hash(self._settings)
        return RefusalHolds(limit, configuration, self.pauses, held_queues, time.time, self._log)

    def _relay(self, factory: MessageFactory, refused_events: RefusedEvents) -> Relay:
        amigo, enrich_for_s = self._settings.amigo, self._settings.conversations.enrich_for
        limits = Limits(amigo.max_line, amigo.longest, enrich_for_s)
        return Relay(self.publisher, self.journal, factory, limits, new_stream, refused_events)

    def _attempts(self, interaction: Interaction, backoff: Backoff) -> Attempts:
        poison_guard = PoisonGuard(self.journal, self._settings.lanes.park_after, self._log)
        guard = TurnGuard(poison_guard, self.pauses, self.refusal_holds)
        return Attempts(interaction, self.journal, guard, self.api_breaker, backoff, self.counters, self._log)

    def _interaction(
        self,
        agent: AmigoAgent,
        relay: Relay,
        factory: MessageFactory,
        conversations: OpenConversations,
        users: UserLookup,
    ) -> Interaction:
        busy_for_s = self._settings.conversations.busy_for
        steering = Steering(agent, self.reconciler, self.journal, factory, conversations, busy_for_s)
        return Interaction(agent, relay, steering, self.reconciler, conversations, users, self._log)

    def _enricher(
        self,
        signed: SignedClient,
        factory: MessageFactory,
        refused_events: RefusedEvents,
        new_outbox: Callable[[], Outbox],
    ) -> Enricher:
        for_s = self._settings.conversations.enrich_for
        reader = EnrichmentReader(AmigoEnrichments(signed), refused_events.backoff, for_s, time.time)
        return Enricher(reader, self.journal, factory, new_outbox, refused_events, self.counters, self._log)

    def _settler(
        self,
        republisher: BrokerRepublisher,
        factory: MessageFactory,
        exchanges: CopyExchanges,
        refused_events: RefusedEvents,
    ) -> Settler:
        return Settler(republisher, self.journal, factory, exchanges, refused_events, self.counters, self._log)

    def _webhook_ingest(
        self, confirmed_publisher: BrokerConfirmedPublisher, inbound: Inbound, factory: MessageFactory
    ) -> WebhookIngest:
        return WebhookIngest(
            IngestConfig({hook.name: hook.source() for hook in self._settings.webhooks}, inbound),
            keyring=keyring_of(self._settings, self._log),
            confirmed_publisher=confirmed_publisher,
            factory=factory,
            counters=self.counters,
            log=self._log,
        )

    def components(self) -> list[Component]:
        """The rows of `/readyz`."""
        connected, why = self.supervisor.trouble, self.api_breaker.why
        held = ", ".join(self.inbox.held_back_by)
        consuming = None if self.consumer.consuming else connected or f"held back: {held or 'starting'}"
        blocked = "the broker blocks publishing (memory or disk alarm)" if self.publisher.blocked else None
        rows = {
            "broker": connected,
            "consumer": consuming,
            "publisher": connected or blocked,
            "api": why.get("api"),
            "credentials": why.get("credentials"),
            "permissions": self.reconciler.sight.missing,
            "process": "stopping" if self.stopping else None,
            **{f"webhook {name}": why for name, why in self.webhook_ingest.troubles().items() if why is not None},
        }
        partial_troubles = {**self.supervisor.destinations.troubles, **self.consumer.troubles}
        return [
            *(Component(name, reason is None, reason) for name, reason in rows.items()),
            *(Component(name, ok=False, reason=reason, needed=False) for name, reason in partial_troubles.items()),
            *self._paused(),
            Component("ledger", self.journal.trouble is None, self.journal.trouble, needed=self.ledger_watch.holding),
        ]

    def _paused(self) -> list[Component]:
        """A row where a person has paused something, and one where routes are held: both leave the process ready."""
        rows = {"pauses": "", "refusals": ""}
        for pause in self.pauses.listed:
            name = "refusals" if pause.scope is PauseScope.REFUSALS else "pauses"
            rows[name] += f"{'; ' * bool(rows[name])}{pause.words}"
        return [Component(name, ok=False, reason=words, needed=False) for name, words in rows.items() if words]

    def status(self) -> Facts:
        """How this replica is, for a person."""
        components = self.components()
        closed = self.api_breaker.why
        now_s = asyncio.get_running_loop().time()
        return {
            "version": version(),
            "since": STARTED.isoformat(timespec="seconds").replace("+00:00", "Z"),
            "ready": all(row.ok or not row.needed for row in components),
            "problems": {row.name: row.reason for row in components if not row.ok},
            "configuration": configuration_hash(self._settings),
            "generation": self.supervisor.generations,
            "in_hand": self.event_intake.in_hand,
            "running": self.counters.streaming,
            "unconfirmed": self.publisher.unconfirmed,
            "waiting": waiting(self.lanes.open, closed, now_s).facts,
            "limits": [limit.facts for limit in self._rate_limits.binding(time.monotonic())],
            "breaker": {"open": bool(closed), "why": closed},
            "pauses": [pause.facts for pause in self.pauses.listed],
            "only_this_replica": self.control.trouble,
        }

    def gauges(self) -> Gauges:
        """Values that a scrape reads just now."""
        return Gauges(
            in_hand=self.event_intake.in_hand,
            running=self.counters.streaming,
            unconfirmed=self.publisher.unconfirmed,
            blocked=self.publisher.blocked,
            generations=self.supervisor.generations,
            loop_lag_s=self.loop_lag_s,
            components={row.name: row.ok for row in self.components()},
            limited_s=self._rate_limits.limited_s,
            too_many=self._rate_limits.refused,
            closed_gates=self._rate_limits.closed(time.monotonic()),
            pauses=Counter(pause.scope.value for pause in self.pauses.listed),
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
        self._log.info("bridge.stopping", in_hand=self.event_intake.in_hand, grace_s=grace_s)
        self.inbox.pause("stopping")
        left = await self.event_intake.stop(grace_s)
        for done in (self.publisher.drained, self.consumer.acks_sent):
            try:
                async with asyncio.timeout(CONFIRMS_S):
                    await done()
            except TimeoutError:
                self._log.warning("bridge.unconfirmed", messages=self.publisher.unconfirmed)
        self._log.info("bridge.drained", left_to_the_next_instance=left)


def router_of(settings: Settings) -> EventRouter:
    """The reader of events, with the configured routes."""
    max_bytes = {inbound.queue: inbound.max_bytes for inbound in settings.amqp.inbound}
    routes = JinjaRoutes([route.route() for route in settings.routes], max_bytes)
    return EventRouter(routes, defaults_of(settings), max_bytes, time.time)
