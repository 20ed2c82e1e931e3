"""Prometheus metrics, made from plain integers when somebody scrapes; the hot path knows nothing of them."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bridge.core.control.pause import PauseScope
from bridge.core.counters import Counters

COUNTERS: Mapping[str, tuple[str, str]] = {
    "received": ("bridge_deliveries", "Deliveries taken from the inbound queues."),
    "repeats": ("bridge_repeats", "Deliveries of an event that was in hand or done already."),
    "conflicts": ("bridge_conflicts", "Repeats whose body differs from the first one's."),
    "lines": ("bridge_stream_lines", "Lines read from the API's streams."),
    "voids": ("bridge_voids", "Times that published parts of a stream were declared void."),
    "recovered": ("bridge_recovered", "Endings that were read from the history."),
    "finished": ("bridge_conversations_finished", "Conversations that the bridge finished as they were due."),
    "unfinished": ("bridge_finishes_refused", "Due finishes that the API refused: given up."),
    "user_lookups": ("bridge_user_lookups", "Times that the API was asked for the user of an e-mail."),
    "users_created": ("bridge_users_created", "Users that the bridge created."),
    "users_missing": ("bridge_users_missing", "Events whose e-mail has no user, or more than one."),
    "published": ("bridge_published", "Outbound messages handed to the publisher."),
    "refused": ("bridge_publish_refused", "Outbound messages that the broker refused or returned."),
    "unsaid": ("bridge_endings_unsaid", "Endings of the bridge's own that the broker does not take: given up."),
    "lost": ("bridge_publish_repeated", "Outbound messages published again after a lost connection."),
}


@dataclass(frozen=True, slots=True)
class Gauges:
    """Values read at the moment of the scrape."""

    in_hand: int
    running: int
    unconfirmed: int
    blocked: bool
    generations: int
    loop_lag_s: float
    components: Mapping[str, bool]
    pauses: Mapping[str, int]
    limited_s: Mapping[str, float] = field(default_factory=dict)
    too_many: Mapping[str, int] = field(default_factory=dict)
    closed_gates: Mapping[str, int] = field(default_factory=dict)


class BridgeCollector(Collector):
    """Turns counters and gauges into metrics."""

    def __init__(self, counters: Counters, gauges: Callable[[], Gauges]) -> None:
        self._counters = counters
        self._gauges = gauges

    def collect(self) -> Iterable[Metric]:
        """All metrics of the bridge."""
        yield from self._counted()
        yield from self._now(self._gauges())

    def _counted(self) -> Iterator[Metric]:
        for name, (metric, help_) in COUNTERS.items():
            yield CounterMetricFamily(metric, help_, value=getattr(self._counters, name))
        settled = CounterMetricFamily("bridge_settlements", "Deliveries settled, by how.", labels=["settlement"])
        for settlement, count in self._counters.settled.items():
            settled.add_metric([settlement], count)
        yield settled
        ended = CounterMetricFamily("bridge_attempts", "Attempts ended, by outcome.", labels=["outcome"])
        for outcome, count in self._counters.outcomes.items():
            ended.add_metric([outcome], count)
        yield ended
        webhooks = CounterMetricFamily(
            "bridge_webhooks", "Webhooks, by source and outcome.", labels=["source", "outcome"]
        )
        for (source, outcome), count in self._counters.webhooks.items():
            webhooks.add_metric([source, outcome], count)
        yield webhooks
        enrichments = CounterMetricFamily(
            "bridge_enrichments", "Enrichments, by type and outcome.", labels=["type", "outcome"]
        )
        for (type_, outcome), count in self._counters.enrichments.items():
            enrichments.add_metric([type_, outcome], count)
        yield enrichments
        started = CounterMetricFamily(
            "bridge_version_sets", "Conversations started by routes with weights.", labels=["route", "version_set"]
        )
        for (route, version_set), count in self._counters.version_sets.items():
            started.add_metric([route, version_set], count)
        yield started

    @staticmethod
    def _now(gauges: Gauges) -> Iterator[Metric]:
        yield GaugeMetricFamily("bridge_in_hand", "Deliveries held unacknowledged.", value=gauges.in_hand)
        yield GaugeMetricFamily("bridge_attempts_running", "Attempts under way.", value=gauges.running)
        yield GaugeMetricFamily("bridge_unconfirmed", "Outbound messages not confirmed.", value=gauges.unconfirmed)
        yield GaugeMetricFamily("bridge_publisher_blocked", "1 while the broker blocks.", value=gauges.blocked)
        yield GaugeMetricFamily(
            "bridge_broker_generation", "Connections to the broker so far.", value=gauges.generations
        )
        yield GaugeMetricFamily("bridge_loop_lag_seconds", "How late the event loop runs.", value=gauges.loop_lag_s)
        ok = GaugeMetricFamily("bridge_component_ok", "1 where /readyz says ok.", labels=["component"])
        for component, is_ok in gauges.components.items():
            ok.add_metric([component], is_ok)
        yield ok
        pauses = GaugeMetricFamily("bridge_pauses", "Pauses and holds.", labels=["scope"])
        for scope in PauseScope:
            pauses.add_metric([scope.value], gauges.pauses.get(scope.value, 0))
        yield pauses
        yield from _limits(gauges)


def _limits(gauges: Gauges) -> Iterator[Metric]:
    waited = CounterMetricFamily(
        "bridge_limited_seconds", "Seconds that calls have waited for rate limits.", labels=["operation"]
    )
    for operation, seconds in gauges.limited_s.items():
        waited.add_metric([operation], seconds)
    yield waited
    refused = CounterMetricFamily("bridge_too_many_requests", "Answers 429.", labels=["operation"])
    for operation, count in gauges.too_many.items():
        refused.add_metric([operation], count)
    yield refused
    closed = GaugeMetricFamily("bridge_limit_gates_closed", "Scopes that a 429 has closed.", labels=["operation"])
    for operation, count in gauges.closed_gates.items():
        closed.add_metric([operation], count)
    yield closed


class Metrics:
    """The registry of this process."""

    def __init__(self, counters: Counters, gauges: Callable[[], Gauges]) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(BridgeCollector(counters, gauges))
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def text(self) -> bytes:
        """The Prometheus text format, version 0.0.4."""
        return generate_latest(self._registry)
