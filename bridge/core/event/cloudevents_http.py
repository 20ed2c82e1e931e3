"""CloudEvents 1.0 over HTTP: structured mode and binary mode (cloudevents.io, HTTP protocol binding, section 3).

What is wrong with a CloudEvent over AMQP is wrong with one over HTTP: cloudevents.py decides. What differs is where the
attributes stand, and that the queue gets the bytes of `data` as they were sent, whichever the mode.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

import orjson

from bridge.core import numbers
from bridge.core.answer.outbound_message import JSON
from bridge.core.errors import BridgeError, InvalidEvent
from bridge.core.event import cloudevents
from bridge.core.event.cloudevents import STRUCTURED
from bridge.core.event.inbound_message import InboundMessage
from bridge.core.webhook import urlencoded
from bridge.core.webhook.signature import HttpRequest

PREFIX = "ce-"
FAMILY = "application/cloudevents"
VERSION_HEADER = "ce-specversion"
NULL = b"null"
_NAME = re.compile(r"[a-z0-9]+")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_QUOTED_PAIR = re.compile(r"\\(.)")
_PERCENT = re.compile(rb"%([0-9A-Fa-f]{2})")
_SPACE = " \t\n\r"
_MEMBERS = json.JSONDecoder(strict=False, parse_int=str, parse_float=str)
"""Only where values end matters, and numbers may have any length."""


class NotText(BridgeError):
    """An attribute is no text in UTF-8."""


@dataclass(frozen=True, slots=True)
class HttpCloudEvent:
    """A CloudEvent: `body` is its data in bytes and `data` the value, `attributes` are the others as text, by name."""

    id: str | None
    data: object
    body: bytes
    attributes: Mapping[str, str]

    @property
    def time_s(self) -> float | None:
        """When it happened, in Unix seconds, where it says so."""
        try:
            time = datetime.fromisoformat(self.attributes["time"])
            return time.timestamp() if time.tzinfo is not None else None
        except (KeyError, ValueError, OverflowError):
            return None

    @property
    def headers(self) -> dict[str, str]:
        """The attributes as the headers of binary mode, so that a route need not know the mode."""
        return {
            "content-type" if name == "datacontenttype" else PREFIX + name: value
            for name, value in self.attributes.items()
        }


def is_structured(request: HttpRequest) -> bool:
    """The body is an envelope; headers that look like attributes are none then."""
    return request.content_type == STRUCTURED


def is_binary(request: HttpRequest) -> bool:
    """The attributes are headers, and the body is the data."""
    return not request.content_type.startswith(FAMILY) and VERSION_HEADER in request.headers


def unwrap(request: HttpRequest) -> HttpCloudEvent | None:
    """The CloudEvent in a request, or None where there is none. Raises InvalidEvent and NotText.

    As any reading of JSON: ValueError for what is none, RecursionError for what is nested too deep.
    """
    if is_structured(request):
        return _structured(request.body)
    return _binary(request) if is_binary(request) else None


def _structured(body: bytes) -> HttpCloudEvent:
    numbers.loads(body)  # what is no JSON is no broken CloudEvent either
    event = cloudevents.unwrap(InboundMessage(body, properties={"content_type": STRUCTURED}))
    if event is None:
        raise InvalidEvent("no CloudEvent")
    members = dict(_members(body.decode()))
    encoded = members.pop("data_base64", None)
    data = members.pop("data", None)
    if encoded is not None and encoded != NULL.decode():
        raw = cloudevents.decoded(orjson.loads(encoded), event.id)
    else:
        raw = NULL if data is None else data.encode()
    values = ((name, numbers.loads(text.encode())) for name, text in members.items() if _NAME.fullmatch(name))
    attributes = {name: text for name, value in values if (text := _as_text(value)) is not None}
    return HttpCloudEvent(event.id, event.data, raw, {"datacontenttype": JSON, **attributes})


def _members(text: str) -> Iterator[tuple[str, str]]:
    """The names of a JSON object, which the text is known to be, and the texts of their values. Raises ValueError."""
    at = _after_space(text, text.index("{") + 1)
    while text[at] != "}":
        name, at = _MEMBERS.raw_decode(text, at)
        start = _after_space(text, text.index(":", at) + 1)
        _, end = _MEMBERS.raw_decode(text, start)
        yield name, text[start:end]
        at = _after_space(text, end)
        if text[at] == ",":
            at = _after_space(text, at + 1)


def _after_space(text: str, at: int) -> int:
    while text[at] in _SPACE:
        at += 1
    return at


def _as_text(value: object) -> str | None:
    """An attribute's canonical string (CloudEvents, "Type System"); None for what is no attribute's value."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int) else None


def _binary(request: HttpRequest) -> HttpCloudEvent:
    attributes = {}
    for header, values in request.headers.items():
        name = header.removeprefix(PREFIX)
        if name == header or not _NAME.fullmatch(name):
            continue
        if len(values) > 1:
            raise InvalidEvent(f"the header {header} stands {len(values)} times")
        attributes[name] = _header_text(values[0])
    headers = {cloudevents.PREFIXES[0] + name: value for name, value in attributes.items()}
    event = cloudevents.unwrap(InboundMessage(b"", headers=headers))
    if event is None:
        raise InvalidEvent("no CloudEvent")
    if request.content_type == urlencoded.CONTENT_TYPE:
        body, data = urlencoded.as_json(request.body)
    else:
        body = request.body or NULL
        data = numbers.loads(body)
    return HttpCloudEvent(event.id, data, body, attributes)


def _header_text(value: str) -> str:
    """An attribute out of a header: quotes are undone, then percent signs, once. Raises NotText.

    See cloudevents.io, HTTP protocol binding, section 3.1.3.2.
    """
    plain = _QUOTED.sub(lambda match: _QUOTED_PAIR.sub(r"\1", match[1]), value)
    try:
        sent = plain.encode("utf-8", "surrogateescape")
        return _PERCENT.sub(lambda match: bytes((int(match[1], 16),)), sent).decode("utf-8")
    except UnicodeError:
        raise NotText("an attribute of the CloudEvent is not text in UTF-8") from None
