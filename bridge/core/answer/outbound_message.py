"""Outbound messages: what subscribers get, down to ids, headers and routing keys."""

import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from functools import cached_property
from itertools import chain, zip_longest

import orjson

from bridge.core.event.channel import DEFAULT_CHANNEL, channel_type
from bridge.core.event.inbound_message import NO_HEADERS, Headers
from bridge.core.event.route import NO_TAGS, RoutedEvent
from bridge.core.event.tags import event_tag, together
from bridge.core.value import value

APP_ID = "amigo-bridge"
JSON = "application/json"
EVERY_TYPE = ("*",)
PLACE = re.compile(r"\{([^{}]*)\}")
MAX_KEY_BYTES = 255
MAX_KEYS = 10_000

_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")

OWN_NAMES = frozenset(
    {
        "type",
        "channel",
        "channel_type",
        "route",
        "service_id",
        "user_id",
        "conversation_id",
        "version_set",
        "bridge_event",
    }
)
"""The names in a template that are no tag of event, route or conversation."""


def confine(value: object) -> str:
    """A routing-key part out of any value: whatever is not `[A-Za-z0-9_-]` becomes `_`; nothing becomes `_` too."""
    return _UNSAFE.sub("_", "" if value is None else str(value)) or "_"


class RoutingKey:
    """A routing-key template such as `{channel_type}.{channel}.{type}`; see `EventContext.of` for the names."""

    def __init__(self, template: str) -> None:
        """Raises ValueError for a template with a brace out of place."""
        if "{" in PLACE.sub("", template) or "}" in PLACE.sub("", template):
            raise ValueError(f"a brace is out of place in {template!r}")
        self.template = template
        self._literals = PLACE.split(template)[::2]
        self._names = [name.strip() for name in PLACE.split(template)[1::2]]
        self._known: dict[tuple[Hashable, ...], str] = {}

    @property
    def names_tags(self) -> bool:
        """True where the template names anything but what every event has."""
        return not OWN_NAMES.issuperset(self._names)

    def render(self, values: Mapping[str, Hashable]) -> str:
        """The key, at most 255 bytes. Values cannot add words to it: they are confined."""
        parts = tuple([values.get(name) for name in self._names])
        key = self._known.get(parts)
        if key is None:
            if len(self._known) >= MAX_KEYS:
                self._known.clear()
            key = self._known[parts] = self._rendered(parts)
        return key

    def _rendered(self, parts: tuple[Hashable, ...]) -> str:
        key = "".join(chain.from_iterable(zip_longest(self._literals, map(confine, parts), fillvalue="")))
        return key.encode()[:MAX_KEY_BYTES].decode("utf-8", "ignore")


@dataclass(frozen=True, slots=True)
class Outbound:
    """One outbound exchange: which types it takes, under which key, and whether somebody must be listening."""

    exchange: str
    key: RoutingKey
    types: tuple[str, ...] = ("*",)
    required: bool = False
    cloudevents: bool = False

    def takes(self, type_: str) -> bool:
        return self.types == EVERY_TYPE or any(fnmatchcase(type_, pattern) for pattern in self.types)


USUAL_TYPES = ("interaction-complete", "bridge-failed", "new-message")


def key_at(outbound: Outbound) -> str | None:
    """A routing key that is used there for events without a channel; None where it takes only unusual types."""
    for type_ in USUAL_TYPES:
        if outbound.takes(type_):
            values = {"type": type_, "channel": DEFAULT_CHANNEL, "channel_type": channel_type(DEFAULT_CHANNEL)}
            return outbound.key.render(values)
    return None


@dataclass(frozen=True, slots=True, eq=False)
class Address:
    """The way of messages of one type: an outbound, by its index in the configuration, its exchange, the routing key.

    A factory makes one object for each such place, so that whoever encodes can remember it.
    """

    outbound: int
    exchange: str
    routing_key: str
    type: str
    mandatory: bool = False
    cloudevents: bool = False


@dataclass(slots=True, eq=False)
class CommonHeaders:
    """The constant headers of one stream's messages. `memo` is for whoever encodes them, to do it once."""

    correlation_id: str
    headers: Headers = field(default_factory=dict)
    memo: tuple[bytes, bytes, int, int] | None = None


