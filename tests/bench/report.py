"""The results for people (Markdown tables) and for machines (JSON)."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from tests.bench.contestants import ALL
from tests.bench.figures import LEVEL_OF, Results, Spread, Verdict

TITLES = {contestant.name: contestant.title for contestant in ALL}
Column = tuple[str, str, Callable[[float], str]]


def whole(value: float) -> str:
    return f"{value:,.0f}"


def tenths(value: float) -> str:
    return f"{value:.1f}" if abs(value) < 100 else whole(value)


def hundredths(value: float) -> str:
    return f"{value:.2f}"


def percent(value: float) -> str:
    return f"{value * 100:.1f}"


def kilobytes(value: float) -> str:
    return f"{value / 1000:.1f}"


FILL: tuple[Column, ...] = (
    ("events/s", "events_s", whole),
    ("CPU µs/event", "cpu_us", whole),
    ("its cores", "cores", hundredths),
    ("broker's cores", "broker_cores", hundredths),
    ("broker's µs/event", "broker_us", whole),
    ("API's cores", "api_cores", hundredths),
    ("others' cores", "foreign_cores", hundredths),
)
LATENCY: tuple[Column, ...] = (
    ("p50 ms", "p50_ms", tenths),
    ("p99 ms", "p99_ms", tenths),
    ("p99.9 ms", "p999_ms", tenths),
    ("first p50 ms", "first_p50_ms", tenths),
    ("first p99 ms", "first_p99_ms", tenths),
    ("first p99.9 ms", "first_p999_ms", tenths),
    ("CPU µs/event", "cpu_us", whole),
    ("others' cores", "foreign_cores", hundredths),
)
WEBHOOKS: tuple[Column, ...] = (
    ("webhooks/s", "webhooks_s", whole),
    ("webhooks/s on one core", "core_webhooks_s", whole),
    ("CPU µs/webhook", "cpu_us", whole),
    ("its cores", "cores", hundredths),
    ("broker's cores", "broker_cores", hundredths),
    ("others' cores", "foreign_cores", hundredths),
    ("p50 ms at 1,000/s", "p50_ms", tenths),
    ("p99 ms", "p99_ms", tenths),
    ("p99.9 ms", "p999_ms", tenths),
    ("others' cores then", "paced_foreign_cores", hundredths),
)
LEDGER: tuple[Column, ...] = (
    ("CPU µs/event", "cpu_us", tenths),
    ("of it in the ledger's thread", "thread_us", tenths),
    ("without a ledger", "forgetful_us", tenths),
    ("more, %", "share", percent),
)
LARGE: tuple[Column, ...] = (
    ("alone p50 ms", "p50_ms", tenths),
    ("alone p99 ms", "p99_ms", tenths),
    ("beside it p50 ms", "large_p50_ms", tenths),
    ("beside it p99 ms", "large_p99_ms", tenths),
    ("worst ms", "large_max_ms", tenths),
)


def markdown(
    machine: Mapping[str, str], options: Mapping[str, object], results: Results, verdicts: Sequence[Verdict]
) -> str:
    """Everything that a reader needs, the figures to reach first."""
    parts = [
        "# Benchmark",
        _sentence(machine, options, results),
        "Each cell is the median of all rounds, with the lowest and the highest; a ratio is taken round by round.",
        *_section("Figures to reach", _verdict_table(verdicts)),
        *_section(
            f"As fast as it goes: the outbound queue ({_kind(options, 'fill')}) just filling, 100 events in hand",
            _table("fill", FILL, results),
        ),
        *_section(
            "What the ledger costs: two bridges at one queue in the same seconds, one of which remembers nothing",
            _table("ledger", LEDGER, results),
        ),
        *_section(
            f"From the API's write to the subscriber's receipt ({_kind(options, 'latency')} queue), at 1,000 events/s",
            _table("latency", LATENCY, results),
        ),
        *_section(
            "The same with a line every 100 ms: 100 streams of 10 lines a second", _table("human", LATENCY, results)
        ),
        *_section("Each event of another user, answers of 16 lines", _table("cold", FILL, results)),
        *_section(
            "Calls of the API for an event that joins, by messages in its conversation",
            _level_table(results, "calls", hundredths, "joining"),
        ),
        *_section(
            "The same, the first time that the process sees the conversation",
            _level_table(results, "cold_calls", hundredths, "joining"),
        ),
        *_section(
            "CPU µs for an event that joins, its answer of 16 lines with it",
            _level_table(results, "join_us", whole, "joining"),
        ),
        *_section("Memory per open stream, KB", _level_table(results, "bytes_per_stream", kilobytes)),
        *_section("CPU µs/event, by open streams, at 1,000 events/s", _level_table(results, "cpu_us", whole)),
        *_section(
            "Open streams that say 1,000 events/s, alone and beside one that says 2 MiB a second",
            _table("large", LARGE, results),
        ),
        *_section(
            "Signed webhooks, each answered 202 after its confirm: as fast as they are answered, and 1,000 a second",
            _table("webhooks", WEBHOOKS, results),
        ),
        *_section("Not as it should be", _faults(results)),
    ]
    return "\n\n".join(parts) + "\n"


def as_json(
    machine: Mapping[str, str], options: Mapping[str, object], results: Results, verdicts: Sequence[Verdict]
) -> str:
    """All records of all rounds, and the verdicts."""
    said: dict[str, Any] = {
        "machine": dict(machine),
        "options": dict(options),
        "verdicts": [asdict(verdict) for verdict in verdicts],
        "records": [asdict(record) for record in results.records],
    }
    return json.dumps(said, indent=1)


def _sentence(machine: Mapping[str, str], options: Mapping[str, Any], results: Results) -> str:
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory']}, {machine['system']}; "
        f"Python {machine['python']}, RabbitMQ {machine['rabbitmq']} on Erlang {machine['erlang']}; "
        f"{machine['packages']}. Rounds: {_rounds(options, results)}; load before: {machine['load before']}."
    )


def _rounds(options: Mapping[str, Any], results: Results) -> str:
    measured = [f"{scenario} {count}" for scenario, count in options["rounds"].items() if results.contestants(scenario)]
    return ", ".join(measured)


def _kind(options: Mapping[str, object], scenario: str) -> str:
    kinds = options["queue"]
    return str(kinds[scenario] if isinstance(kinds, dict) else kinds)


def _section(title: str, text: str) -> list[str]:
    return [f"## {title}", text] if text else []


def _verdict_table(verdicts: Sequence[Verdict]) -> str:
    words = {True: "reached", False: "not reached", None: "not measured"}
    rows = [[verdict.what, verdict.aim, verdict.measured, words[verdict.reached]] for verdict in verdicts]
    return _aligned([["", "aim", "measured", ""], *rows])


def _table(scenario: str, columns: Sequence[Column], results: Results) -> str:
    names = results.contestants(scenario)
    if not names:
        return ""
    rows = [
        [TITLES[name], *(_cell(results.spread(scenario, name, field), form) for _, field, form in columns)]
        for name in names
    ]
    return _aligned([["", *(title for title, _, _ in columns)], *rows])


def _level_table(results: Results, field: str, form: Callable[[float], str], scenario: str = "streams") -> str:
    names = results.contestants(scenario)
    levels = sorted({level for name in names for level in results.levels(name, scenario)})
    if not levels:
        return ""
    rows = [
        [TITLES[name], *(_cell(results.at_level(name, level, field, scenario), form) for level in levels)]
        for name in names
    ]
    title = "open streams" if scenario == "streams" else LEVEL_OF[scenario]
    return _aligned([[title, *(whole(level) for level in levels)], *rows])


def _faults(results: Results) -> str:
    return "\n".join(
        f"* {TITLES[record.contestant]}, {record.scenario}, round {record.round}: "
        + (record.error or ", ".join(f"{number} {name}" for name, number in record.faults.items()))
        for record in results.faulty()
    )


def _cell(spread: Spread | None, form: Callable[[float], str]) -> str:
    if spread is None:
        return ""
    if form(spread.low) == form(spread.high):
        return form(spread.median)
    return f"{form(spread.median)} ({form(spread.low)}..{form(spread.high)})"


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table that can be read as it is: the first column to the left, the rest to the right."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines = [
        "| "
        + " | ".join(cell.rjust(width) if at else cell.ljust(width) for at, (cell, width) in enumerate(pairs))
        + " |"
        for pairs in (list(zip(row, widths, strict=True)) for row in rows)
    ]
    rule = "| " + " | ".join("-" * (width - 1) + (":" if at else "-") for at, width in enumerate(widths)) + " |"
    return "\n".join([lines[0], rule, *lines[1:]])
