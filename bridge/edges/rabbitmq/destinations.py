"""Troubles with what is published to, as the broker tells them: logged once as they begin and once as they end.

Nothing of it ends a generation. Events that need none of it go on; if no outbound exchange exists, none is taken.
"""

from collections.abc import Hashable, Mapping, Sequence

from bridge.core.broker.topology import Destination, Topology, Use
from bridge.edges.rabbitmq.generation import BrokerTrouble, TroubleKind
from bridge.edges.rabbitmq.inquiry import Inquiry
from bridge.flow.ports.runtime import Log

CONSEQUENCES: Mapping[Use, str] = {
    Use.INBOUND: "until then nobody can publish events to it, and webhooks are answered 503",
    Use.OUTBOUND: "until then answers for it are refused, and their events undeliverable",
    Use.DEAD: "until then events that fail wait in memory",
    Use.DELAY: "until then events that have to wait do so in memory, for ten minutes at most",
}
NOTHING_TAKEN = "until then no event is taken"
QUEUE_CONSEQUENCE = "until then what is for it waits in memory"


class Destinations:
    """The exchanges that are published to, and queues that were missing when the connection was made."""

    def __init__(self, topology: Topology, log: Log, *, may_declare: bool) -> None:
        self._destinations = topology.destinations
        self._outbound = {each.exchange for each in topology.destinations if each.use is Use.OUTBOUND}
        self._declare_it = "declare it, or restart the bridge" if may_declare else "declare it"
        self._log = log
        self._troubles: dict[Hashable, tuple[str, str]] = {}
        self._missing: set[str] = set()
        """The outbound exchanges that are not there."""
        self._queues: list[str] = []

    @property
    def troubles(self) -> dict[str, str]:
        """Why something cannot be used, by its kind and name, as long as that is so."""
        return dict(self._troubles.values())

    @property
    def nowhere(self) -> bool:
        """True where no outbound exchange exists: no event could have its answer published."""
        return bool(self._outbound) and self._outbound <= self._missing

    def queues_missing(self, names: Sequence[str]) -> None:
        """Note queues that do not exist, in place of those noted before."""
        self._queues = [*dict.fromkeys((*self._queues, *names))]
        for name in self._queues:
            missing = f"missing: {self._declare_it}; {QUEUE_CONSEQUENCE}" if name in names else None
            self._note(name, f"queue {name}", missing)
        self._queues = list(names)

    async def look(self, inquiry: Inquiry) -> None:
        """Ask of each exchange, and of queues that were missing. Raises BrokerTrouble where the broker does not say."""
        for destination in self._destinations:
            trouble = await inquiry.exchange(destination)
            self._missing.discard(destination.exchange)
            if destination.use is Use.OUTBOUND and trouble is not None and trouble.kind is TroubleKind.NOT_FOUND:
                self._missing.add(destination.exchange)
            self._note(destination, f"exchange {destination.exchange}", self._reason(destination, trouble))
        if self._queues:
            still = [name for name in self._queues if not await _exists(inquiry, name)]
            self.queues_missing(still)

    def _reason(self, destination: Destination, trouble: BrokerTrouble | None) -> str | None:
        then = CONSEQUENCES[destination.use]
        if trouble is None or (trouble.kind is TroubleKind.ACCESS and destination.key is None):
            return None  # who may not even look takes it for present
        if trouble.kind is TroubleKind.NOT_FOUND:
            only = destination.use is Use.OUTBOUND and len(self._outbound) == 1
            return f"missing: {self._declare_it}; {NOTHING_TAKEN if only else then}"
        right = "give the bridge's user the right to write to it" if trouble.kind is TroubleKind.ACCESS else "mend it"
        return f"{trouble}: {right}; {then}"

    def _note(self, key: Hashable, name: str, reason: str | None) -> None:
        known = self._troubles.pop(key, None)
        if reason is not None:
            self._troubles[key] = (name, reason)
            if known is None or known[1] != reason:
                self._log.error("destination.unusable", destination=name, error=reason)
        elif known is not None:
            self._log.info("destination.usable", destination=name)


async def _exists(inquiry: Inquiry, queue: str) -> bool:
    trouble = await inquiry.queue(queue)
    return trouble is None or trouble.kind is not TroubleKind.NOT_FOUND
