"""When an event may start: not before one time, and not after another. docs/semantics.md, Lifetime.

Times are Unix seconds by the bridge's own clock, which the caller brings.
"""

import re
from dataclasses import dataclass
from datetime import datetime

from bridge.core.event.inbound_message import InboundMessage

MAX_AHEAD_S = 7 * 86_400.0
"""How far ahead an event's `not_before` may be when it is first seen."""
RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})"
)


@dataclass(frozen=True, slots=True)
class Overdue:
    """The limit that was passed: `expires_at` as it was published, or `max_wait` as a duration; and how long it was."""

    limit: str
    value: str
    waited_s: float

    @property
    def facts(self) -> dict[str, object]:
        """The facts of the ending `bridge-expired`."""
        return {self.limit: self.value, "waited_s": self.waited_s}


@dataclass(frozen=True, slots=True)
class Lifetime:
    """The limits of one event, at least one of which is set. `expires_at` is as it was published."""

    not_before_s: float | None = None
    expires_at: str | None = None
    max_wait_s: float | None = None

    def early_s(self, now_s: float) -> float:
        """Seconds until the event may start; 0 where it may."""
        return 0.0 if self.not_before_s is None else max(0.0, self.not_before_s - now_s)

    def overdue(self, incoming: InboundMessage, seen_s: float, now_s: float) -> Overdue | None:
        """The limit that is over, the earlier one of two; None where the event may still start.

        `seen_s` is when the message was first seen. `max_wait` counts from the latest of the message's `timestamp`
        (without one: first sight), `not_before`, and the first sight of a requeue.
        """
        since_s = self._since_s(incoming, seen_s)
        limits: list[tuple[float, str, str]] = []
        if self.expires_at is not None:
            limits.append((time_s(self.expires_at), "expires_at", self.expires_at))
        if self.max_wait_s is not None:
            limits.append((since_s + self.max_wait_s, "max_wait", duration_text(self.max_wait_s)))
        moment_s, limit, value = min(limits, default=(now_s + 1.0, "", ""))
        return Overdue(limit, value, round(max(0.0, now_s - since_s), 3)) if moment_s <= now_s else None

    def _since_s(self, incoming: InboundMessage, seen_s: float) -> float:
        published_s = incoming.published_s
        since_s = seen_s if published_s is None else published_s
        if incoming.requeue:
            since_s = max(since_s, seen_s)
        return since_s if self.not_before_s is None else max(since_s, self.not_before_s)


def time_s(text: str) -> float:
    """Unix seconds of a time in RFC 3339 with its zone. Raises ValueError for anything else."""
    if RFC3339.fullmatch(text) is None:
        raise ValueError("not a time with its zone: write 2026-03-01T09:00:00Z or 2026-03-01T10:00:00+01:00")
    return datetime.fromisoformat(text.upper()).timestamp()


def duration_text(seconds: float) -> str:
    """The duration as the configuration would have it, in seconds: `600s`."""
    return f"{seconds:.3f}".rstrip("0").rstrip(".") + "s"
