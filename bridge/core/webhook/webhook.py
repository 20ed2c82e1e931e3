"""Verified webhooks: each an event for the inbound exchange, a platform event, or the answer to a handshake.

Event id: `{name}:{the sender's own id, else the body's SHA-256}`, or its own SHA-256 if that has more than 200 bytes.
A CloudEvent is taken out of its envelope here: what goes to the queue is its data, with its attributes as headers.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

import orjson

from bridge.core import numbers
from bridge.core.answer.outbound_message import (
    JSON,
    Address,
    CommonHeaders,
    EventContext,
    MessageFactory,
    OutboundMessage,
    RoutingKey,
)
from bridge.core.broker.topology import Inbound
from bridge.core.errors import InvalidEvent
from bridge.core.event import cloudevents_http
from bridge.core.event.cloudevents import STRUCTURED
from bridge.core.event.cloudevents_http import HttpCloudEvent
from bridge.core.event.event import check_hooked
from bridge.core.event.event_fields import HEX24, MAX_ID_BYTES
from bridge.core.event.inbound_message import PLAIN_ENCODINGS, SOURCE
from bridge.core.webhook import problem, urlencoded
from bridge.core.webhook.problem import HttpAnswer
from bridge.core.webhook.schemes import SCHEMES
from bridge.core.webhook.signature import HttpRequest, Source

PLATFORM_TYPE = re.compile(r"[\x21-\x7e]{1,100}")
PLATFORM_KEY = RoutingKey("platform.{type}")
MAX_HEADERS = 64
MAX_HEADER_BYTES = 1024
MAX_NAME_BYTES = 128
MAX_HEADERS_BYTES = 32 * 1024
"""The size of all headers that routes see, names and values."""
HIDDEN = frozenset({"authorization", "proxy-authorization", "cookie", "x-api-key", "connection", "content-length"})
HIDDEN_PARTS = ("signature", "hmac", "secret", "token")
ACTING_PREFIXES = ("x-bridge-", "x-death", "x-delivery-", "x-first-death-", "x-delay", "x-forwarded-")


@dataclass(frozen=True, slots=True)
class Webhook:
    """A verified webhook. A repeat of it has one of the `keys`; `body` is JSON in bytes, `data` its value.

    `time_s` is when it happened, in Unix seconds, where its sender says so.
    """

    id: str
    source: str
    body: bytes
    data: object
    headers: Mapping[str, str] = field(default_factory=dict)
    keys: tuple[str, ...] = ()
    time_s: float | None = None

    @property
    def conversation_id(self) -> str | None:
        """The conversation that a platform webhook is about."""
        id_ = self.data.get("conversation_id") if isinstance(self.data, dict) else None
        return id_ if isinstance(id_, str) and HEX24.fullmatch(id_) else None


def check_type(source: Source, request: HttpRequest) -> None:
    """Raises Problem (415) for a body that would not be understood; asked before the body is read."""
    encodings = ",".join(request.headers.get("content-encoding", ())).lower().split(",")
    if not {encoding.strip() for encoding in encodings} <= PLAIN_ENCODINGS:
        raise problem.not_understood("Compressed bodies are not taken: send them as they are signed.")
    forms = SCHEMES[source.scheme].forms
    kind = request.content_type
    if kind.startswith(cloudevents_http.FAMILY) and not cloudevents_http.is_structured(request):
        raise problem.not_understood(f"Send each CloudEvent by itself, as {STRUCTURED} or {JSON}.")
    if kind == JSON or kind.endswith("+json") or (forms and kind == urlencoded.CONTENT_TYPE):
        return
    if not kind and cloudevents_http.is_binary(request):
        return  # a CloudEvent need not have data
    raise problem.not_understood(f"Send {JSON}{f' or {urlencoded.CONTENT_TYPE}' if forms else ''}.")


def read(source: Source, request: HttpRequest, stamp: str | None) -> Webhook:
    """The webhook in a request that was verified; `stamp` is what the verification returned.

    Raises Problem: 400 for what is no JSON or no text, 422 for a broken CloudEvent.
    """
    cloud = _cloud_event(source, request)
    body, data = (cloud.body, cloud.data) if cloud is not None else _json(request)
    digest = hashlib.sha256(request.body).hexdigest()
    own = _own_id(source, request, None if cloudevents_http.is_structured(request) else data)
    event_id = _event_id(source.name, own or (cloud and cloud.id) or digest)
    keys = (event_id,) if stamp is None else (event_id, f"{source.name}:{stamp}:{digest}")
    headers = _visible(source, request, cloud)
    return Webhook(event_id, source.name, body, data, headers, keys, cloud.time_s if cloud is not None else None)


def handshake(source: Source, request: HttpRequest, data: object) -> HttpAnswer | None:
    """The answer that a sender wants before it sends events; None for an event."""
    fields = data if isinstance(data, dict) else {}
    challenge = fields.get("challenge") if fields.get("type") == "url_verification" else None
    if source.scheme == "slack" and isinstance(challenge, str):
        return HttpAnswer(200, orjson.dumps({"challenge": challenge}))
    if source.scheme == "slack" and fields.get("ssl_check") == "1":
        return HttpAnswer(200, b"", content_type=problem.TEXT)
    if source.scheme == "github" and request.header("x-github-event") == "ping":
        return HttpAnswer(200, orjson.dumps({"pong": True}))
    return None


def inbound_message(webhook: Webhook, inbound: Inbound, now_s: float) -> OutboundMessage:
    """The message for the inbound queue. Raises Problem (422) where its reader could make nothing of it.

    Its time is when the event happened, if that is known and not in the future.
    """
    if len(webhook.body) > inbound.max_bytes:
        raise problem.not_an_event(f"the event has {len(webhook.body)} bytes, at most {inbound.max_bytes} are taken")
    try:
        check_hooked(webhook.data, webhook.id)
    except InvalidEvent as error:
        raise problem.not_an_event(str(error)) from None
    key = f"webhook.{webhook.source}" if inbound.exchange else inbound.queue
    headers = {**webhook.headers, SOURCE: webhook.source}
    to = _address(inbound.exchange, key)
    time_s = webhook.time_s if webhook.time_s is not None and 0 <= webhook.time_s < now_s else now_s
    return OutboundMessage(to, webhook.body, webhook.id, int(time_s), CommonHeaders(webhook.id), headers)


def may_be_left_out(headers: Mapping[str, object]) -> list[str]:
    """The headers of a message that are its sender's, and not the bridge's: where they are too much they can go."""
    return [name for name in headers if name != SOURCE]


def platform_factory(factory: MessageFactory) -> MessageFactory:
    """The factory of platform events: every outbound, under `platform.<type>`."""
    return replace(factory, outbounds=tuple(replace(outbound, key=PLATFORM_KEY) for outbound in factory.outbounds))


def of_delivery(source: str, delivery_id: str, content: Mapping[str, object]) -> Webhook:
    """The webhook of a row in the platform's delivery log, whose id is the idempotency key that was sent."""
    return Webhook(_event_id(source, delivery_id), source, orjson.dumps(content), content)


