"""`python -m tests.bench`: the bridge beside other ways to do the same, on this machine, in one run.

Exit status: 0 when it ran, 1 when something was lost or got stuck, 2 usage.
"""

import argparse
import gc
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.bench import compare, ledger_by_rows, limits, machine, report, scenarios
from tests.bench.amqp import AmqpError
from tests.bench.contestants import ALL, BRIDGE, FASTSTREAM, HOOK, NAIVE, RAW, SDK, Contestant
from tests.bench.figures import BenchRun, Results, verdicts
from tests.bench.plot import plot
from tests.bench.profiling import PROFILED, profile
from tests.bench.rig import Rig, Stuck
from tests.bench.topology import KIND_OF, QUEUE_KINDS

PROGRAM: dict[str, tuple[Contestant, ...]] = {
    "fill": (BRIDGE, NAIVE, FASTSTREAM, SDK, RAW),
    "ledger": (BRIDGE,),
    "latency": (BRIDGE, NAIVE, FASTSTREAM, SDK, RAW),
    "cold": (BRIDGE, NAIVE),
    "joining": (BRIDGE, NAIVE),
    "human": (BRIDGE, NAIVE, RAW),
    "large": (BRIDGE, NAIVE),
    "streams": (BRIDGE, NAIVE, FASTSTREAM, SDK),
    "webhooks": (BRIDGE, HOOK),
}
ROUNDS = {"fill": 5, "ledger": 3, "latency": 3, "large": 2, "streams": 2, "webhooks": 5}
ROUNDS |= {"cold": 2, "joining": 2, "human": 2}
"""More of what is compared most closely; and a round is short, for the machine changes its pace within minutes."""
OUT = Path(".local/bench")
BUDGET_S = 18.5 * 60
"""On a busy machine the last rounds are left out rather than run for ever."""
Key = tuple[str, Contestant, int]


def main() -> int:
    if sys.argv[1:2] == ["compare"]:
        return compare.main(sys.argv[2:])
    if sys.argv[1:2] == ["ledger"]:
        return ledger_by_rows.main(sys.argv[2:])
    if sys.argv[1:2] == ["limits"]:
        return limits.main(sys.argv[2:])
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
    sizes = scenarios.QUICK if options.quick else scenarios.Sizes()
    machine.many_files()
    options.out.mkdir(parents=True, exist_ok=True)
    with Rig() as rig:
        about = machine.description(rig.rabbitmq_version())
        gc.freeze()
        gc.disable()  # the harness is the subscriber: a collection would show as latency
        if options.profile:
            rig.queue_kind = options.queue or KIND_OF[options.profile]
            print(profile(rig, options.profile, sizes, options.out / "bridge-samples.json"))
            return 0
        results = Results(_measured(rig, sizes, _plan(options), options.queue))
    return _told(about, options, results)


def _plan(options: argparse.Namespace) -> list[Key]:
    """Every run of every round; the contestants take turns, and in each round another one begins."""
    found: list[Key] = []
    for number in range(1, max(options.rounds.values()) + 1):
        for scenario, everybody in PROGRAM.items():
            if scenario not in options.scenario or number > options.rounds[scenario]:
                continue
            contestants = (BRIDGE, NAIVE) if options.quick and scenario == "streams" else everybody
            shift = (number - 1) % len(contestants)
            turns = [*contestants[shift:], *contestants[:shift]]
            found += [(scenario, who, number) for who in turns if who.name in options.only]
    return found


def _measured(rig: Rig, sizes: scenarios.Sizes, plan: Sequence[Key], queue: str | None) -> list[BenchRun]:
    records: list[BenchRun] = []
    begun_s = time.monotonic()
    for done, (scenario, contestant, number) in enumerate(plan, 1):
        start_s = time.monotonic()
        if number > 1 and start_s - begun_s > BUDGET_S:
            print(f"{len(plan) - done + 1} runs of round {number} and later are left out: the time is used up")
            break
        print(f"[{done:2}/{len(plan)}] round {number}  {scenario:8} {contestant.name:11}", end="", flush=True)
        rig.queue_kind = queue or KIND_OF[scenario]
        record = _one(rig, sizes, scenario, contestant, number)
        records.append(record)
        gc.collect()
        print(f"{time.monotonic() - start_s:5.0f} s  {_gist(record)}", flush=True)
    return records


