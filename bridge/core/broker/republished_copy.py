"""Copies of inbound messages: dead letters and delayed ones. What would act again by itself is left out of them."""

from dataclasses import dataclass, replace

from bridge.core.errors import bounded
from bridge.core.event.inbound_message import (
    ATTEMPT,
    COPIES,
    DEAD_LETTERED,
    FIRST_SEEN,
    ORIGIN_EXCHANGE,
    ORIGIN_PRIORITY,
    ORIGIN_ROUTING_KEY,
    PAUSES,
    PROGRESS,
    REFUSED_SINCE,
    WAITS_FOR,
    Headers,
    InboundMessage,
)

# Read by the broker (routes, expiry, counts of deaths and deliveries) or checked by it (user_id): never carried over.
ACTING_HEADERS = frozenset({"x-delivery-count", "x-acquired-count", "x-death", "CC", "BCC"})
ACTING_PREFIXES = ("x-first-death-", "x-last-death-")
ACTING_PROPERTIES = frozenset({"expiration", "user_id"})
OF_REFUSALS = frozenset({REFUSED_SINCE, DEAD_LETTERED})
OF_DELAYS = frozenset({ATTEMPT, PAUSES, COPIES, PROGRESS, ORIGIN_PRIORITY, FIRST_SEEN, WAITS_FOR}) | OF_REFUSALS
"""Headers of delayed copies, which tell a reader of dead letters nothing."""
NOT_COPIED = frozenset({PROGRESS, ORIGIN_PRIORITY, WAITS_FOR}) | OF_REFUSALS
"""Headers of a delayed copy that the next one has only where they still hold."""
OWN_PREFIX = "x-bridge-"
MAX_ORIGIN_BYTES = 255
TRUNCATED = "x-bridge-truncated"
"""On a dead letter that is not whole: `headers` or `body`, whichever was cut last."""
CUT_BODY_BYTES = 65_536
"""Bytes that are left of a body that the broker does not take as it is."""


@dataclass(frozen=True, slots=True)
class CopyExchanges:
    """The names of the exchanges that copies are published to: dead letters, and what comes back after a delay."""

    dead: str
    delay: str


@dataclass(frozen=True, slots=True, eq=False)
class RepublishedCopy:
    """A message that the bridge publishes in place of one which it holds; always persistent, always mandatory.

    `foreign` names the headers that may be left out where they are too much: those that are not the bridge's.
    """

    exchange: str
    routing_key: str
    body: bytes
    properties: Headers
    headers: Headers
    foreign: frozenset[str] = frozenset()


def dead(
    incoming: InboundMessage,
    exchange: str,
    *,
    reason: str,
    error: str,
    attempts: int,
    failed_at: str,
    conversation_id: str | None,
) -> RepublishedCopy:
    """The dead letter for a message: original body and properties, the reason as routing key and in the headers.

    `failed_at` is a time in ISO 8601, UTC.
    """
    from_exchange, from_key = (_cut(name, MAX_ORIGIN_BYTES) for name in incoming.origin)
    facts = {
        "x-bridge-reason": reason,
        "x-bridge-error": bounded(error),
        "x-bridge-attempts": attempts,
        "x-bridge-failed-at": failed_at,
        ORIGIN_EXCHANGE: from_exchange,
        ORIGIN_ROUTING_KEY: from_key,
        "x-bridge-conversation-id": conversation_id,
    }
    kept = {name: value for name, value in _kept(incoming).items() if name not in OF_DELAYS}
    known = {name: value for name, value in facts.items() if value is not None}
    foreign = frozenset(kept.keys() - known.keys())
    properties = _properties(incoming)
    if incoming.priority is not None:
        properties["priority"] = incoming.priority
    return RepublishedCopy(exchange, reason, incoming.body, properties, {**kept, **known}, foreign)


