"""What a subscriber that follows the three rules (docs/subscribing.md) makes of an event, and what must hold."""

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.support.events import CHANNELS
from tests.support.fake_api import Talk
from tests.support.rabbit import ReceivedMessage

ENDINGS = ("interaction-complete", "bridge-failed", "bridge-coalesced", "bridge-expired")
STREAM_ID = re.compile(r"[0-9a-f]{12}")


@dataclass
class Story:
    """One event as its subscriber understands it in the end."""

    event_id: str
    pieces: list[ReceivedMessage] = field(default_factory=list)
    voids: list[ReceivedMessage] = field(default_factory=list)
    endings: list[ReceivedMessage] = field(default_factory=list)

    @property
    def ending(self) -> ReceivedMessage:
        kinds = [record.type for record in self.endings]
        assert len(kinds) == 1, f"{self.event_id} has the endings {kinds}"
        return self.endings[0]

    @property
    def recovered(self) -> bool:
        return self.ending.headers.get("recovered") is True

    @property
    def bodies(self) -> list[bytes]:
        return [record.body for record in self.pieces]

    def full_message(self) -> str:
        return str(json.loads(self.ending.body)["full_message"])


def type_of(line: bytes) -> str:
    """Python's own parser takes double keys, 1e999 and half pairs as they come."""
    return str(json.loads(line)["type"])


def confined(value: str) -> str:
    """A value's place in a routing key."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", value)


def of_event(records: Sequence[ReceivedMessage], event_id: str) -> list[ReceivedMessage]:
    return [record for record in records if record.properties.correlation_id == event_id]


def without_repeats(records: Sequence[ReceivedMessage]) -> list[ReceivedMessage]:
    """Rule one: drop a message_id seen before. Equal ids must be equal bytes, unless read from history."""
    seen: dict[str, ReceivedMessage] = {}
    for record in records:
        first = seen.setdefault(record.message_id, record)
        if not first.headers.get("recovered") and not record.headers.get("recovered"):
            assert first.body == record.body, f"{record.message_id} stands for two different bodies"
    return list(seen.values())


def story(records: Sequence[ReceivedMessage], event_id: str) -> Story:
    """Rules two and three: the pieces of a voided stream go; an ending ends it."""
    told = Story(event_id)
    for record in without_repeats(of_event(records, event_id)):
        if record.type == "bridge-voided":
            told.voids.append(record)
            told.pieces = [piece for piece in told.pieces if not _voided(piece, json.loads(record.body))]
            continue
        if record.type in ENDINGS:
            told.endings.append(record)
        if not record.type.startswith("bridge-"):
            told.pieces.append(record)
    return told


def _voided(piece: ReceivedMessage, void: dict[str, Any]) -> bool:
    if void.get("stream") is not None:
        return bool(piece.headers["stream"] == void["stream"])
    return bool(piece.headers["stream"] != void["before"])


def ended(records: Sequence[ReceivedMessage]) -> set[str]:
    """The ids of the events that have an ending."""
    return {str(record.properties.correlation_id) for record in list(records) if record.type in ENDINGS}


def assert_in_order(records: Sequence[ReceivedMessage], event_id: str) -> None:
    """Within each stream the sequence is 1, 2, 3 ... in order of arrival once repeats are dropped."""
    streams: defaultdict[str, list[int]] = defaultdict(list)
    for record in without_repeats(of_event(records, event_id)):
        if "sequence" in record.headers and not record.type.startswith("bridge-"):
            streams[record.headers["stream"]].append(record.headers["sequence"])
    for stream, numbers in streams.items():
        assert numbers == list(range(1, len(numbers) + 1)), f"{event_id} stream {stream}: {numbers}"


def assert_envelope(record: ReceivedMessage, sent: dict[str, Any], talk: Talk, attempt: int = 1) -> None:
    """Routing key, properties and headers of one line, as docs/semantics.md, Outbound messages has them."""
    channel = sent.get("channel", "api")
    event_id = sent["id"]
    assert record.type == type_of(record.body)
    assert record.routing_key == f"{CHANNELS[channel]}.{channel}.{confined(record.type)}"
    properties = record.properties
    assert (properties.correlation_id, properties.app_id) == (event_id, "amigo-bridge")
    assert (properties.content_type, properties.delivery_mode) == ("application/json", 2)
    assert isinstance(properties.timestamp, int)
    headers = record.headers
    assert headers.get("version_set") in (None, talk.conversation.version_set)
    assert STREAM_ID.fullmatch(headers["stream"]), headers["stream"]
    assert isinstance(headers["sequence"], int)
    ending = record.type in ENDINGS
    expected_id = f"{event_id}:{record.type}" if ending else f"{event_id}:{headers['stream']}:{headers['sequence']}"
    assert record.message_id == expected_id
    assert {name: headers[name] for name in headers if name not in ("stream", "sequence", "version_set")} == {
        "event_id": event_id,
        "conversation_id": talk.conversation.id,
        "user_id": talk.conversation.user,
        "service_id": talk.conversation.service,
        "channel": channel,
        "channel_type": CHANNELS[channel],
        "attempt": attempt,
    }


def assert_told(records: Sequence[ReceivedMessage], sent: dict[str, Any], talk: Talk) -> None:
    """Every line of the talk came out once, in order, byte for byte, in its envelope."""
    mine = of_event(records, sent["id"])
    assert [record.body for record in mine] == talk.sent, f"{sent['id']}: {mine}"
    assert [record.headers["sequence"] for record in mine] == list(range(1, len(mine) + 1))
    assert len({record.headers["stream"] for record in mine}) == 1
    for record in mine:
        assert_envelope(record, sent, talk)
