"""The comparison of enrichments: each that is wanted is there once, or said not to be had, after the ending.

It knows nothing of the bridge: only ids, types and bodies.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from tests.chaos.comparing import COMPLETE, Told, Verdict

TYPES: Mapping[str, str] = {
    "insights": "interaction-insights",
    "recommended-responses": "recommended-responses",
    "message-source": "message-source",
    "messages": "conversation-messages",
}
FAILED = "bridge-enrichment-failed"
ALL = {"routes": [{"name": "rich", "enrich": list(TYPES)}], "channels": {"api": {"response_format": "voice"}}}
"""The configuration that wants all of every event; each answer is one voice message."""


def wanted(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The enrichments that every event wants under this configuration."""
    return tuple(name for route in config.get("routes", ()) for name in route.get("enrich", ()))


def lacking(told: Iterable[Told], names: Collection[str]) -> set[str]:
    """The events that are answered, and of which an enrichment is neither there nor said not to be had."""
    answered, seen = set(), defaultdict(set)
    for message in told:
        if message.type == COMPLETE:
            answered.add(message.event_id)
        elif (name := _name(message)) is not None:
            seen[message.event_id].add(name)
    return {event_id for event_id in answered if not seen[event_id].issuperset(names)}


def compare_enrichments(told: Sequence[Told], names: Collection[str]) -> Verdict:
    """Each event that is answered has each of them once, after its ending; others have none."""
    verdict = Verdict()
    ids: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    ended: set[str] = set()
    for message in told:
        name = _name(message)
        if message.type == COMPLETE:
            ended.add(message.event_id)
        elif name is not None:
            ids[message.event_id, name].add(message.message_id)
            if message.event_id not in ended:
                verdict.found("order", f"{message.message_id} came before the ending of {message.event_id}")
    for event_id in sorted(lacking(told, names)):
        verdict.found("missing", f"{event_id} is answered, and lacks an enrichment")
    for (event_id, name), found in ids.items():
        if len(found) > 1:
            verdict.found("double", f"{event_id} has {name} {len(found)} times: {sorted(found)}")
        if name not in names:
            verdict.found("double", f"{event_id} has {name}, which nobody wants")
    return verdict


def _name(message: Told) -> str | None:
    """The enrichment that a message is, or says not to be had; None for any other message."""
    if message.type == FAILED:
        return str(json.loads(message.body)["enrichment"])
    return next((name for name, type_ in TYPES.items() if type_ == message.type), None)
