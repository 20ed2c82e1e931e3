"""The queues of a benchmark: inbound exactly as the bridge declares it, outbound as asked for."""

import json

from bridge.core.topology import Inbound, inbound_queue
from tests.bench.amqp import Link

INBOUND = "bridge.events"
OUTBOUND = "agent.events"
DEAD = "bridge.dead"
SUBSCRIBER = "bench.subscriber"
QUEUE_KINDS = ("classic", "quorum")
SERVICE = "5f0000000000000000000001"
PERSISTENT = 2


def declare(link: Link, kind: str) -> None:
    """Everything that the contestants need, and an empty durable queue on the outbound exchange."""
    for exchange in (INBOUND, OUTBOUND, DEAD):
        link.exchange(exchange)
    inbound = inbound_queue(Inbound(INBOUND, INBOUND, ("#",), prefetch=1, max_bytes=1), DEAD)
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
