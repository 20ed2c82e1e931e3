"""The labelled steps of an event, at which a test may end the process. In production nobody listens.

claimed ▸ before-post ▸ post-answered ▸ conversation-recorded ▸ line ▸ … ▸ complete-read ▸ ending-recorded ▸ confirmed
▸ before-complete ▸ before-ack;   parking ▸ parked;   dead-lettering ▸ dead-lettered ▸ failure-said;
of a conversation that is due to be finished:   finish-taken ▸ finish-requested ▸ finish-answered ▸ finish-recorded
▸ finish-said;
of an event that a person keeps back:   holding ▸ held;
of an enrichment of an event that is complete otherwise:   enrichment-read ▸ enrichment-recorded ▸ enrichment-said
"""

from collections.abc import Callable

EVENT_LABELS = (
    "claimed",
    "before-post",
    "post-answered",
    "conversation-recorded",
    "line",
    "complete-read",
    "ending-recorded",
    "confirmed",
    "before-complete",
    "before-ack",
    "parking",
    "parked",
    "dead-lettering",
    "dead-lettered",
    "failure-said",
)
FINISH_LABELS = (
    "finish-taken",
    "finish-requested",
    "finish-answered",
    "finish-recorded",
    "finish-said",
)

ENRICH_LABELS = (
    "enrichment-read",
    "enrichment-recorded",
    "enrichment-said",
)

HOLD_LABELS = (
    "holding",
    "held",
)

Listener = Callable[[str, str], None]
"""Told of a step's label and the event's id."""

_listener: Listener | None = None


def listen(listener: Listener | None) -> None:
    """Tell this one of every step from now on, or nobody."""
    global _listener
    _listener = listener


def reached(label: str, event_id: str) -> None:
    """Tell the listener, where there is one."""
    if _listener is not None:
        _listener(label, event_id)
