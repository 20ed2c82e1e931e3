"""Counts since the start, as plain integers: counted on the hot path, read when somebody scrapes."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Counters:
    """Counts of one process. `settled` is keyed by `ack`, `parked` or a dead-letter reason, `outcomes` by outcome,
    `webhooks` by source and outcome, `version_sets` by route and version set,
    `enrichments` by type and outcome.
    """

    received: int = 0
    repeats: int = 0
    conflicts: int = 0
    lines: int = 0
    voids: int = 0
    recovered: int = 0
    finished: int = 0
    unfinished: int = 0
    published: int = 0
    refused: int = 0
    lost: int = 0
    unsaid: int = 0
    streaming: int = 0
    user_lookups: int = 0
    users_created: int = 0
    users_missing: int = 0
    settled: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    webhooks: Counter[tuple[str, str]] = field(default_factory=Counter)
    enrichments: Counter[tuple[str, str]] = field(default_factory=Counter)
    version_sets: Counter[tuple[str, str]] = field(default_factory=Counter)