def platform_messages(webhook: Webhook, factory: MessageFactory, *, recovered: bool = False) -> list[OutboundMessage]:
    """One message for each outbound that takes the type; the body is the platform's own. Raises Problem (422).

    `recovered`: it was read from the delivery log, so that the bytes may differ from those that were sent.
    """
    type_ = webhook.data.get("type") if isinstance(webhook.data, dict) else None
    if not isinstance(type_, str) or PLATFORM_TYPE.fullmatch(type_) is None:
        raise problem.not_an_event("type is not a string of 1 to 100 printable ASCII characters")
    context = EventContext(webhook.id, conversation_id=webhook.conversation_id)
    return factory.messages(context, type_, webhook.id, webhook.body, {"recovered": True} if recovered else {})


def is_platform(source: Source) -> bool:
    """True where its webhooks go out instead of starting conversations."""
    return source.scheme == "amigo"


@lru_cache
def _address(exchange: str, routing_key: str) -> Address:
    return Address(0, exchange, routing_key, "webhook", mandatory=True)


def _json(request: HttpRequest) -> tuple[bytes, object]:
    """The body as JSON, in bytes and as a value."""
    try:
        if request.content_type == urlencoded.CONTENT_TYPE:
            return urlencoded.as_json(request.body)
        return request.body, numbers.loads(request.body)
    except (ValueError, RecursionError) as error:  # orjson's errors are ValueErrors, and so are those of UTF-8
        raise problem.not_json(str(error)) from None


