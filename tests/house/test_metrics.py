"""Every metric of the bridge's own begins with `bridge_`; beside them only Python's and the process's standard ones."""

import re

from prometheus_client.parser import text_string_to_metric_families

from bridge.core.counters import Counters
from bridge.edges.telemetry.metrics import Gauges, Metrics

STANDARD = ("process_", "python_gc_")
GAUGES = Gauges(
    in_hand=1,
    running=1,
    unconfirmed=1,
    blocked=True,
    generations=1,
    loop_lag_s=0.5,
    components={"broker": True, "api": False},
    limited_s={"interact": 12.5},
    too_many={"interact": 1},
    closed_gates={"interact": 1},
    pauses={"route": 1},
)


def scrape() -> str:
    """A scrape in which every metric has a value."""
    counters = Counters()
    counters.settled["ack"] += 1
    counters.outcomes["complete"] += 1
    counters.webhooks["github", "taken"] += 1
    counters.version_sets["alerts", "canary"] += 1
    counters.enrichments["interaction-insights", "read"] += 1
    return Metrics(counters, lambda: GAUGES).text().decode()


def scraped() -> dict[str, str]:
    return {family.name: family.documentation for family in text_string_to_metric_families(scrape())}


def odd(names: list[str]) -> list[str]:
    return [name for name in names if not re.fullmatch(r"bridge_[a-z0-9_]+", name) and not name.startswith(STANDARD)]


def test_every_own_metric_begins_with_bridge() -> None:
    names = list(scraped())
    assert odd(names) == []
    assert sum(name.startswith("bridge_") for name in names) > 10
    assert odd(["amigo_events", "Bridge_x", "bridge_", "bridge-x"]) == [
        "amigo_events",
        "Bridge_x",
        "bridge_",
        "bridge-x",
    ]


def test_every_own_metric_says_what_it_is() -> None:
    assert all(said.strip() for name, said in scraped().items() if name.startswith("bridge_"))
