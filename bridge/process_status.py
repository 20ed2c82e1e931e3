"""How this process is, for whoever asks: the rows of `/readyz`, the gauges of a scrape, the answer to `status`.

Nothing is decided here: each part of the bridge knows its own state, and is read at the moment of the question.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from bridge import version
from bridge.core.control.command import Facts
from bridge.core.control.pause import PauseScope
from bridge.core.counters import Counters
from bridge.core.delivery.rate_limits import RateLimits
from bridge.edges.http.server import Component
from bridge.edges.rabbitmq.consuming.consumer import Consumer
from bridge.edges.rabbitmq.consuming.inbox import ConsumerInbox
from bridge.edges.rabbitmq.publishing.batching import BatchingPublisher
from bridge.edges.rabbitmq.supervisor import Supervisor
from bridge.edges.telemetry.metrics import Gauges
from bridge.flow.answering.reconciler import Sight
from bridge.flow.event_intake import EventIntake
from bridge.flow.guards.api_breaker import ApiBreaker
from bridge.flow.guards.ledger_watch import LedgerWatch
from bridge.flow.guards.pauses import Pauses
from bridge.flow.lanes.lane_waits import waiting
from bridge.flow.lanes.lanes import Lanes
from bridge.flow.ledger_journal import LedgerJournal
from bridge.flow.webhook_ingest import WebhookIngest

LAG_EVERY_S = 0.5
STARTED = datetime.now(UTC)


class LoopLag:
    """How late the event loop runs."""

    def __init__(self) -> None:
        self.seconds = 0.0

    async def run(self) -> None:
        """Measure until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            before_s = loop.time()
            await asyncio.sleep(LAG_EVERY_S)
            self.seconds = max(0.0, loop.time() - before_s - LAG_EVERY_S)


@dataclass(frozen=True, slots=True)
class BrokerParts:
    """The parts that a connection to the broker serves."""

    supervisor: Supervisor
    inbox: ConsumerInbox
    consumer: Consumer
    publisher: BatchingPublisher


class Readiness:
    """The rows of `/readyz`: whether this process does its work, and what keeps it from it."""

    def __init__(
        self,
        broker: BrokerParts,
        api_breaker: ApiBreaker,
        sight: Sight,
        webhook_ingest: WebhookIngest,
        journal: LedgerJournal,
        ledger_watch: LedgerWatch,
        pauses: Pauses,
    ) -> None:
        self._broker = broker
        self._api_breaker = api_breaker
        self._sight = sight
        self._webhook_ingest = webhook_ingest
        self._journal = journal
        self._ledger_watch = ledger_watch
        self._pauses = pauses
        self._stopping = False

    def stopping(self) -> None:
        """The process takes nothing more, from now on."""
        self._stopping = True

    def components(self) -> list[Component]:
        """All rows; a row that is not needed tells, and leaves the process ready."""
        supervisor, consumer = self._broker.supervisor, self._broker.consumer
        partial_troubles = {**supervisor.destinations.troubles, **consumer.troubles}
        for pause in self._pauses.listed:
            name = "refusals" if pause.scope is PauseScope.REFUSALS else "pauses"
            before = f"{partial_troubles[name]}; " if name in partial_troubles else ""
            partial_troubles[name] = before + pause.words
        trouble = self._journal.trouble
        return [
            *(Component(name, reason is None, reason) for name, reason in self._needed().items()),
            *(Component(name, ok=False, reason=reason, needed=False) for name, reason in partial_troubles.items()),
            Component("ledger", trouble is None, trouble, needed=self._ledger_watch.holding),
        ]

    def _needed(self) -> Mapping[str, str | None]:
        """The parts without which nothing is answered, each with what is wrong with it."""
        connected, why = self._broker.supervisor.trouble, self._api_breaker.why
        held = ", ".join(self._broker.inbox.held_back_by)
        consuming = None if self._broker.consumer.consuming else connected or f"held back: {held or 'starting'}"
        blocked = "the broker blocks publishing (memory or disk alarm)" if self._broker.publisher.blocked else None
        webhooks = self._webhook_ingest.troubles()
        return {
            "broker": connected,
            "consumer": consuming,
            "publisher": connected or blocked,
            "api": why.get("api"),
            "credentials": why.get("credentials"),
            "permissions": self._sight.missing,
            "process": "stopping" if self._stopping else None,
            **{f"webhook {name}": error for name, error in webhooks.items() if error is not None},
        }


