"""A message as the broker hands it over, whatever it holds."""

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from types import MappingProxyType
from typing import Any

from bridge.core.value import value

Headers = Mapping[str, Any]
NO_HEADERS: Headers = MappingProxyType({})
HIGHEST_PRIORITY = 255
MAX_MS = 2**53

# Headers that the bridge writes on the copies which it makes of an inbound message.
ATTEMPT = "x-bridge-attempt"
PROGRESS = "x-bridge-progress"
PAUSES = "x-bridge-pauses"
COPIES = "x-bridge-copies"
ORIGIN_EXCHANGE = "x-bridge-exchange"
ORIGIN_ROUTING_KEY = "x-bridge-routing-key"
ORIGIN_PRIORITY = "x-bridge-priority"
FIRST_SEEN = "x-bridge-first-seen"
REFUSED_SINCE = "x-bridge-refused-since"
WAITS_FOR = "x-bridge-waits-for"
DEAD_LETTERED = "x-bridge-dead-lettered"
REQUEUE = "x-bridge-requeue"
# The webhook's name, on what came in by one.
SOURCE = "x-bridge-source"

PLAIN_ENCODINGS = frozenset({"", "identity", "utf-8", "utf8"})
"""Content encodings that change nothing. UTF-8 is none, but some senders say it there."""


@value(frozen=True, slots=True)
class InboundMessage:
    """One inbound message: raw body, AMQP properties by their AMQP names (unset ones absent), headers apart.

    `unreadable` names the properties that the sender wrote in bytes which are no text, or no time. `redelivered` is the
    broker's flag, and the only word for whether the message was delivered before: `x-delivery-count` and
    `x-acquired-count` count other things on each version of RabbitMQ, and of a first delivery they are what the
    publisher wrote.
    """

    body: bytes
    queue: str = ""
    exchange: str = ""
    routing_key: str = ""
    redelivered: bool = False
    properties: Headers = field(default_factory=lambda: NO_HEADERS)
    headers: Headers = field(default_factory=lambda: NO_HEADERS)
    unreadable: tuple[str, ...] = ()

    @property
    def message_id(self) -> str | None:
        return self.properties.get("message_id") or None

    @property
    def content_type(self) -> str:
        """The media type in lower case, without parameters; empty where the publisher sent none."""
        return str(self.properties.get("content_type") or "").split(";")[0].strip().lower()

    @property
    def attempt(self) -> int:
        """Attempts that earlier deliveries of this event have used up."""
        return self._count(ATTEMPT)

    @property
    def pauses(self) -> int:
        """Waits in a row that were not the event's fault."""
        return self._count(PAUSES)

    @property
    def requeue(self) -> int:
        """The number of the requeue that this message is, 0 for none."""
        return self._count(REQUEUE)

    @property
    def copies(self) -> int:
        """How often the event has been in a delay queue."""
        return self._count(COPIES)

    @property
    def edition(self) -> tuple[object, ...]:
        """The mark that tells this message from later copies of the same event: delayed ones, requeued ones."""
        return (self.copies, self.headers.get(REQUEUE), str(self.headers.get("x-bridge-failed-at")))

    @property
    def origin(self) -> tuple[str, str]:
        """Exchange and routing key of the first publish, also for a copy that came back from a delay queue."""
        return (
            str(self.headers.get(ORIGIN_EXCHANGE, self.exchange)),
            str(self.headers.get(ORIGIN_ROUTING_KEY, self.routing_key)),
        )

    @property
    def published_s(self) -> float | None:
        """The publisher's `timestamp`, in Unix seconds; None without one."""
        timestamp = self.properties.get("timestamp")
        return timestamp.timestamp() if isinstance(timestamp, datetime) else None

    @property
    def first_seen_s(self) -> float | None:
        """When the event was first seen, in Unix seconds, as a copy that came back from a delay queue has it."""
        return self._time_s(FIRST_SEEN)

    @property
    def refused_since_s(self) -> float | None:
        """Since when the broker refuses what is published for the event (Unix seconds), as a delayed copy has it."""
        return self._time_s(REFUSED_SINCE)

    @property
    def dead_lettered(self) -> bool:
        """True where the dead letter of the event is out, as a delayed copy has it, and `bridge-failed` is not."""
        return self.headers.get(DEAD_LETTERED) is True

    @property
    def priority(self) -> int | None:
        """The priority of the first publish, also for a copy that came back from a delay queue without one."""
        value = self.properties.get("priority", self.headers.get(ORIGIN_PRIORITY))
        known = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= HIGHEST_PRIORITY
        return value if known else None

    def _time_s(self, header: str) -> float | None:
        value = self.headers.get(header)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= MAX_MS:
            return None
        return value / 1000

    def _count(self, header: str) -> int:
        value = self.headers.get(header)
        if value is None:
            return 0
        return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1_000_000 else 0