@dataclass(slots=True, eq=False)
class OutboundMessage:
    """One message for one outbound exchange.

    A value like the others, and not frozen only because one is made for every line.
    """

    to: Address
    body: bytes
    message_id: str
    timestamp_s: int
    common_headers: CommonHeaders
    own_headers: Headers = field(default_factory=lambda: NO_HEADERS)
    sequence: int | None = None

    @property
    def exchange(self) -> str:
        return self.to.exchange

    @property
    def routing_key(self) -> str:
        return self.to.routing_key

    @property
    def type(self) -> str:
        return self.to.type

    @property
    def mandatory(self) -> bool:
        return self.to.mandatory

    @property
    def headers(self) -> Headers:
        """All headers, as subscribers see them."""
        numbered = {} if self.sequence is None else {"sequence": self.sequence}
        return {**self.common_headers.headers, **numbered, **self.own_headers}

    @property
    def correlation_id(self) -> str:
        return self.common_headers.correlation_id


@value(frozen=True)
class EventContext:
    """Whom and what a message is about: the constant part of all messages of one event, worked out once."""

    event_id: str
    user_id: str | None = None
    service_id: str | None = None
    channel: str | None = None
    version_set: str | None = None
    route: str | None = None
    attempt: int | None = None
    conversation_id: str | None = None
    traceparent: str | None = None
    stream: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    conversation_version_set: str | None = None
    """The conversation's own, where it is known; `version_set` is what the event would start one with."""

    @classmethod
    def of(
        cls,
        event: RoutedEvent,
        attempt: int,
        traceparent: str | None,
        conversation_id: str | None = None,
        stream: str | None = None,
        joined: Mapping[str, str | None] = NO_TAGS,
        version_set: str | None = None,
    ) -> "EventContext":
        """The context of an event's messages; `version_set` is the conversation's own.

        `joined` are the tags of the conversation that the event has joined; its own win.
        """
        return cls(
            event_id=event.id,
            user_id=event.user_id or None,
            service_id=event.service_id or None,
            channel=event.channel or None,
            version_set=event.version_set,
            route=event.route,
            attempt=attempt,
            conversation_id=conversation_id or event.conversation_id,
            traceparent=traceparent,
            stream=stream,
            tags=together(joined, event.tags),
            conversation_version_set=version_set,
        )

    def within(self, conversation_id: str | None) -> "EventContext":
        """The same subject, in a conversation that is now known."""
        return EventContext(
            event_id=self.event_id,
            user_id=self.user_id,
            service_id=self.service_id,
            channel=self.channel,
            version_set=self.version_set,
            route=self.route,
            attempt=self.attempt,
            conversation_id=conversation_id or self.conversation_id,
            traceparent=self.traceparent,
            stream=self.stream,
            tags=self.tags,
            conversation_version_set=self.conversation_version_set,
        )

    @cached_property
    def common_headers(self) -> CommonHeaders:
        """The headers that all messages of the event share."""
        return CommonHeaders(self.event_id, self.headers)

    @property
    def headers(self) -> Headers:
        """The headers that do not change from message to message; those whose value is not known are absent."""
        known = {
            "event_id": self.event_id,
            "conversation_id": self.conversation_id,
            "user_id": self.user_id,
            "service_id": self.service_id,
            "channel": self.channel,
            "channel_type": channel_type(self.channel) if self.channel else None,
            "route": self.route,
            "attempt": self.attempt,
            "traceparent": self.traceparent,
            "stream": self.stream,
            "version_set": self.conversation_version_set,
        }
        return {name: value for name, value in known.items() if value is not None}

    @cached_property
    def names(self) -> dict[str, str | None]:
        """The values that routing-key templates may name, but for `type`."""
        channel = self.channel or DEFAULT_CHANNEL
        own = {
            "channel": channel,
            "channel_type": channel_type(channel),
            "route": self.route,
            "service_id": self.service_id,
            "user_id": self.user_id,
            "conversation_id": self.conversation_id,
            "version_set": self.conversation_version_set or self.version_set,
        }
        return {**self.tags, "bridge_event": event_tag(self.event_id), **own}


