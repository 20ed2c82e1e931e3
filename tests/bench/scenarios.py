"""What is measured: each scenario takes a contestant through one run and returns plain figures.

fill      as many events as possible, the outbound queue just filling     events/s, CPU per event, cores
latency   1,000 events/s on some forty streams, with a subscriber         from the API's write to the receipt: ms
streams   more and more open streams, 1,000 events/s over all of them     memory per stream, CPU per event
ledger    the same beside a bridge that remembers nothing                 the ledger's part of CPU per event
webhooks  signed POSTs on 64 connections: 1,000 a second, then flat out    ms, webhooks/s, CPU per webhook
cold      the same, each event of another user, answers of 16 lines         CPU per event
joining   events that join a conversation of 1, 100, 10,000 messages        calls of the API and CPU for each
human     100 streams of 10 lines a second, with a subscriber               ms, CPU per event
large     1,001 open streams, one of which says 2 MiB every second        the others' ms
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.bench import amqp, hooks, topology
from tests.bench import ledger as keeping
from tests.bench.api import RateLimits, Script
from tests.bench.contestants import RAW, Contestant
from tests.bench.figures import quantile
from tests.bench.machine import Spent, rss_bytes
from tests.bench.rig import Rig, Run
from tests.bench.side_by_side import Load

Figures = dict[str, Any]

CONCURRENT = 100
USERS = 2 * CONCURRENT
"""Twice as many users as events in hand: an event seldom waits for another one of its user."""
WARM_UP = Script(lines=10)
OPENED_AT_ONCE = 500
LIMIT_S = 90.0
SETTLE_S = 0.5


@dataclass(frozen=True)
class Sizes:
    """How long everything takes."""

    fill_s: float = 6.0
    latency_s: float = 6.0
    levels: tuple[int, ...] = (10, 100, 1_000, 10_000)
    pace_s: float = 2.5
    rate: float = 1_000.0
    large_streams: int = 1_000
    large_s: float = 5.0
    line_bytes: int = 250
    lines: int = 40
    large_bytes: int = 2 * 1024 * 1024
    hooks_s: float = 5.0
    ledger_conversations: int = 4_000
    cold_lines: int = 16
    cold_streams: int = 3_000
    histories: tuple[int, ...] = (1, 100, 10_000)
    joins: int = 1_500
    human_s: float = 12.0
    human_ms: float = 100.0


QUICK = Sizes(
    fill_s=1.0,
    latency_s=2.0,
    levels=(10, 100),
    pace_s=1.0,
    large_streams=100,
    large_s=1.5,
    hooks_s=1.5,
    ledger_conversations=500,
    cold_streams=300,
    histories=(1, 10_000),
    joins=300,
    human_s=5.0,
)


def fill(rig: Rig, contestant: Contestant, sizes: Sizes, profile: Path | None = None) -> Figures:
    """Publish so many events that it takes some seconds; the time from the first publish to the last line queued."""
    script = Script(lines=sizes.lines, size=sizes.line_bytes)
    with rig.run(contestant, CONCURRENT, script, profile) as run:
        rate = _warm_up(run, script)
        streams = int(min(max(rate * sizes.fill_s / script.lines, USERS), 2_500))
        run.begin(script)
        watch = run.watch()
        run.publish(streams, users=USERS)
        run.await_queued(streams * script.lines, LIMIT_S)
        spent = run.stop(watch)
        faults = run.drain()
    lines = streams * script.lines
    return {"events_s": lines / spent.wall_s, **_costs(spent, lines), **_faults(run, faults)}


def latency(rig: Rig, contestant: Contestant, sizes: Sizes) -> Figures:
    """New streams at such a rate that the lines of all together come at `rate`; each line every 40 ms."""
    return _spoken_in_turn(rig, contestant, sizes, 40.0, sizes.latency_s)


def human(rig: Rig, contestant: Contestant, sizes: Sizes) -> Figures:
    """The same with a line every 100 ms: a hundred streams at a time."""
    return _spoken_in_turn(rig, contestant, sizes, sizes.human_ms, sizes.human_s)


def cold(rig: Rig, contestant: Contestant, sizes: Sizes) -> Figures:
    """Events of users of whom nobody has heard, the outbound queue just filling: each signs in and starts."""
    script = Script(lines=sizes.cold_lines, size=sizes.line_bytes)
    with rig.run(contestant, CONCURRENT, script) as run:
        _warm_up(run, script)
        run.begin(script)
        watch = run.watch()
        run.publish(sizes.cold_streams, users=sizes.cold_streams, first_user=USERS)
        run.await_queued(sizes.cold_streams * script.lines, LIMIT_S)
        spent = run.stop(watch)
        faults = run.drain()
    lines = sizes.cold_streams * script.lines
    return {"events_s": lines / spent.wall_s, **_costs(spent, lines), **_faults(run, faults)}


def joining(rig: Rig, contestant: Contestant, sizes: Sizes) -> Figures:
    """Events that join the open conversations of their users: first each user once, then what is measured."""
    found: list[Figures] = []
    first = Script(lines=sizes.cold_lines, size=sizes.line_bytes, messages=sizes.histories[0])
    with rig.run(contestant, CONCURRENT, first) as run:
        for level, messages in enumerate(sizes.histories):
            script = replace(first, messages=messages)
            cold_calls = _joined(run, script, USERS, level * USERS)
            rig.link.purge(topology.SUBSCRIBER)
            watch = run.watch()
            calls = _joined(run, script, sizes.joins, level * USERS)
            costs = _costs(run.stop(watch), sizes.joins * script.lines)
            lost = run.drain()
            join_us = costs["cpu_us"] * script.lines
            found.append({"messages": messages, "calls": calls, "cold_calls": cold_calls, "join_us": join_us, **costs})
            if lost:
                break
    return {"levels": found, **_faults(run, lost)}


def _joined(run: Run, script: Script, events: int, first_user: int) -> float:
    """So many events, each user in turn; the calls that each has cost."""
    run.begin(script)
    run.publish(events, users=USERS, first_user=first_user)
    run.await_queued(events * script.lines, LIMIT_S)
    return float(run.rig.api.status()["calls"]) / events


def _spoken_in_turn(rig: Rig, contestant: Contestant, sizes: Sizes, interval_ms: float, seconds: float) -> Figures:
    script = Script(lines=sizes.lines, size=sizes.line_bytes, interval_ms=interval_ms)
    every_s = script.lines / sizes.rate
    with rig.run(contestant, 5 * CONCURRENT, script) as run, amqp.Link(rig.node.port) as link:
        if contestant is not RAW:
            _warm_up(run, script)
            rig.link.purge(topology.SUBSCRIBER)
        run.begin(script)
        link.consume(topology.SUBSCRIBER, no_ack=True)
        run.account.start_timing()
        watch = run.watch()
        beat = Beat(every_s, lambda number: run.publish(1, users=1, first_user=number % USERS, wait=False))
        run.hear(link, seconds, beat)
        spent, heard = run.stop(watch), run.account.lines
        run.hear_out(link)
        faults = run.faults()
    account = run.account
    return {
        **_waits("", account.waits_ns),
        **_waits("first_", account.first_waits_ns),
        **_costs(spent, heard),
        **_faults(run, faults),
    }


def streams(rig: Rig, contestant: Contestant, sizes: Sizes, profile: Path | None = None) -> Figures:
    """Open ever more streams; at each level, look at the memory and let the streams speak in turn."""
    levels = [level for level in sizes.levels if level <= contestant.most_streams]
    script = Script(size=sizes.line_bytes, hold=True)
    found: list[Figures] = []
    with rig.run(contestant, max(levels) + CONCURRENT, profile=profile) as run:
        _warm_up(run, Script(size=sizes.line_bytes))
        rig.link.purge(topology.SUBSCRIBER)
        run.begin(script)
        idle_bytes, opened = rss_bytes(run.pid), 0
        for level in levels:
            opened = _open(run, opened, level)
            time.sleep(SETTLE_S)
            rss = rss_bytes(run.pid)
            found.append({"streams": level, "bytes_per_stream": (rss - idle_bytes) / level, **_spoken(run, sizes)})
        rig.api.finish()
        _all_queued(run, lambda: rig.api.status()["ended"] >= opened)
        faults = run.drain()
    return {"idle_bytes": idle_bytes, "levels": found, **_faults(run, faults)}


def large(rig: Rig, contestant: Contestant, sizes: Sizes) -> Figures:
    """Many small streams, at first alone, then with one among them that says a very long line now and then."""
    script = Script(size=sizes.line_bytes, hold=True)
    count = sizes.large_streams + 1
    with rig.run(contestant, count + CONCURRENT) as run, amqp.Link(rig.node.port) as link:
        _warm_up(run, Script(size=sizes.line_bytes))
        rig.link.purge(topology.SUBSCRIBER)
        run.begin(script)
        _open(run, 0, count)
        time.sleep(SETTLE_S)
        link.consume(topology.SUBSCRIBER, no_ack=True)
        run.hear_out(link, ended=False)
        alone = _heard(run, link, RateLimits(sizes.rate, sizes.large_s / 2))
        beside = _heard(run, link, RateLimits(sizes.rate, sizes.large_s, sizes.large_bytes, large_every_s=1.0))
        sent_large = len(run.account.large_waits_ns)
        rig.api.finish()
        run.hear_out(link)
        faults = run.faults()
    renamed = {f"large_{name}": value for name, value in beside.items()}
    return {**alone, **renamed, "large_lines": sent_large, **_faults(run, faults)}


def webhooks(rig: Rig, contestant: Contestant, sizes: Sizes) -> Figures:
    """Signed webhooks, each answered 202 after its confirm: at `rate`, then as many as go."""
    return hooks.pour(rig, contestant, sizes.hooks_s, sizes.rate)


def ledger(rig: Rig, contestant: Contestant, sizes: Sizes) -> Figures:
    """What the ledger adds to CPU per event."""
    script = Script(lines=sizes.lines, size=sizes.line_bytes)
    return keeping.compare(rig, Load(script, CONCURRENT // 2, sizes.ledger_conversations, 2 * USERS))


SCENARIOS: dict[str, Callable[..., Figures]] = {
    "fill": fill,
    "latency": latency,
    "cold": cold,
    "joining": joining,
    "human": human,
    "streams": streams,
    "large": large,
    "webhooks": webhooks,
    "ledger": ledger,
}


class Beat:
    """Does something at even intervals, between the reads of a listener, and says how long until the next time."""

    def __init__(self, every_s: float, act: Callable[[int], None]) -> None:
        self._every_s = every_s
        self._act = act
        self._start_s = time.monotonic()
        self._acted = 0

    def __call__(self) -> float:
        now_s = time.monotonic()
        if self._start_s + self._acted * self._every_s <= now_s:
            self._act(self._acted)
            self._acted += 1
        return max(0.0, self._start_s + self._acted * self._every_s - now_s)


def _warm_up(run: Run, script: Script) -> float:
    """Short answers for every user, so that tokens and connections are there; the rate that was reached, roughly."""
    warm = Script(lines=WARM_UP.lines, size=script.size)
    raw = run.contestant is RAW  # says its own script, whatever the API plays
    lines = USERS * (script.lines if raw else warm.lines)
    run.begin(warm)
    start_s = time.monotonic()
    run.publish(USERS, users=USERS)
    run.await_queued(lines, LIMIT_S)
    rate = lines / (time.monotonic() - start_s)
    run.rig.link.purge(topology.SUBSCRIBER)
    return rate


def _open(run: Run, opened: int, level: int) -> int:
    """Open streams until so many are open, each in the name of its own user, some hundred at a time."""
    for first in range(opened, level, OPENED_AT_ONCE):
        more = min(OPENED_AT_ONCE, level - first)
        run.publish(more, users=more, first_user=USERS + first)
        _all_queued(run, lambda upto=first + more: run.rig.api.status()["opened"] >= upto)  # type: ignore[misc]
    return level


def _all_queued(run: Run, condition: Callable[[], bool]) -> None:
    """Wait for the condition, and until all that the API has said is in the outbound queue."""
    state = run.rig.api.status
    run.until(condition, LIMIT_S, lambda: f"the API says {state()}")
    run.await_queued(state()["lines"], LIMIT_S)


def _spoken(run: Run, sizes: Sizes) -> Figures:
    """What it costs when the open streams speak in turn, the outbound queue just filling."""
    before = run.rig.api.status()["lines"]
    watch = run.watch()
    run.rig.api.pace(RateLimits(sizes.rate, sizes.pace_s))
    time.sleep(sizes.pace_s)
    _all_queued(run, lambda: not run.rig.api.status()["pacing"])
    return _costs(run.stop(watch), run.rig.api.status()["lines"] - before)


def _heard(run: Run, link: amqp.Link, pace: RateLimits) -> Figures:
    """The times of what the open streams say at this pace."""
    run.account.start_timing()
    run.rig.api.pace(pace)
    run.hear(link, pace.seconds)
    run.hear_out(link, ended=False)
    return _waits("", run.account.waits_ns)


def _costs(spent: Spent, lines: int) -> Figures:
    return {
        "cpu_us": spent.processes["contestant"] / lines * 1e6,
        "broker_us": spent.processes["broker"] / lines * 1e6,
        "cores": spent.cores("contestant"),
        "broker_cores": spent.cores("broker"),
        "api_cores": spent.cores("api"),
        "foreign_cores": spent.foreign_cores,
        "events": lines,
    }


def _waits(prefix: str, waits_ns: Sequence[int]) -> Figures:
    shares = {"p50": 0.5, "p99": 0.99, "p999": 0.999, "max": 1.0}
    return {f"{prefix}{name}_ms": quantile(waits_ns, share) / 1e6 for name, share in shares.items()} | {
        f"{prefix}count": len(waits_ns)
    }


def _faults(run: Run, faults: dict[str, int]) -> Figures:
    left = {"events not acknowledged": run.left} if run.left else {}
    return {"faults": {**faults, **left}, "repeats": run.account.repeats}
