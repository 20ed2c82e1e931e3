"""Refusals in a row, as far as they speak of a route and not of its events (docs/semantics.md, Refusals in a row).

The API refuses the create of many different events of one route, service and version set with the same status, and
answers none between: a role, a service or the route is wrong.
"""

from collections import OrderedDict
from dataclasses import dataclass

from bridge.core.delivery.progress import RequestKind

SPEAKING = {RequestKind.CREATE: frozenset({403, 404, 422}), RequestKind.INTERACT: frozenset({403})}
"""Statuses that may speak of the route; any other to an interact is about its own conversation or content."""
MAX_RUNS = 1_000
"""Runs that are remembered; beyond that, the one that has not grown for longest is forgotten."""


@dataclass(frozen=True, slots=True)
class RefusalSubject:
    """The part of an event that it has in common with those which are refused for the same reason."""

    route: str
    service_id: str
    version_set: str


def speaks_of_route(request: RequestKind | None, status: int | None) -> bool:
    """True where a refusal with this status may be the fault of the route."""
    return request is not None and status in SPEAKING.get(request, ())


class RefusalRuns:
    """Counts them, as far as one process has seen them. `limit` is how many are too many; 0: never."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._runs: OrderedDict[tuple[RefusalSubject, int], set[str]] = OrderedDict()

    @property
    def none(self) -> bool:
        """True where nothing has been refused since the last answer."""
        return not self._runs

    def refused(self, subject: RefusalSubject, status: int, event_id: str) -> bool:
        """Count it; True where it makes too many. An event that is refused again is not counted again."""
        if not self._limit:
            return False
        run = self._runs.setdefault((subject, status), set())
        self._runs.move_to_end((subject, status))
        if len(self._runs) > MAX_RUNS:
            self._runs.popitem(last=False)
        if len(run) < self._limit:
            run.add(event_id)
        return len(run) >= self._limit

    def answered(self, subject: RefusalSubject) -> None:
        """An event was answered: all runs of its subject are over. Costs nothing where nothing was refused."""
        if self._runs:
            for key in [key for key in self._runs if key[0] == subject]:
                del self._runs[key]

    def forget(self, route: str) -> None:
        """Begin anew with a route: somebody has let it go on."""
        for key in [key for key in self._runs if key[0].route == route]:
            del self._runs[key]
