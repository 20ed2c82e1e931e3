"""The table in short, as docs/reliability.md has it: a row for each kind of fault."""

from collections.abc import Sequence

from tests.chaos.comparing import Verdict
from tests.chaos.report import Result, quantile

GROUPS = (
    ("one of two or three replicas killed", ("kill-one-of-",)),
    ("the API's limits, one of two replicas killed", ("limits",)),
    ("`kill -9` at random moments under load", ("kill-random",)),
    ("enrichments of events, kills at random and at each labelled step", ("enrich", "kill-enrichment-")),
    ("`kill -9` at each labelled step of an event", ("kill-",)),
    ("the same event published 2 to 10 times, to one process and to two", ("repeats",)),
    ("broker restarted, connections closed, queue deleted", ("broker-restart", "broker-connections", "broker-queue")),
    ("wires to broker and API cut, stalled, slow", ("broker-", "api-cut", "api-stalled", "api-slow")),
    ("API: resets, silence, EOF, `error`, 5xx, 409, HTML, before and after the commit", ("api-",)),
    ("ledger: disk full, file deleted, PostgreSQL restarted", ("ledger-",)),
    (
        "conversations finished when idle, events that finish, tag and cancel, kills",
        ("idle", "finish", "tag", "cancel"),
    ),
    ("clock stepped by an hour", ("clock",)),
    ("SIGTERM under load, streams longer than the grace", ("sigterm",)),
)
"""A row belongs to the first group that one of its prefixes names."""

COLUMNS = (
    ("lost", ("lost", "unheard")),
    ("interactions too many", ("too_many",)),
    ("endings missing or double", ("missing", "double")),
    ("out of order", ("order", "changed")),
    ("acks too early", ("early_acks",)),
    ("void text shown", ("void_shown",)),
    ("left open", ("unfinished",)),
    ("`uncertain`", ("uncertain",)),
)


def group_of(name: str) -> str:
    """The group's title."""
    return next(title for title, prefixes in GROUPS if name.startswith(prefixes))


def table(results: Sequence[Result]) -> str:
    """Markdown."""
    titles = ["", "times", "events", *(title for title, _ in COLUMNS), "next progress, p50 / p99"]
    lines = ["| " + " | ".join(titles) + " |", "| --- |" + " ---: |" * (len(titles) - 1)]
    for title, _ in GROUPS:
        mine = [one for one in results if group_of(one.name) == title and one.times]
        if mine:
            lines.append(_line(title, mine))
    return "\n".join(lines) + "\n"


def _line(title: str, results: Sequence[Result]) -> str:
    total = Verdict()
    for one in results:
        total.add(one.verdict)
    waits_s = [wait_s for one in results for wait_s in one.recoveries_s]
    counts = [str(sum(getattr(total, name) for name in names)) for _, names in COLUMNS]
    p50, p99 = quantile(waits_s, 0.5), quantile(waits_s, 0.99)
    waits = "" if p50 is None or p99 is None else f"{p50:.1f} / {p99:.1f} s"
    times = sum(one.times for one in results)
    return "| " + " | ".join([title, f"{times:,}", f"{total.events:,}", *counts, waits]) + " |"
