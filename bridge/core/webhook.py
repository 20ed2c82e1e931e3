"""What a verified webhook becomes: an event for the inbound exchange, a platform event, or the answer to a handshake.

Event id: `{name}:{the sender's own id, else the body's SHA-256}`, at most 200 bytes.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import orjson

from bridge.core import form, problem
from bridge.core.event import check_hooked
from bridge.core.failure import InvalidEvent
from bridge.core.incoming import SOURCE
from bridge.core.outbound import JSON, Address, Letterhead, OutboundMessage, RoutingKey, Stamp, Subject
from bridge.core.problem import Answer
from bridge.core.signature import Request, Source
from bridge.core.signature_schemes import SCHEMES
from bridge.core.topology import Inbound

OWN_ID = re.compile(r"[\x21-\x7e]{1,128}")
PLATFORM_TYPE = re.compile(r"[\x21-\x7e]{1,100}")
PLATFORM_KEY = RoutingKey("platform.{type}")
HEX24 = re.compile(r"[a-f0-9]{24}")
MOST_HEADERS = 64
LONGEST_HEADER = 1024
LONGEST_NAME = 128
HIDDEN = frozenset({"authorization", "proxy-authorization", "cookie", "x-api-key", "connection", "content-length"})
HIDDEN_PARTS = ("signature", "hmac", "secret", "token")
ACTING_PREFIXES = ("x-bridge-", "x-death", "x-delivery-", "x-first-death-", "x-delay", "x-forwarded-")


@dataclass(frozen=True, slots=True)
class Webhook:
    """A verified webhook. A repeat of it has one of the `keys`; `body` is JSON in bytes, `data` its value."""

    id: str
    source: str
    body: bytes
    data: Any
    headers: Mapping[str, str] = field(default_factory=dict)
    keys: tuple[str, ...] = ()

    @property
    def conversation_id(self) -> str | None:
        """The conversation that a platform webhook is about."""
        found = self.data.get("conversation_id") if isinstance(self.data, dict) else None
        return found if isinstance(found, str) and HEX24.fullmatch(found) else None


def check_type(source: Source, request: Request) -> None:
    """Raises Refusal (415) for a body that would not be understood; asked before the body is read."""
    if (request.header("content-encoding") or "identity").strip().lower() != "identity":
        raise problem.not_understood("Compressed bodies are not taken: send them as they are signed.")
    forms = SCHEMES[source.scheme].forms
    kind = request.content_type
    if kind == JSON or kind.endswith("+json") or (forms and kind == form.CONTENT_TYPE):
        return
    raise problem.not_understood(f"Send {JSON}{f' or {form.CONTENT_TYPE}' if forms else ''}.")


def read(source: Source, request: Request, stamp: str | None) -> Webhook:
    """The webhook in a request that was verified; `stamp` is what the verification returned. Raises Refusal (400)."""
    body, data = _json(request)
    id_ = _own_id(source, request, data) or hashlib.sha256(request.body).hexdigest()
    event_id = f"{source.name}:{id_}"
    keys: tuple[str, ...] = (event_id,)
    if stamp is not None:
        keys = (event_id, f"{source.name}:{stamp}:{hashlib.sha256(request.body).hexdigest()}")
    return Webhook(event_id, source.name, body, data, _shown(source, request), keys)


def handshake(source: Source, request: Request, data: Any) -> Answer | None:
    """What a sender wants to hear before it sends events; None for an event."""
    said = data if isinstance(data, dict) else {}
    if source.scheme == "slack" and said.get("type") == "url_verification" and isinstance(said.get("challenge"), str):
        return Answer(200, orjson.dumps({"challenge": said["challenge"]}))
    if source.scheme == "github" and request.header("x-github-event") == "ping":
        return Answer(200, orjson.dumps({"pong": True}))
    return None


def inbound_message(webhook: Webhook, inbound: Inbound, now_s: float) -> OutboundMessage:
    """The message for the inbound queue. Raises Refusal (422) where its reader could make nothing of it."""
    if len(webhook.body) > inbound.max_bytes:
        raise problem.not_an_event(f"the event has {len(webhook.body)} bytes, at most {inbound.max_bytes} are taken")
    try:
        check_hooked(webhook.data, webhook.id)
    except InvalidEvent as error:
        raise problem.not_an_event(str(error)) from None
    key = f"webhook.{webhook.source}" if inbound.exchange else inbound.queue
    headers = {**webhook.headers, SOURCE: webhook.source}
    to = _address(inbound.exchange, key)
    return OutboundMessage(to, webhook.body, webhook.id, int(now_s), Letterhead(webhook.id), headers)


def may_be_left_out(headers: Mapping[str, Any]) -> list[str]:
    """The headers of a message that are its sender's, and not the bridge's: where they are too much they can go."""
    return [name for name in headers if name != SOURCE]


def platform_stamp(stamp: Stamp) -> Stamp:
    """The stamp for platform events: every outbound, under `platform.<type>`."""
    return replace(stamp, outbounds=tuple(replace(outbound, key=PLATFORM_KEY) for outbound in stamp.outbounds))


def of_delivery(source: str, delivery_id: str, content: Mapping[str, Any]) -> Webhook:
    """The webhook of a row in the platform's delivery log, whose id is the idempotency key that was sent."""
    return Webhook(f"{source}:{delivery_id}", source, orjson.dumps(content), content)


