"""Copies of inbound messages: dead letters and delayed ones. What would act again by itself is left out of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bridge.core.incoming import ATTEMPT, COPIES, ORIGIN_EXCHANGE, ORIGIN_ROUTING_KEY, PAUSES, RECORD, Incoming

# Read by the broker (routes, expiry, death counts) or checked by it (user_id), so never carried over.
ACTING_HEADERS = frozenset({"x-delivery-count", "x-death", "CC", "BCC"})
ACTING_PREFIX = "x-first-death-"
ACTING_PROPERTIES = frozenset({"expiration", "user_id"})
LONGEST_ERROR = 1_000


@dataclass(frozen=True, slots=True, eq=False)
class Copy:
    """A message that the bridge publishes in place of one which it holds; always persistent, always mandatory."""

    exchange: str
    routing_key: str
    body: bytes
    properties: Mapping[str, Any]
    headers: Mapping[str, Any]


def dead(
    incoming: Incoming,
    exchange: str,
    *,
    reason: str,
    error: str,
    attempts: int,
    failed_at: str,
    conversation_id: str | None,
) -> Copy:
    """The dead letter for a message: original body and properties, the reason as routing key and in the headers.

    `failed_at` is a time in ISO 8601, UTC.
    """
    from_exchange, from_key = incoming.origin
    told = {
        "x-bridge-reason": reason,
        "x-bridge-error": error[:LONGEST_ERROR],
        "x-bridge-attempts": attempts,
        "x-bridge-failed-at": failed_at,
        ORIGIN_EXCHANGE: from_exchange,
        ORIGIN_ROUTING_KEY: from_key,
        "x-bridge-conversation-id": conversation_id,
    }
    kept = {name: value for name, value in _kept(incoming).items() if name not in (ATTEMPT, PAUSES, COPIES, RECORD)}
    headers = {**kept, **{name: value for name, value in told.items() if value is not None}}
    return Copy(exchange, reason, incoming.body, _properties(incoming), headers)


def delayed(incoming: Incoming, level_s: int, *, attempt: int, pauses: int, record: str | None) -> Copy:
    """The copy that waits `level_s` seconds in a delay queue and then comes back to the queue it was taken from.

    `record` is what is known of requests already made for the event, for the delivery that will come.
    """
    from_exchange, from_key = incoming.origin
    headers = {
        **{name: value for name, value in _kept(incoming).items() if name != RECORD},
        ATTEMPT: attempt,
        PAUSES: pauses,
        COPIES: incoming.copies + 1,
        ORIGIN_EXCHANGE: from_exchange,
        ORIGIN_ROUTING_KEY: from_key,
    }
    if record is not None:
        headers[RECORD] = record
    return Copy("", delay_queue(incoming.queue, level_s), incoming.body, _properties(incoming), headers)


def delay_queue(queue: str, level_s: int) -> str:
    """The name of the queue in which messages of `queue` wait `level_s` seconds."""
    return f"{queue}.delay.{level_s}"


def _kept(incoming: Incoming) -> dict[str, Any]:
    return {
        name: value
        for name, value in incoming.headers.items()
        if name not in ACTING_HEADERS and not name.startswith(ACTING_PREFIX)
    }


def _properties(incoming: Incoming) -> dict[str, Any]:
    return {name: value for name, value in incoming.properties.items() if name not in ACTING_PROPERTIES}
