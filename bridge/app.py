"""The composition root: the only file that knows every room. Read it from top to bottom for the order of the start.

health ▸ API client ▸ broker's parts ▸ flow ▸ tasks          the stop is the reverse: bridge/service.py
"""

import os
import random
import socket
import time
from collections.abc import Callable, Sequence
from functools import partial

from bridge.core.answer.outbound_message import MessageFactory
from bridge.core.broker.republished_copy import CopyExchanges
from bridge.core.broker.topology import Inbound
from bridge.core.counters import Counters
from bridge.core.delivery.rate_limits import RateLimits
from bridge.core.delivery.retry import Backoff
from bridge.edges.amigo.agent import AmigoAgent
from bridge.edges.amigo.authorized import ONE_ATTEMPT, SignedClient
from bridge.edges.amigo.client import HttpClient
from bridge.edges.amigo.enrichments import AmigoEnrichments
from bridge.edges.amigo.users import AmigoUsers
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
from bridge.flow.command_handler import CommandHandler
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
from bridge.flow.lanes.lane_waits import WaitLimits
from bridge.flow.lanes.lanes import Lanes
from bridge.flow.lanes.lost_events import LostEvents
from bridge.flow.ledger_journal import LedgerJournal
from bridge.flow.ports.ledger import Ledger
from bridge.flow.ports.runtime import Log
from bridge.flow.settling.outbox import Outbox
from bridge.flow.settling.refusal_log import RefusalLog
from bridge.flow.settling.refused_events import RefusedEvents, shares_of
from bridge.flow.settling.settler import Settler
from bridge.flow.webhook_ingest import IngestConfig, WebhookIngest
from bridge.process_status import BrokerParts, Load, LoopLag, ProcessGauges, Readiness, ReplicaStatus
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

REPLICA = f"{socket.gethostname()}/{os.getpid()}"
"""This process's name among the replicas."""


def new_stream() -> str:
    """The id of a stream that is about to be opened, which no other has."""
    return f"{random.getrandbits(48):012x}"


class Bridge:
    """All parts of one process, wired."""

    def __init__(
        self, settings: Settings, client: HttpClient, ledger: Ledger, rate_limits: RateLimits, log: Log
    ) -> None:
        self.counters = Counters()
        self._log = log
        self._settings = settings
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
        self.command_handler = self._command_handler(finisher)
        self.control = ControlLink(control_of(settings), self.command_handler, log, RefusalLog(log))
        publishers = Publishers(self.publisher, republisher, confirmed_publisher, (held_queues, self.control))
        self.supervisor = Supervisor(broker_of(settings.amqp), self.consumer, publishers, lives, random.random, log)
        self.absence = BrokerAbsence(lambda: self.supervisor.trouble is None, self.event_intake.let_go)
        self.backlog = InboundBacklog(self.consumer)
        self.lag = LoopLag()
        self._watched(rate_limits)

    def _command_handler(self, finisher: DueFinisher) -> CommandHandler:
        finished, log = finisher.finished_by_person, self._log
        return CommandHandler(REPLICA, self.pauses, finished, lambda: self.status.read(), time.time, log)

    def _watched(self, rate_limits: RateLimits) -> None:
        broker = BrokerParts(self.supervisor, self.inbox, self.consumer, self.publisher)
        load = Load(broker, self.event_intake, self.lanes, self.counters)
        breaker, pauses, sight = self.api_breaker, self.pauses, self.reconciler.sight
        self.readiness = Readiness(broker, breaker, sight, self.webhook_ingest, self.journal, self.ledger_watch, pauses)
        self.gauges = ProcessGauges(self.readiness, load, self.lag, rate_limits, pauses)
        digest = configuration_hash(self._settings)
        self.status = ReplicaStatus(
            self.readiness, load, breaker, rate_limits, pauses, digest, lambda: self.control.trouble
        )

    def _journal(self, ledger: Ledger) -> LedgerJournal:
        lost = LostEvents(self._settings.lanes.lost_after)
        return LedgerJournal(ledger, self._log, time.time, holds=self._settings.ledger.when_lost == "hold", lost=lost)

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


def router_of(settings: Settings) -> EventRouter:
    """The reader of events, with the configured routes."""
    max_bytes = {inbound.queue: inbound.max_bytes for inbound in settings.amqp.inbound}
    routes = JinjaRoutes([route.route() for route in settings.routes], max_bytes)
    return EventRouter(routes, defaults_of(settings), max_bytes, time.time)
