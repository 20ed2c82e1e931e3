"""From the records of all rounds to medians with their ranges, and to the figures that the bridge is to reach."""

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.bench.contestants import BRIDGE, FASTSTREAM, HOOK, NAIVE, RAW

LEVEL_OF = {"streams": "streams", "joining": "messages"}


@dataclass(frozen=True)
class BenchRun:
    """One run of one scenario; `error` where it got stuck, `figures` otherwise."""

    scenario: str
    contestant: str
    round: int
    figures: dict[str, Any] | None = None
    error: str | None = None

    @property
    def faults(self) -> dict[str, int]:
        return self.figures["faults"] if self.figures is not None else {}


@dataclass(frozen=True)
class Spread:
    """The median of all rounds, the lowest and the highest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True)
class Verdict:
    """One figure to reach, as it stands; `reached` is None where it was not measured."""

    what: str
    aim: str
    measured: str
    reached: bool | None


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of all does not exceed; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


class Results:
    """All records, asked for by scenario, contestant and name."""

    def __init__(self, records: Iterable[BenchRun]) -> None:
        self.records = list(records)

    def contestants(self, scenario: str) -> list[str]:
        """Who took part, in the order of the first round."""
        return list(dict.fromkeys(record.contestant for record in self.records if record.scenario == scenario))

    def spread(self, scenario: str, contestant: str, name: str) -> Spread | None:
        values = [figures[name] for figures in self._figures(scenario, contestant) if name in figures]
        return Spread.of(values) if values else None

    def ratio(self, scenario: str, name: str, other: str) -> Spread | None:
        """The bridge's figure by another's, each round by itself: between rounds the machine may change its pace."""
        own, others = self._by_round(scenario, BRIDGE.name, name), self._by_round(scenario, other, name)
        shares = [own[round_] / others[round_] for round_ in own.keys() & others.keys()]
        return Spread.of(shares) if shares else None

    def levels(self, contestant: str, scenario: str = "streams") -> list[int]:
        """At how many open streams it was measured, or (joining) messages of a conversation."""
        return sorted({row[LEVEL_OF[scenario]] for row in self._rows(contestant, scenario)})

    def at_level(self, contestant: str, level: int, name: str, scenario: str = "streams") -> Spread | None:
        rows = self._rows(contestant, scenario)
        values = [row[name] for row in rows if row[LEVEL_OF[scenario]] == level]
        return Spread.of(values) if values else None

    def faulty(self) -> list[BenchRun]:
        """The runs that lost something, or got stuck."""
        return [record for record in self.records if record.faults or record.error]

    def _rows(self, contestant: str, scenario: str) -> list[dict[str, Any]]:
        return [row for figures in self._figures(scenario, contestant) for row in figures["levels"]]

    def _by_round(self, scenario: str, contestant: str, name: str) -> dict[int, float]:
        return {
            record.round: record.figures[name]
            for record in self.records
            if record.scenario == scenario and record.contestant == contestant and record.figures is not None
        }

    def _figures(self, scenario: str, contestant: str) -> list[dict[str, Any]]:
        return [
            record.figures
            for record in self.records
            if record.scenario == scenario and record.contestant == contestant and record.figures is not None
        ]


def verdicts(results: Results) -> list[Verdict]:
    """The figures to reach (issues 3, 5 and 6), each compared within one and the same run of the benchmark."""
    return [
        *_of_cpu(results),
        *_of_throughput(results),
        *_of_latency(results),
        *_of_streams(results),
        _limit(results, "p99 of 1,000 streams beside one with 2 MiB lines", "large", "large_p99_ms", 50, "ms"),
        _ratio(
            results,
            "webhooks/s on one core, of a plain receiver's",
            "core_webhooks_s",
            HOOK.name,
            "at least",
            1.7,
            "webhooks",
        ),
        _limit(results, "p99 of webhooks, 1,000 of which come a second", "webhooks", "p99_ms", 50, "ms"),
        _of_ledger(results),
        *_of_calls(results),
        *_of_people(results),
        _of_faults(results),
    ]


def _of_calls(results: Results) -> list[Verdict]:
    """Of events that are cold, and of those that join a conversation."""
    most = max(results.levels(BRIDGE.name, "joining"), default=0)
    few, many = (results.at_level(BRIDGE.name, level, "join_us", "joining") for level in (1, most))
    calls = results.at_level(BRIDGE.name, most, "calls", "joining")
    return [
        _ratio(results, "CPU per event of users who are new, of naive's", "cpu_us", NAIVE.name, "at most", 0.2, "cold"),
        Verdict(
            "calls of the API to join a conversation of 10,000 messages",
            "1",
            f"{calls.median:.2f}" if calls else "",
            calls.high == 1 if calls else None,
        ),
        Verdict(
            "CPU to join it, of that with one message",
            "at most 1.3",
            f"{many.median / few.median:.2f}" if few and many else "",
            many.median / few.median <= 1.3 if few and many else None,
        ),
    ]


def _of_people(results: Results) -> list[Verdict]:
    """Of streams that speak as people do."""
    own, raw = (results.spread("human", who.name, "p99_ms") for who in (BRIDGE, RAW))
    added = own.median - raw.median if own and raw else None
    what = "CPU per event, 100 streams of 10 lines a second, of naive's"
    return [
        _ratio(results, what, "cpu_us", NAIVE.name, "at most", 0.45, "human"),
        Verdict(
            "p99 added then",
            "at most 10 ms",
            f"{added:.1f} ms" if added is not None else "",
            None if added is None else added <= 10,
        ),
    ]


def _of_ledger(results: Results) -> Verdict:
    share = results.spread("ledger", BRIDGE.name, "share")
    measured = f"{share.median:.1%} ({share.low:.1%}..{share.high:.1%})" if share else ""
    reached = share.median < 0.04 if share else None
    return Verdict("what the ledger adds to CPU per event", "well under 5 %", measured, reached)


def _of_cpu(results: Results) -> list[Verdict]:
    return [
        _ratio(results, "CPU per event, of naive's", "cpu_us", NAIVE.name, "at most", 1 / 4),
        _ratio(results, "CPU per event, of FastStream's", "cpu_us", FASTSTREAM.name, "at most", 1 / 8),
        _limit(results, "CPU per event", "fill", "cpu_us", 50, "µs"),
    ]


def _of_throughput(results: Results) -> list[Verdict]:
    own = results.spread("fill", BRIDGE.name, "cores")
    broker = results.spread("fill", BRIDGE.name, "broker_cores")
    measured = f"{own.median:.2f} cores, broker {broker.median:.2f}" if own and broker else ""
    rate, most = (results.spread("fill", who.name, "events_s") for who in (BRIDGE, RAW))
    if rate and most:
        measured += f", {rate.median / most.median:.0%} of the raw rate"
    return [
        _ratio(results, "events/s, of naive's", "events_s", NAIVE.name, "at least", 3.0),
        Verdict(
            "the broker, not the bridge, is what is full",
            "bridge below 0.9 cores and below the broker",
            measured,
            own.median < min(0.9, broker.median) if own and broker else None,
        ),
    ]


def _of_latency(results: Results) -> list[Verdict]:
    found = []
    for name, limit in (("p50_ms", 2.0), ("p99_ms", 10.0)):
        own, raw = results.spread("latency", BRIDGE.name, name), results.spread("latency", RAW.name, name)
        added = own.median - raw.median if own and raw else None
        measured = f"{added:.1f} ms ({own.median:.1f} with the broker)" if own and added is not None else ""
        what = f"{name.removesuffix('_ms')} added at 1,000 events/s"
        found.append(Verdict(what, f"at most {limit:g} ms", measured, None if added is None else added <= limit))
    first = results.spread("latency", BRIDGE.name, "first_p50_ms")
    every = results.spread("latency", BRIDGE.name, "p50_ms")
    found.append(
        Verdict(
            "the first event never waits for a later one (40 ms)",
            "p50 below 20 ms",
            f"{first.median:.1f} ms" if first and every else "",
            first.median < 20 if first and every else None,
        )
    )
    return found


def _of_streams(results: Results) -> list[Verdict]:
    most = max(results.levels(BRIDGE.name), default=0)
    few, many = results.at_level(BRIDGE.name, 100, "cpu_us"), results.at_level(BRIDGE.name, most, "cpu_us")
    memory = results.at_level(BRIDGE.name, most, "bytes_per_stream")
    full = most == 10_000
    return [
        Verdict(
            "memory per stream at 10,000",
            "at most 45 KB",
            f"{memory.median / 1000:.1f} KB" if memory and full else "",
            memory.median <= 45_000 if memory and full else None,
        ),
        Verdict(
            "CPU per event at 10,000 streams, of that at 100",
            "at most 1.3",
            f"{many.median / few.median:.2f}" if few and many and full else "",
            many.median / few.median <= 1.3 if few and many and full else None,
        ),
    ]


def _of_faults(results: Results) -> Verdict:
    faulty = [record for record in results.faulty() if record.contestant == BRIDGE.name]
    measured = "; ".join(f"{record.scenario}: {record.faults or 'stuck'}" for record in faulty) or "none"
    asked = any(record.contestant == BRIDGE.name for record in results.records)
    return Verdict("events lost or out of order", "none", measured if asked else "", not faulty if asked else None)


def _ratio(
    results: Results, what: str, name: str, other: str, sense: str, aim: float, scenario: str = "fill"
) -> Verdict:
    share = results.ratio(scenario, name, other)
    holds: Callable[[float], bool] = (lambda x: x <= aim) if sense == "at most" else (lambda x: x >= aim)
    measured = f"{share.median:.3g} ({share.low:.3g}..{share.high:.3g})" if share else ""
    return Verdict(what, f"{sense} {aim:.3g}", measured, holds(share.median) if share else None)


def _limit(results: Results, what: str, scenario: str, name: str, aim: float, unit: str) -> Verdict:
    own = results.spread(scenario, BRIDGE.name, name)
    measured = f"{own.median:.0f} {unit}" if own else ""
    return Verdict(what, f"at most {aim:g} {unit}", measured, own.median <= aim if own else None)
