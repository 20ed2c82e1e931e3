"""Pauses, and what each holds: docs/semantics.md, Held by a person, and Refusals in a row.

all        no inbound is consumed, nothing that waits is started
inbound    the same of one inbound
route      events of the route go to the held queue instead of starting
user       the same of the user's events
refusals   the same as of a route, but for one event a minute
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum


class PauseScope(StrEnum):
    """The kind of thing that a pause holds."""

    ALL = "all"
    INBOUND = "inbound"
    ROUTE = "route"
    USER = "user"
    REFUSALS = "refusals"
    """A route, which nobody but the bridge itself holds, since the API refuses event after event of it."""


ORDERED = (PauseScope.ALL, PauseScope.INBOUND, PauseScope.ROUTE, PauseScope.USER)
"""Scopes of the pauses that a person orders."""

UNROUTED = "(none)"
"""The name, among routes, of what no route takes."""


def pause_key(scope: PauseScope, name: str) -> str:
    """The name of a pause: `all`, `inbound:bridge.events`, `route:payments`, `user:4711`."""
    return scope.value if scope is PauseScope.ALL else f"{scope.value}:{name}"


def is_of_refusals(key: str) -> bool:
    """True of the key of a pause over refusals."""
    return key.startswith(f"{PauseScope.REFUSALS.value}:")


@dataclass(frozen=True, slots=True)
class Pause:
    """One pause. `by` ordered it, at `since_s`; it ends by itself at `until_s`, if ever (Unix seconds).

    Of one over refusals, `configuration` tells which one was refused, and `probed_s` when it was last looked whether it
    still is.
    """

    scope: PauseScope
    name: str
    reason: str
    by: str
    since_s: float
    until_s: float | None = None
    configuration: str = ""
    probed_s: float = 0.0

    @property
    def key(self) -> str:
        """The pause's name; there is one pause of each."""
        return pause_key(self.scope, self.name)

    @property
    def words(self) -> str:
        """The pause for a person: `route payments since 2026-01-02T03:04:05Z by ops until …: maintenance`."""
        subject = self.scope.value if self.scope is PauseScope.ALL else f"{self.scope.value} {self.name}"
        until = "" if self.until_s is None else f" until {_time(self.until_s)}"
        reason = f": {self.reason}" if self.reason else ""
        return f"{subject} since {_time(self.since_s)} by {self.by}{until}{reason}"

    @property
    def facts(self) -> dict[str, object]:
        """The same as JSON."""
        until = None if self.until_s is None else _time(self.until_s)
        return {
            "scope": self.scope.value,
            "name": self.name or None,
            "reason": self.reason,
            "by": self.by,
            "since": _time(self.since_s),
            "until": until,
        }

    def holds_at(self, now_s: float) -> bool:
        """False once its end has come."""
        return self.until_s is None or now_s < self.until_s


@dataclass(frozen=True, slots=True)
class PauseSet:
    """All pauses that there are, by their keys."""

    pauses: Mapping[str, Pause]

    @classmethod
    def of(cls, pauses: Iterable[Pause]) -> "PauseSet":
        return cls({pause.key: pause for pause in pauses})

    def paused_queues(self, queues: Iterable[str], now_s: float) -> frozenset[str]:
        """Those of the inbound queues that are not to be consumed."""
        return frozenset(queue for queue in queues if self._of_inbound(queue, now_s) is not None)

    def holding(self, queue: str, route: str | None, user_id: str, now_s: float) -> Pause | None:
        """The pause that keeps back an event which has not started; `user_id` is empty where it is not known yet."""
        return (
            self._of_inbound(queue, now_s)
            or (self._active(pause_key(PauseScope.ROUTE, route), now_s) if route else None)
            or (self._active(pause_key(PauseScope.USER, user_id), now_s) if user_id else None)
            or self._active(pause_key(PauseScope.REFUSALS, route or UNROUTED), now_s)
        )

    def ended(self, now_s: float) -> list[Pause]:
        """Those whose end has come."""
        return [pause for pause in self.pauses.values() if not pause.holds_at(now_s)]

    def _of_inbound(self, queue: str, now_s: float) -> Pause | None:
        everything = self._active(pause_key(PauseScope.ALL, ""), now_s)
        return everything or self._active(pause_key(PauseScope.INBOUND, queue), now_s)

    def _active(self, key: str, now_s: float) -> Pause | None:
        pause = self.pauses.get(key)
        return pause if pause is not None and pause.holds_at(now_s) else None


NO_PAUSES = PauseSet({})


def _time(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
