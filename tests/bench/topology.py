"""The queues of a benchmark: inbound exactly as the bridge declares it, outbound as asked for.

The outbound queue is of the kind that hides least of the contestants. Filling, that is a quorum queue: on RabbitMQ 3.10
the raw publisher fills a durable classic queue at about half the rate, with cores to spare, since the processes of a
classic queue work one after the other. For latency it is a durable classic queue: a quorum queue writes to disk before
it delivers. Either kind can be asked for.
"""

import json

from bridge.core.broker.topology import Inbound, inbound_queue
from tests.bench.amqp import Link

INBOUND = "bridge.events"
OUTBOUND = "agent.events"
DEAD = "bridge.dead"
DELAY = "bridge.delay"
SUBSCRIBER = "bench.subscriber"
QUEUE_KINDS = ("quorum", "classic")
KIND_OF = {
    "fill": "quorum",
    "cold": "quorum",
    "joining": "quorum",
    "ledger": "quorum",
    "latency": "classic",
    "human": "classic",
    "large": "classic",
    "streams": "classic",
    "webhooks": "classic",
}
SERVICE = "5f0000000000000000000001"
PERSISTENT = 2


def declare(link: Link, kind: str) -> None:
    """Everything that the contestants need, and an empty durable queue on the outbound exchange."""
    for exchange in (INBOUND, OUTBOUND, DEAD):
        link.exchange(exchange)
    link.exchange(DELAY, "direct")
    inbound = inbound_queue(Inbound(INBOUND, INBOUND, ("#",), prefetch=1, max_bytes=1), DEAD, DELAY)
    link.queue(inbound.name, inbound.arguments)
    for exchange, key in inbound.bindings:
        link.bind(inbound.name, exchange, key)
    link.delete(SUBSCRIBER)
    link.queue(SUBSCRIBER, {"x-queue-type": kind})
    link.bind(SUBSCRIBER, OUTBOUND, "#")


def event(event_id: str, user: int) -> bytes:
    """The body of an external event, in the name of the user of that number."""
    said = {
        "id": event_id,
        "message": "The appointment was moved to 15:30.",
        "user_id": f"bench-user-{user:05}",
        "service_id": SERVICE,
    }
    return json.dumps(said).encode()
