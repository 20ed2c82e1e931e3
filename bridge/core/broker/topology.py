"""Exchanges, queues and bindings that must exist, as values; edges declare or verify them."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from types import MappingProxyType
from typing import Literal

from bridge.core.broker.republished_copy import delay_queue, held_queue
from bridge.core.delivery.outcome import OutcomeKind
from bridge.core.delivery.retry import DELAY_LEVELS_S

DELIVERY_LIMIT = 100
DEAD_DELIVERY_LIMIT = 1_000_000
NO_KEYS: Mapping[str, str] = MappingProxyType({})
CONTROL_EXCHANGE = "bridge.control"
"""The fanout exchange of commands to the replicas, and of their answers."""
CONTROL_TTL_S = 60.0


@dataclass(frozen=True, slots=True)
class Exchange:
    """A durable exchange without arguments."""

    name: str
    type: Literal["topic", "direct"] = "topic"


@dataclass(frozen=True, slots=True)
class Queue:
    """A durable quorum queue, and the bindings (exchange, key) that feed it.

    `as_found`: one that exists with other arguments is used as it is.
    """

    name: str
    arguments: Mapping[str, str | int]
    bindings: tuple[tuple[str, str], ...] = ()
    as_found: bool = False


class Use(Enum):
    """The purpose of an exchange: what suffers where it cannot be used."""

    INBOUND = auto()
    OUTBOUND = auto()
    DEAD = auto()
    DELAY = auto()


@dataclass(frozen=True, slots=True)
class Destination:
    """An exchange that is published to, with a key that is used there; None: by others, so that it need only exist."""

    exchange: str
    key: str | None
    use: Use


@dataclass(frozen=True, slots=True)
class Topology:
    """The exchanges and queues; `consumed` are the queues that events are taken from.

    No `destinations`: nothing is asked about the exchanges once they are declared or verified.
    """

    exchanges: tuple[Exchange, ...]
    queues: tuple[Queue, ...]
    consumed: tuple[str, ...]
    destinations: tuple[Destination, ...] = ()


@dataclass(frozen=True, slots=True)
class Inbound:
    """One inbound: its exchange, its queue, the binding keys between them, and how many deliveries are held at once.

    `single_active`: of several consumers of the queue one gets everything, and another only when that one has gone.
    """

    exchange: str
    queue: str
    bindings: tuple[str, ...]
    prefetch: int
    max_bytes: int
    single_active: bool = False


def inbound_queue(inbound: Inbound, dead_exchange: str, delay_exchange: str) -> Queue:
    """The queue from which events are taken."""
    arguments: dict[str, str | int] = {
        "x-queue-type": "quorum",
        "x-delivery-limit": DELIVERY_LIMIT,
        "x-dead-letter-exchange": dead_exchange,
        "x-dead-letter-routing-key": "poison",
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
    if inbound.single_active:
        arguments["x-single-active-consumer"] = True
    keys = inbound.bindings if inbound.exchange else ()  # the default exchange reaches every queue by its name
    fed_by = tuple((inbound.exchange, key) for key in keys)
    return Queue(inbound.queue, arguments, (*fed_by, (delay_exchange, inbound.queue)))


def delay_queues(queue: str, delay_exchange: str) -> list[Queue]:
    """One queue a delay: a message waits there for the queue's time to live and is then dead-lettered back.

    Time to live is enforced at the head of a queue only, hence one queue for each delay (rabbitmq.com, TTL). There and
    back go through an exchange of the bridge's own, so that it needs no right on the default exchange.
    """
    return [
        Queue(
            delay_queue(queue, level),
            {
                "x-queue-type": "quorum",
                "x-message-ttl": level * 1000,
                "x-dead-letter-exchange": delay_exchange,
                "x-dead-letter-routing-key": queue,
                "x-dead-letter-strategy": "at-least-once",
                "x-overflow": "reject-publish",
            },
            ((delay_exchange, delay_queue(queue, level)),),
            as_found=True,
        )
        for level in DELAY_LEVELS_S
    ]


def held_queue_of(queue: str, dead_exchange: str, delay_exchange: str) -> Queue:
    """The queue in which a pause keeps messages of `queue` back. They are looked at, and put back, any number of times.

    There and back goes through the same exchange as to a delay.
    """
    arguments: dict[str, str | int] = {
        "x-queue-type": "quorum",
        "x-delivery-limit": DEAD_DELIVERY_LIMIT,
        "x-dead-letter-exchange": dead_exchange,
        "x-dead-letter-routing-key": "poison",
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
    name = held_queue(queue)
    return Queue(name, arguments, ((delay_exchange, name),))


def dead_queue(name: str, exchange: str) -> Queue:
    """The queue in which dead letters wait for a person: looking at them, however often, must not destroy them."""
    arguments: dict[str, str | int] = {"x-queue-type": "quorum", "x-delivery-limit": DEAD_DELIVERY_LIMIT}
    return Queue(name, arguments, ((exchange, "#"),))


def topology(
    inbounds: tuple[Inbound, ...],
    outbound_exchanges: tuple[str, ...],
    *,
    dead_exchange: str,
    dead: str,
    delay_exchange: str,
    keys: Mapping[str, str] = NO_KEYS,
) -> Topology:
    """Everything that the bridge publishes to or takes from; `dead` is the dead letters' queue.

    `keys` are routing keys that are used at the outbound exchanges, one each.
    """
    topics = dict.fromkeys((dead_exchange, *(inbound.exchange for inbound in inbounds), *outbound_exchanges))
    queues = [dead_queue(dead, dead_exchange)]
    for inbound in inbounds:
        queues += [
            inbound_queue(inbound, dead_exchange, delay_exchange),
            *delay_queues(inbound.queue, delay_exchange),
            held_queue_of(inbound.queue, dead_exchange, delay_exchange),
        ]
    exchanges = (*(Exchange(name) for name in topics if name), Exchange(delay_exchange, "direct"))
    consumed = tuple(inbound.queue for inbound in inbounds)
    destinations = (
        *(Destination(name, keys.get(name), Use.OUTBOUND) for name in dict.fromkeys(outbound_exchanges)),
        Destination(dead_exchange, OutcomeKind.REJECTED.value, Use.DEAD),
        Destination(delay_exchange, delay_queue(consumed[0], DELAY_LEVELS_S[0]), Use.DELAY),
        *(Destination(name, None, Use.INBOUND) for name in dict.fromkeys(each.exchange for each in inbounds) if name),
    )
    return Topology(exchanges, tuple(queues), consumed, destinations)
