"""Metrics: text that Prometheus reads, under names that are ours, with the numbers that were counted."""

from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bridge.core.counters import Counters
from bridge.edges.telemetry.metrics import COUNTERS, Gauges, Metrics

GAUGES = Gauges(
    in_hand=3,
    running=2,
    unconfirmed=7,
    blocked=True,
    generations=4,
    loop_lag_s=0.25,
    components={"broker": True, 'odd "name"\n\\': False},
    pauses={},
)


def families(counters: Counters) -> dict[str, Any]:
    text = Metrics(counters, lambda: GAUGES).text().decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


def samples(found: dict[str, Any]) -> dict[tuple[str, str], float]:
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for family in found.values()
        if family.name.startswith("bridge_")
        for sample in family.samples
    }


def test_every_name_is_ours_or_the_processs() -> None:
    found = families(Counters())
    assert {name.split("_")[0] for name in found} <= {"bridge", "process", "python"}
    assert all(family.documentation for family in found.values())
    assert {name for name in found if name.startswith("bridge_")} >= {metric for metric, _ in COUNTERS.values()}


def test_what_was_counted_is_shown() -> None:
    counters = Counters(received=5, repeats=1, lines=40, published=39)
    counters.settled.update({"ack": 4, "rejected": 1})
    counters.outcomes.update({"complete": 4})
    counters.enrichments["interaction-insights", "failed"] += 2
    found = samples(families(counters))
    assert found["bridge_deliveries_total", ""] == 5
    assert found["bridge_stream_lines_total", ""] == 40
    assert found["bridge_settlements_total", "ack"] == 4
    assert found["bridge_settlements_total", "rejected"] == 1
    assert found["bridge_attempts_total", "complete"] == 4
    assert found["bridge_enrichments_total", "failed"] == 2
    assert found["bridge_in_hand", ""] == 3
    assert found["bridge_unconfirmed", ""] == 7
    assert found["bridge_publisher_blocked", ""] == 1
    assert found["bridge_loop_lag_seconds", ""] == 0.25
    assert found["bridge_component_ok", "broker"] == 1
    assert found["bridge_component_ok", 'odd "name"\n\\'] == 0


@pytest.mark.parametrize("name", COUNTERS)
def test_each_count_has_its_own_metric(name: str) -> None:
    metric, _ = COUNTERS[name]
    nine: dict[str, Any] = {name: 9}
    found = samples(families(Counters(**nine)))
    assert found[f"{metric}_total", ""] == 9
    others = [found[f"{other}_total", ""] for key, (other, _) in COUNTERS.items() if key != name]
    assert set(others) == {0}


def test_numbers_are_read_at_the_moment_of_the_scrape() -> None:
    counters = Counters()
    metrics = Metrics(counters, lambda: GAUGES)
    before = metrics.text()
    counters.received += 1
    assert before != metrics.text()


def test_two_registries_do_not_meet() -> None:
    Metrics(Counters(), lambda: GAUGES)
    Metrics(Counters(), lambda: GAUGES).text()