def reduced(letter: RepublishedCopy) -> RepublishedCopy | None:
    """A dead letter that the broker has refused, with less in it: no foreign headers, then a cut body, then none.

    None where nothing more can be left out.
    """
    if letter.foreign:
        own = {name: value for name, value in letter.headers.items() if name not in letter.foreign}
        return replace(letter, headers={**own, TRUNCATED: "headers"}, foreign=frozenset())
    if not letter.body:
        return None
    most = CUT_BODY_BYTES if len(letter.body) > CUT_BODY_BYTES else 0
    return replace(letter, body=letter.body[:most], headers={**letter.headers, TRUNCATED: "body"})


def delayed(
    incoming: InboundMessage,
    exchange: str,
    level_s: int | None,
    *,
    attempt: int,
    pauses: int,
    progress: str | None,
    first_seen_s: float | None = None,
    refused_since_s: float | None = None,
    dead_lettered: bool = False,
    planned: bool = False,
    waits_for: str | None = None,
) -> RepublishedCopy:
    """The copy that waits `level_s` seconds in a delay queue and then comes back to the queue it was taken from.

    Without `level_s` it waits in the held queue, until it is passed on.

    `exchange` leads to the delay queues by their names. `progress` is what is known of requests already made for the
    event, for the delivery that will come; `first_seen_s` (Unix seconds) is when the event came first. The broker
    refuses what is published for it since `refused_since_s`; of a failed event the letter may be out. Where it is
    `planned`, nothing of it is read again: its publisher's headers may be left out if they are too much. `waits_for`
    says why it waits, for people.

    The copy has no priority: in a quorum queue of RabbitMQ 4 it would stand in front of the others, whose time to live
    counts only at the head.
    """
    from_exchange, from_key = (_cut(name, MAX_ORIGIN_BYTES) for name in incoming.origin)
    kept = {name: value for name, value in _kept(incoming).items() if name not in NOT_COPIED}
    headers = {
        **kept,
        ATTEMPT: attempt,
        PAUSES: pauses,
        COPIES: incoming.copies + 1,
        ORIGIN_EXCHANGE: from_exchange,
        ORIGIN_ROUTING_KEY: from_key,
    }
    times = {FIRST_SEEN: first_seen_s, REFUSED_SINCE: refused_since_s}
    facts = {
        ORIGIN_PRIORITY: incoming.priority,
        PROGRESS: progress,
        **{name: None if time_s is None else round(time_s * 1000) for name, time_s in times.items()},
        DEAD_LETTERED: True if dead_lettered else None,
        WAITS_FOR: None if waits_for is None else _cut(waits_for, MAX_ORIGIN_BYTES),
    }
    headers.update({name: fact for name, fact in facts.items() if fact is not None})
    properties = {name: value for name, value in _properties(incoming).items() if name != "priority"}
    queue = held_queue(incoming.queue) if level_s is None else delay_queue(incoming.queue, level_s)
    foreign = frozenset(name for name in kept if not name.startswith(OWN_PREFIX)) if planned else frozenset()
    return RepublishedCopy(exchange, queue, incoming.body, properties, headers, foreign)


def passed_on(held: InboundMessage, exchange: str, queue: str) -> RepublishedCopy:
    """A message of the held queue on its way back to `queue`, as it is; `exchange` leads to queues by their names."""
    return RepublishedCopy(exchange, queue, held.body, _properties(held), _kept(held))


def held_queue(queue: str) -> str:
    """The name of the queue in which messages of `queue` wait for a pause to be lifted."""
    return f"{queue}.held"


def delay_queue(queue: str, level_s: int) -> str:
    """The name of the queue in which messages of `queue` wait `level_s` seconds."""
    return f"{queue}.delay.{level_s}"


def _cut(text: str, most_bytes: int) -> str:
    return text.encode("utf-8", "replace")[:most_bytes].decode("utf-8", "ignore")


def _kept(incoming: InboundMessage) -> dict[str, object]:
    return {
        name: value
        for name, value in incoming.headers.items()
        if name not in ACTING_HEADERS and not name.startswith(ACTING_PREFIXES)
    }


def _properties(incoming: InboundMessage) -> dict[str, object]:
    return {name: value for name, value in incoming.properties.items() if name not in ACTING_PROPERTIES}