@dataclass(frozen=True, slots=True)
class MessageFactory:
    """Makes a subject's messages for every outbound that takes them. `clock` gives Unix seconds."""

    outbounds: tuple[Outbound, ...]
    clock: Callable[[], float]
    _known: dict[tuple[int, str, str], Address] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def names_tags(self) -> bool:
        """True where a routing key names tags."""
        return any(outbound.key.names_tags for outbound in self.outbounds)

    def messages(
        self, context: EventContext, type_: str, message_id: str, body: bytes, extra: Headers = NO_HEADERS
    ) -> list[OutboundMessage]:
        """One message an outbound; `extra` are its own headers (`stream`, `sequence`, `recovered`)."""
        now_s, common_headers = int(self.clock()), context.common_headers
        made = []
        for to in self.addresses(context, type_):
            own = with_cloudevents(extra, type_, message_id, context, now_s) if to.cloudevents else extra
            made.append(OutboundMessage(to, body, message_id, now_s, common_headers, own))
        return made

    def own(
        self, context: EventContext, type_: str, message_id: str, facts: Headers, extra: Headers
    ) -> list[OutboundMessage]:
        """One of the bridge's own events: `facts` beside `type`, `event_id` and, where known, `conversation_id`."""
        return self.messages(context, type_, message_id, self.own_body(context, type_, facts), extra)

    @staticmethod
    def own_body(context: EventContext, type_: str, facts: Headers) -> bytes:
        """The body of one of the bridge's own events."""
        known: dict[str, object] = {"type": type_, "event_id": context.event_id}
        if context.conversation_id is not None:
            known["conversation_id"] = context.conversation_id
        return orjson.dumps({**known, **facts})

    def addresses(self, context: EventContext, type_: str) -> list[Address]:
        """The addresses for messages of a type: one for each outbound that takes it."""
        names = {**context.names, "type": type_}
        return [
            self.address(index, outbound, outbound.key.render(names), type_)
            for index, outbound in enumerate(self.outbounds)
            if outbound.takes(type_)
        ]

    def address(self, index: int, outbound: Outbound, routing_key: str, type_: str) -> Address:
        """The one object for this place."""
        known = self._known.get((index, routing_key, type_))
        if known is None:
            if len(self._known) >= MAX_KEYS:
                self._known.clear()
            known = Address(index, outbound.exchange, routing_key, type_, outbound.required, outbound.cloudevents)
            self._known[index, routing_key, type_] = known
        return known


def still_lacking(messages: Sequence[OutboundMessage], outbounds: frozenset[int] | None) -> Sequence[OutboundMessage]:
    """Those of the messages that are for these outbounds, which do not have theirs yet; all where that is not known."""
    return messages if outbounds is None else [message for message in messages if message.to.outbound in outbounds]


def line_ids(event_id: str, stream: str) -> str:
    """The beginning of the message ids of a stream's lines, but for the ending's; the sequence follows."""
    return f"{event_id}:{stream}:"


def ending_id(event_id: str, type_: str) -> str:
    """The message id of an ending: the same whichever stream it came on."""
    return f"{event_id}:{type_}"


def with_cloudevents(headers: Headers, type_: str, message_id: str, context: EventContext, now_s: int) -> Headers:
    """The headers, and what CloudEvents' AMQP binding says beside them (binary mode)."""
    return {**headers, **cloudevents_of(type_, message_id, context.conversation_id, now_s)}


def cloudevents_of(type_: str, message_id: str, conversation_id: str | None, now_s: int) -> dict[str, str]:
    """The headers of CloudEvents' AMQP binding."""
    attributes = {
        "cloudEvents:specversion": "1.0",
        "cloudEvents:id": message_id,
        "cloudEvents:source": f"/{APP_ID}",
        "cloudEvents:type": type_,
        "cloudEvents:time": _rfc3339(now_s),
    }
    if conversation_id is not None:
        attributes["cloudEvents:subject"] = conversation_id
    return attributes


def _rfc3339(now_s: int) -> str:
    return datetime.fromtimestamp(now_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
