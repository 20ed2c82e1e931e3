"""What must exist at the broker, as values: who declares or verifies it is not decided here."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bridge.core.backoff import DELAY_LEVELS_S
from bridge.core.dead_letter import delay_queue

DELIVERY_LIMIT = 100
DEAD_DELIVERY_LIMIT = 1_000_000


@dataclass(frozen=True, slots=True)
class Queue:
    """A durable quorum queue, and the bindings (exchange, key) that feed it."""

    name: str
    arguments: Mapping[str, Any]
    bindings: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Topology:
    """Durable topic exchanges without arguments, and the queues."""

    exchanges: tuple[str, ...]
    queues: tuple[Queue, ...]


@dataclass(frozen=True, slots=True)
class Inbound:
    """One inbound: its exchange, its queue, the binding keys between them, and how many deliveries are held at once."""

    exchange: str
    queue: str
    bindings: tuple[str, ...]
    prefetch: int
    max_bytes: int


def inbound_queue(inbound: Inbound, dead_exchange: str) -> Queue:
    """The queue from which events are taken."""
    arguments = {
        "x-queue-type": "quorum",
        "x-delivery-limit": DELIVERY_LIMIT,
        "x-dead-letter-exchange": dead_exchange,
        "x-dead-letter-routing-key": "poison",
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
    keys = inbound.bindings if inbound.exchange else ()  # the default exchange reaches every queue by its name
    return Queue(inbound.queue, arguments, tuple((inbound.exchange, key) for key in keys))


def delay_queues(queue: str) -> list[Queue]:
    """One queue a delay: a message waits there for the queue's time to live and is then dead-lettered back.

    Time to live is enforced at the head of a queue only, hence one queue for each delay (rabbitmq.com, TTL).
    """
    return [
        Queue(
            delay_queue(queue, level),
            {
                "x-queue-type": "quorum",
                "x-message-ttl": level * 1000,
                "x-dead-letter-exchange": "",
                "x-dead-letter-routing-key": queue,
                "x-dead-letter-strategy": "at-least-once",
                "x-overflow": "reject-publish",
            },
        )
        for level in DELAY_LEVELS_S
    ]


def dead_queue(name: str, exchange: str) -> Queue:
    """Where dead letters wait for a person: looking at them, however often, must not destroy them."""
    arguments = {"x-queue-type": "quorum", "x-delivery-limit": DEAD_DELIVERY_LIMIT}
    return Queue(name, arguments, ((exchange, "#"),))


def topology(
    inbounds: tuple[Inbound, ...], outbound_exchanges: tuple[str, ...], dead_exchange: str, dead: str
) -> Topology:
    """Everything that the bridge publishes to or takes from."""
    exchanges = dict.fromkeys((dead_exchange, *(inbound.exchange for inbound in inbounds), *outbound_exchanges))
    queues = [dead_queue(dead, dead_exchange)]
    for inbound in inbounds:
        queues += [inbound_queue(inbound, dead_exchange), *delay_queues(inbound.queue)]
    return Topology(tuple(name for name in exchanges if name), tuple(queues))