def platform_messages(webhook: Webhook, stamp: Stamp, *, recovered: bool = False) -> list[OutboundMessage]:
    """One message for each outbound that takes the type; the body is the platform's own. Raises Refusal (422).

    `recovered`: it was read from the delivery log, so that the bytes may differ from those that were sent.
    """
    type_ = webhook.data.get("type") if isinstance(webhook.data, dict) else None
    if not isinstance(type_, str) or PLATFORM_TYPE.fullmatch(type_) is None:
        raise problem.not_an_event("type is not a string of 1 to 100 printable ASCII characters")
    subject = Subject(webhook.id, conversation_id=webhook.conversation_id)
    return stamp.messages(subject, type_, webhook.id, webhook.body, {"recovered": True} if recovered else {})


def is_platform(source: Source) -> bool:
    """Whether its webhooks go out instead of starting conversations."""
    return source.scheme == "amigo"


@lru_cache
def _address(exchange: str, routing_key: str) -> Address:
    return Address(0, exchange, routing_key, "webhook", mandatory=True)


def _json(request: Request) -> tuple[bytes, Any]:
    """The body as JSON, in bytes and as a value."""
    try:
        if request.content_type == form.CONTENT_TYPE:
            data = form.value(request.body)
            return orjson.dumps(data), data
        return request.body, orjson.loads(request.body)
    except (ValueError, RecursionError) as error:  # orjson's errors are ValueErrors, and so are those of UTF-8
        raise problem.not_json(str(error)) from None


def _own_id(source: Source, request: Request, data: Any) -> str | None:
    """The sender's own id; one of odd characters or great length by its digest."""
    scheme = SCHEMES[source.scheme]
    named = source.id_header or source.hmac.id_header or scheme.id_header
    found = request.header(named.lower()) if named else None
    if found is None and scheme.id_field and isinstance(data, dict):
        inner = data.get(scheme.id_field)
        found = inner if isinstance(inner, str) else None
    if not found:
        return None
    if OWN_ID.fullmatch(found):
        return found
    return hashlib.sha256(found.encode("utf-8", "replace")).hexdigest()


def _shown(source: Source, request: Request) -> dict[str, str]:
    """The headers that routes see: nothing secret, nothing that would act at the broker or in the bridge."""
    found: dict[str, str] = {}
    signature = source.hmac.header.lower()
    for name, values in request.headers.items():
        if not _may_be_shown(name) or name == signature or len(found) >= MOST_HEADERS:
            continue
        text = values[0] if len(values) == 1 else ", ".join(values)
        if len(text) <= LONGEST_HEADER:
            found[name] = text if text.isascii() else text.encode("utf-8", "replace").decode()
    return found


@lru_cache(maxsize=1000)
def _may_be_shown(name: str) -> bool:
    hidden = name in HIDDEN or any(part in name for part in HIDDEN_PARTS)
    return not hidden and not name.startswith(ACTING_PREFIXES) and len(name) <= LONGEST_NAME and name.isascii()