class Load:
    """How much is in hand, running and not confirmed yet."""

    def __init__(self, broker: BrokerParts, event_intake: EventIntake, lanes: Lanes, counters: Counters) -> None:
        self._broker = broker
        self._event_intake = event_intake
        self._lanes = lanes
        self._counters = counters

    @property
    def in_hand(self) -> int:
        """Events that are held unacknowledged."""
        return self._event_intake.in_hand

    @property
    def running(self) -> int:
        """Attempts under way."""
        return self._counters.streaming

    @property
    def unconfirmed(self) -> int:
        """Outbound messages that the broker has not confirmed."""
        return self._broker.publisher.unconfirmed

    @property
    def blocked(self) -> bool:
        """True while the broker blocks publishing."""
        return self._broker.publisher.blocked

    @property
    def generations(self) -> int:
        """Connections to the broker so far."""
        return self._broker.supervisor.generations

    def waiting(self, closed: Mapping[str, str]) -> Facts:
        """The events that wait for their turn; `closed` says why nothing may be asked."""
        return waiting(self._lanes.open, closed, asyncio.get_running_loop().time()).facts


class ProcessGauges:
    """Values that a scrape reads just now."""

    def __init__(self, readiness: Readiness, load: Load, lag: LoopLag, rate_limits: RateLimits, pauses: Pauses) -> None:
        self._readiness = readiness
        self._load = load
        self._lag = lag
        self._rate_limits = rate_limits
        self._pauses = pauses

    def read(self) -> Gauges:
        """All of them."""
        return Gauges(
            in_hand=self._load.in_hand,
            running=self._load.running,
            unconfirmed=self._load.unconfirmed,
            blocked=self._load.blocked,
            generations=self._load.generations,
            loop_lag_s=self._lag.seconds,
            components={row.name: row.ok for row in self._readiness.components()},
            limited_s=self._rate_limits.limited_s,
            too_many=self._rate_limits.refused,
            closed_gates=self._rate_limits.closed(time.monotonic()),
            pauses=Counter(pause.scope.value for pause in self._pauses.listed),
        )


class ReplicaStatus:
    """How this replica is, for a person.

    `configuration` is the digest of its settings, `unsteered` says why it hears no commands over the broker.
    """

    def __init__(
        self,
        readiness: Readiness,
        load: Load,
        api_breaker: ApiBreaker,
        rate_limits: RateLimits,
        pauses: Pauses,
        configuration: str,
        unsteered: Callable[[], str | None],
    ) -> None:
        self._readiness = readiness
        self._load = load
        self._api_breaker = api_breaker
        self._rate_limits = rate_limits
        self._pauses = pauses
        self._configuration = configuration
        self._unsteered = unsteered

    def read(self) -> Facts:
        """The answer to the command `status`."""
        components = self._readiness.components()
        closed = self._api_breaker.why
        return {
            "version": version(),
            "since": STARTED.isoformat(timespec="seconds").replace("+00:00", "Z"),
            "ready": all(row.ok or not row.needed for row in components),
            "problems": {row.name: row.reason for row in components if not row.ok},
            "configuration": self._configuration,
            "generation": self._load.generations,
            "in_hand": self._load.in_hand,
            "running": self._load.running,
            "unconfirmed": self._load.unconfirmed,
            "waiting": self._load.waiting(closed),
            "limits": [limit.facts for limit in self._rate_limits.binding(time.monotonic())],
            "breaker": {"open": bool(closed), "why": closed},
            "pauses": [pause.facts for pause in self._pauses.listed],
            "only_this_replica": self._unsteered(),
        }