def _cloud_event(source: Source, request: HttpRequest) -> HttpCloudEvent | None:
    """The CloudEvent in it; what the platform sends is passed on as it is."""
    if is_platform(source):
        return None
    try:
        return cloudevents_http.unwrap(request)
    except InvalidEvent as error:
        raise problem.not_an_event(str(error)) from None
    except cloudevents_http.NotText as error:
        raise problem.not_text(str(error)) from None
    except (ValueError, RecursionError) as error:
        raise problem.not_json(str(error)) from None


def _event_id(name: str, own: str) -> str:
    """The id of a webhook's event. What is not printable, or no text at all, is in it by its digest."""
    if not own.isprintable():
        own = hashlib.sha256(own.encode("utf-8", "surrogatepass")).hexdigest()
    whole = f"{name}:{own}".encode()
    return whole.decode() if len(whole) <= MAX_ID_BYTES else f"sha256:{hashlib.sha256(whole).hexdigest()}"


def _own_id(source: Source, request: HttpRequest, data: object) -> str | None:
    """The sender's own id in a header, or in the body, where the scheme has one."""
    scheme = SCHEMES[source.scheme]
    named = source.id_header or source.hmac.id_header
    own = next(filter(None, map(request.header, (named.lower(),) if named else scheme.id_headers)), None)
    if own is None and scheme.id_field and isinstance(data, dict):
        inner = data.get(scheme.id_field)
        own = inner if isinstance(inner, str) else None
    return own


def _visible(source: Source, request: HttpRequest, cloud: HttpCloudEvent | None) -> dict[str, str]:
    """The headers that routes see: nothing secret, nothing that would act at the broker or in the bridge.

    Where there are too many bytes in all, the largest are left out; of those of one size the later name.
    """
    visible: dict[str, str] = {}
    sizes: dict[str, int] = {}
    signature = source.hmac.header.lower()
    for name, text in _texts(request, cloud):
        if not _may_be_shown(name) or name == signature or len(visible) >= MAX_HEADERS:
            continue
        sent = text.encode("utf-8", "replace")
        if len(sent) <= MAX_HEADER_BYTES:
            visible[name] = sent.decode()
            sizes[name] = len(name) + len(sent)
    too_many = sum(sizes.values()) - MAX_HEADERS_BYTES
    while too_many > 0:
        largest = max(sizes, key=lambda name: (sizes[name], name))
        too_many -= sizes.pop(largest)
        del visible[largest]
    return visible


def _texts(request: HttpRequest, cloud: HttpCloudEvent | None) -> Iterator[tuple[str, str]]:
    """The headers as text, by lower-case name. A CloudEvent's attributes come first, and from nowhere else."""
    own = cloud.headers if cloud is not None else {}
    yield from own.items()
    for name, values in request.headers.items():
        if name not in own and not (cloud is not None and name.startswith(cloudevents_http.PREFIX)):
            yield name, values[0] if len(values) == 1 else ", ".join(values)


@lru_cache(maxsize=1000)
def _may_be_shown(name: str) -> bool:
    hidden = name in HIDDEN or any(part in name for part in HIDDEN_PARTS)
    return not hidden and not name.startswith(ACTING_PREFIXES) and len(name) <= MAX_NAME_BYTES and name.isascii()