def _one(rig: Rig, sizes: scenarios.Sizes, scenario: str, contestant: Contestant, number: int) -> BenchRun:
    try:
        figures = scenarios.SCENARIOS[scenario](rig, contestant, sizes)
    except (Stuck, AmqpError) as error:
        return BenchRun(scenario, contestant.name, number, error=str(error))
    return BenchRun(scenario, contestant.name, number, figures)


def _gist(record: BenchRun) -> str:
    """The run in one line."""
    if record.figures is None:
        return f"STUCK: {record.error}"
    found, lost = record.figures, f"  FAULTS: {record.faults}" if record.faults else ""
    match record.scenario:
        case "fill" | "cold":
            said = f"{found['events_s']:,.0f} events/s, {found['cpu_us']:.0f} µs each"
        case "ledger":
            said = f"{found['cpu_us']:.0f} µs each, {found['forgetful_us']:.0f} without a ledger: {found['share']:+.1%}"
        case "webhooks":
            said = f"{found['webhooks_s']:,.0f} webhooks/s, {found['cpu_us']:.0f} µs each, "
            said += f"at 1,000/s p50 {found['p50_ms']:.1f} ms, p99 {found['p99_ms']:.1f} ms"
        case "joining":
            rows = (f"{r['messages']}: {r['calls']:.2f} calls, {r['join_us']:.0f} µs" for r in found["levels"])
            said = "; ".join(rows)
        case "latency" | "human":
            said = f"p50 {found['p50_ms']:.1f} ms, p99 {found['p99_ms']:.1f} ms"
        case "streams":
            rows = (
                f"{r['streams']}: {r['bytes_per_stream'] / 1e3:.0f} KB, {r['cpu_us']:.0f} µs" for r in found["levels"]
            )
            said = "; ".join(rows)
        case _:
            said = f"p99 {found['p99_ms']:.1f} ms, beside large lines {found['large_p99_ms']:.1f} ms"
    return said + lost


def _told(about: dict[str, str], options: argparse.Namespace, results: Results) -> int:
    """Write and print everything; the exit status."""
    found = verdicts(results)
    said = {
        "rounds": options.rounds,
        "quick": options.quick,
        "queue": options.queue or KIND_OF,
        "only": sorted(options.only),
    }
    text = report.markdown(about, said, results, found)
    (options.out / "bench.md").write_text(text, encoding="utf-8")
    (options.out / "bench.json").write_text(report.as_json(about, said, results, found), encoding="utf-8")
    written = ["bench.md", "bench.json"]
    if results.contestants("streams"):
        subtitle = f"{about['cpu']}, {about['cores']} cores, Python {about['python']}, RabbitMQ {about['rabbitmq']}"
        plot(results, options.out / "bench.svg", subtitle)
        written.append("bench.svg")
    print(f"\n{text}\nWritten: {', '.join(str(options.out / name) for name in written)}")
    return 1 if results.faulty() else 0


def _options() -> argparse.Namespace:
    names = [contestant.name for contestant in ALL]
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description=__doc__.split("\n")[0],
        epilog="compare BEFORE [AFTER]: two versions of the bridge side by side; compare --help has more; "
        "ledger: what it costs with millions of events; limits: many users against the API's limits",
    )
    parser.add_argument(
        "--rounds", type=int, metavar="N", help="how often each run is repeated (2 to 5; with --quick 1)"
    )
    parser.add_argument("--quick", action="store_true", help="short runs: whether it works, not how fast it is")
    parser.add_argument("--only", action="append", choices=names, help="only this contestant; may be repeated")
    parser.add_argument("--scenario", action="append", choices=list(PROGRAM), help="only this one; may be repeated")
    parser.add_argument("--queue", choices=QUEUE_KINDS, help="kind of the outbound queue (fill: quorum, else classic)")
    parser.add_argument("--out", type=Path, default=OUT, help=f"folder for bench.md, .json and .svg ({OUT})")
    parser.add_argument(
        "--profile",
        nargs="?",
        const="fill",
        choices=PROFILED,
        help="run the bridge alone in this scenario (fill), and print where its CPU time goes",
    )
    options = parser.parse_args()
    rounds = options.rounds or (1 if options.quick else None)
    options.rounds = ROUNDS if rounds is None else dict.fromkeys(PROGRAM, rounds)
    options.only = set(options.only or names)
    options.scenario = options.scenario or list(PROGRAM)
    return options


if __name__ == "__main__":
    sys.exit(main())
