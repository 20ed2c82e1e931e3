"""What is thrown at the reader: JSON values, events bent out of shape, header tables of every type that AMQP knows.

Built from one number each, which is many times faster than building them piece by piece with hypothesis; what came of
the number is in the failure's notes.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from random import Random
from typing import Any

from bridge.core.event.channel import CHANNELS
from bridge.core.event.event import FIELDS
from bridge.core.event.event_fields import LOST_IN, EventKind, OnBusy, is_kind
from bridge.core.event.inbound_message import InboundMessage
from tests.support.making import HEX

LETTERS = "abc 019_-.:/\\\"'{}[]%\x00\x1f\x7f\u0085\u2028é漢😀"
WORDS = ("", " ", "x", "x" * 200, "x" * 201, "é" * 100, "é" * 101, HEX, HEX.upper(), "release", "1.0", "null", "1")
NUMBERS = (0, -1, 1, 2**31, 2**53 + 1, 2**63, 2**64, -(2**70), 0.1, -0.0, 1e308, 5e-324)
TAG_LETTERS = "abzAZ09_  -"
CONTENT_TYPES = (
    "application/json",
    "application/json; charset=utf-8",
    "application/cloudevents+json",
    "application/cloudevents-batch+json",
    "text/plain",
    ";",
)
HEADERS = (
    *[f"{prefix}{name}" for prefix in ("cloudEvents:", "cloudEvents_") for name in ("specversion", "id", "type", "")],
    *[f"x-bridge-{name}" for name in ("attempt", "pauses", "copies", "record", "exchange", "routing-key", "replay")],
    *("x-delivery-count", "x-death", "x-first-death-queue", "CC", "BCC", "traceparent", "Ünicode", ""),
)
MOMENTS = (datetime(1970, 1, 1, tzinfo=UTC), datetime(2262, 4, 11, 23, 47, tzinfo=UTC), datetime(1, 1, 1))
DECIMALS = (Decimal("NaN"), Decimal("-Infinity"), Decimal("1E+400"), Decimal("0.1"))
FLOATS = (float("nan"), float("inf"), 1.5)


class Thrower:
    """One number's worth of input."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)

    def text(self) -> str:
        """A known word, or letters of every awkward kind."""
        if self._random.random() < 0.4:
            return self._random.choice(WORDS)
        return "".join(self._random.choices(LETTERS, k=self._random.randrange(9)))

    def json(self, depth: int = 3) -> Any:
        """Any JSON value."""
        kind = self._random.randrange(8 if depth else 5)
        if kind < 2:
            return self.text()
        if kind < 5:
            return self._random.choice((*NUMBERS, None, True, False))
        if kind == 5:
            return {self.text(): self.json(depth - 1) for _ in range(self._random.randrange(4))}
        return [self.json(depth - 1) for _ in range(self._random.randrange(4))]

    def event(self) -> dict[str, Any]:
        """An event; mostly with one or two fields that are not what they should be."""
        bent = self._random.choice((0.0, 0.05, 0.1, 0.3, 1.0))
        event = {
            name: self.json() if self._random.random() < bent else self._good(name)
            for name in sorted(FIELDS)
            if self._random.random() < (0.9 if name in ("id", "message") else 0.5)
        }
        if self._random.random() < 0.1:
            event[self.text()] = self.json()
        kind = event.get("kind", EventKind.EXTERNAL_EVENT)
        if is_kind(kind) and self._random.random() < 0.6:
            for lost in LOST_IN[EventKind(kind)]:
                event.pop(lost, None)
        if "message" in event and self._random.random() < 0.9:
            event.pop("audio", None)
        return event

    def damaged(self) -> bytes:
        """The bytes of an event: cut, repeated, or with some of them changed."""
        whole = bytearray(written(self.event()))
        place = self._random.randrange(len(whole) + 1)
        match self._random.randrange(4):
            case 0:
                return bytes(whole[:place])
            case 1:
                return bytes(whole[place:])
            case 2:
                return bytes(whole + whole[:place])
        for _ in range(self._random.randrange(1, 4)):
            whole[self._random.randrange(len(whole))] = self._random.randrange(256)
        return bytes(whole)

    def envelope(self) -> dict[str, Any]:
        """A structured CloudEvent, broken now and then."""
        envelope = {"specversion": "1.0", "id": self.text(), "source": "/x", "type": self.text(), "data": self.event()}
        if self._random.random() < 0.3:
            envelope["data_base64"] = self._random.choice(("e30=", "eyJpZCI6ImEifQ==", "%", self.json()))
        if self._random.random() < 0.3:
            envelope[self._random.choice(("specversion", "id", "data"))] = self.json()
        if self._random.random() < 0.2:
            del envelope[self._random.choice(("specversion", "id", "data"))]
        return envelope

    def headers(self) -> dict[str, Any]:
        """A header table: own names and foreign ones, every type that AMQP can carry."""
        table = {self._name(): self.amqp() for _ in range(self._random.randrange(5))}
        if self._random.random() < 0.4:
            table[f"cloudEvents{self._random.choice(':_')}specversion"] = self._random.choice(("1.0", b"1.0", "0.3"))
        return table

    def amqp(self, depth: int = 3) -> Any:
        """One header's value."""
        makers: tuple[Callable[[], Any], ...] = (
            self.json,
            self.text,
            lambda: self._random.choice(("1.0", "ce-1", 3, True, None)),
            lambda: self._random.randbytes(4),
            lambda: bytearray(self._random.randbytes(4)),
            lambda: self._random.choice((*MOMENTS, *DECIMALS, *FLOATS)),
        )
        kind = self._random.randrange(len(makers) + (2 if depth else 0))
        if kind < len(makers):
            return makers[kind]()
        if kind == len(makers):
            return [self.amqp(depth - 1) for _ in range(self._random.randrange(3))]
        return {self._name(): self.amqp(depth - 1) for _ in range(self._random.randrange(3))}

    def properties(self) -> dict[str, Any]:
        """AMQP properties, of the types that AMQP itself allows them."""
        all_of_them = {
            "message_id": self.text(),
            "content_type": self._random.choice((*CONTENT_TYPES, self.text())),
            "content_encoding": self._random.choice(("utf-8", "UTF-8", "gzip", "", self.text())),
            "expiration": "60000",
            "user_id": "guest",
            "timestamp": self._random.choice(MOMENTS),
            "priority": self._random.randrange(256),
        }
        return {name: value for name, value in all_of_them.items() if self._random.random() < 0.3}

    def message(self) -> InboundMessage:
        """A whole message: any body with any properties and headers."""
        bodies: tuple[Callable[[], bytes], ...] = (
            lambda: written(self.event()),
            lambda: written(self.event()),
            lambda: written(self.json()),
            lambda: written(self.envelope()),
            self.damaged,
            lambda: self._random.randbytes(self._random.randrange(64)),
        )
        properties = self.properties()
        kind = self._random.randrange(len(bodies))
        if kind == 3 and self._random.random() < 0.8:
            properties["content_type"] = "application/cloudevents+json"
        return InboundMessage(
            body=bodies[kind](),
            queue="bridge.events",
            exchange=self.text(),
            routing_key=self.text(),
            redelivered=self._random.random() < 0.1,
            properties=properties,
            headers=self.headers() if self._random.random() < 0.5 else {},
        )

    def either(self, *values: Any) -> Any:
        """One of the values."""
        return self._random.choice(values)

    def tags(self, most: int) -> dict[str, str]:
        """Tags, mostly good ones."""
        return {self._tag(): self._tag() for _ in range(self._random.randrange(most))}

    def _tag(self) -> str:
        odd = self._random.random()
        if odd < 0.02:
            return self._random.choice(("channel", " bridge_event", "x" * 101, ""))
        letters = TAG_LETTERS if odd < 0.05 else TAG_LETTERS[:-1]
        return "".join(self._random.choices(letters, k=self._random.choice((1, 3, 9, 100))))

    def _name(self) -> str:
        return self._random.choice(HEADERS) if self._random.random() < 0.6 else self.text()

    def _good(self, name: str) -> Any:
        match name:
            case "kind":
                return self._random.choice((*EventKind, *EventKind, None)) or "external-event"
            case "message":
                return self._random.choice(("hello", "hello", {"a": self.json()}))
            case "user_id":
                return self._random.choice(("user-1", "u" * 200, "a b"))
            case "service_id" | "conversation_id":
                return HEX
            case "channel":
                return self._random.choice(tuple(CHANNELS))
            case "version_set":
                return self._random.choice(("release", "v" * 40))
            case "user":
                create = {"first_name": "A", "last_name": self.text()} if self._random.random() < 0.3 else None
                return {"email": "a@example.com", "create": create}
            case "delete_tags":
                return list(self.tags(3))
            case "on_busy":
                return self._random.choice(tuple(OnBusy)).value
            case "finish":
                return self._random.choice(("after", "never", "1h", "250ms"))
            case "not_before":
                return self._random.choice((None, "2026-03-01T09:00:00Z"))
            case "expires_at":
                return self._random.choice((None, "2026-03-01T12:00:00+01:00", "2026-03-01T09:30:00+01:00"))
            case "cancels":
                return self._random.choice(("e-0", "x" * 200))
            case "is_test":
                return self._random.random() < 0.5
            case "audio":
                return {"content_type": "audio/wav", "data": "AA=="}
            case "tags":
                return self.tags(self._random.choice((3, 19)))
            case "id":
                return self._random.choice(("e-1", "x" * 200, "é" * 100))
            case _:
                return self.json()


def written(value: Any) -> bytes:
    """The value as JSON in UTF-8, as most publishers write it."""
    return json.dumps(value, ensure_ascii=False).encode()
