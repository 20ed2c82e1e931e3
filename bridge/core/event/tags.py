"""Conversation tags: what the bridge sets, what it reserves, what the API accepts at create and at modify alike.

The API takes more at create than at modify (docs/api-contract.md, 3.3), so only what both accept is allowed here.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from bridge.core.event.channel import channel_type

MAX_TAGS = 20
MAX_FAULTS = 10
"""That are named one by one."""
EVENT_TAG = "bridge_event"
RESERVED = frozenset({"channel", "channel_type", EVENT_TAG})
TEXT = re.compile(r"[A-Za-z0-9_ ]{1,100}")


@lru_cache(maxsize=10_000)
def event_tag(event_id: str) -> str:
    """The value of the tag `bridge_event`: the first 32 hex digits of the SHA-256 of the event id in UTF-8."""
    return hashlib.sha256(event_id.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def own_tags(event_id: str, channel: str) -> dict[str, str]:
    """The three tags that the bridge itself gives a conversation which it creates."""
    return {**channel_tags(channel), EVENT_TAG: event_tag(event_id)}


def is_own(tags: Mapping[str, str | None]) -> bool:
    """True where these are tags of a conversation that the bridge has started."""
    return bool(tags.get(EVENT_TAG))


def channel_tags(channel: str) -> dict[str, str]:
    """The tags that say on which channel a conversation is being held."""
    return {"channel": channel, "channel_type": channel_type(channel)}


def faults(tags: Mapping[object, object] | Mapping[str, object]) -> list[str]:
    """The faults of tags that an event or a route asks for; empty where there are none."""
    wrong = []
    for key, value in tags.items():
        if fault := _key_fault(key):
            wrong.append(fault)
        elif not isinstance(value, str) or not _acceptable(value):
            wrong.append(f"tag {key!r} has a value that is not a string of the form [A-Za-z0-9_ ]{{1,100}}")
    if len(tags) > MAX_TAGS - len(RESERVED):
        wrong.append(f"{len(tags)} tags, at most {MAX_TAGS - len(RESERVED)} beside the bridge's own")
    return wrong


def key_faults(keys: Sequence[object]) -> list[str]:
    """The faults of keys that an event wants deleted; empty where there are none."""
    return [fault for key in keys if (fault := _key_fault(key))]


def in_words(faults: Sequence[str]) -> str:
    """Faults as one text; of very many the first ones."""
    more = [f"and {len(faults) - MAX_FAULTS} more"] if len(faults) > MAX_FAULTS else []
    return "; ".join([*faults[:MAX_FAULTS], *more])


def _key_fault(key: object) -> str | None:
    if not isinstance(key, str) or not _acceptable(key):
        return f"tag key {key!r:.60} is not of the form [A-Za-z0-9_ ]{{1,100}}"
    return f"tag {key!r} is reserved for the bridge" if key.strip() in RESERVED else None


def together(joined: Mapping[str, str | None], own: Mapping[str, str]) -> Mapping[str, str]:
    """The tags of an event that has joined a conversation: those of both, of which its own win; null is none."""
    return {**{key: value for key, value in joined.items() if value is not None}, **own} if joined else own


def changes(wanted: Mapping[str, str], present: Mapping[str, str | None]) -> dict[str, str]:
    """The tags that must be written so that a conversation which has `present` also has `wanted`."""
    return {key: value for key, value in wanted.items() if present.get(key) != value}


def merged(wishes: Sequence[tuple[Mapping[str, str], Sequence[str]]]) -> tuple[dict[str, str], list[str]]:
    """The tags to be set, and the keys to be deleted, of several wishes one after the other: the last word wins."""
    words: dict[str, str | None] = {}
    for updates, deletes in wishes:
        words |= {**updates, **dict.fromkeys(deletes)}
    return {key: value for key, value in words.items() if value is not None}, [
        key for key, value in words.items() if value is None
    ]


def _acceptable(text: str) -> bool:
    return TEXT.fullmatch(text) is not None and bool(text.strip())
