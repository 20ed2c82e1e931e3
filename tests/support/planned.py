"""A plan in which every field says something, and some what is hard to write down."""

from math import inf

from bridge.core.ledger.planned_event import PlannedEvent

PLANNED = PlannedEvent(
    user_id="user-1",
    by_email=True,
    service_id="5f" * 12,
    channel="voice",
    version_set="canary",
    route="Zahlungen ¶",
    finish_s=inf,
    response_format="voice",
    tags={"source": "crm", "x y": "z"},
    text="0123456789abcdef",
)
