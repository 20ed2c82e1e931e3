"""The labelled steps of an event, at which a test may end the process. In production nobody listens.

claimed ▸ before-post ▸ post-answered ▸ conversation-recorded ▸ line ▸ … ▸ complete-read ▸ ending-recorded ▸ confirmed
▸ before-complete ▸ before-ack;   parking ▸ parked;   dead-lettering ▸ dead-lettered ▸ failure-said
"""

from collections.abc import Callable

LABELS = (
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

listener: Callable[[str, str], None] | None = None


def reached(label: str, event_id: str) -> None:
    """Tell the listener, where there is one."""
    if listener is not None:
        listener(label, event_id)
