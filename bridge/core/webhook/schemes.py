"""The webhook schemes, as a table: how a request is verified, how one is signed, and what is known of the sender.

    scheme              signs                          by                          time    own id
    standard-webhooks   {id}.{time}.{body}             HMAC-SHA256, base64         yes     webhook-id, svix-id (signed)
    amigo               v1:{time in ms}:{body}         HMAC-SHA256, hex            yes     x-amigo-idempotent-key
    github              {body}                         HMAC-SHA256, hex            no      x-github-delivery
    stripe              {time}.{body}                  HMAC-SHA256, hex            yes     `id` of the body
    shopify             {body}                         HMAC-SHA256, base64         no      x-shopify-webhook-id
    slack               v0:{time}:{body}               HMAC-SHA256, hex            yes     `event_id` of the body
    twilio              url and sorted form fields     HMAC-SHA1, base64           no      i-twilio-idempotency-token
    hmac                as configured                  as configured               may     as configured
    bearer, basic       nothing: the secret is sent                                no      id_header, if configured
    none                nothing                                                    no      id_header, if configured

Sources: standardwebhooks.com (spec, 1.0.0); docs/api-contract.md, 5; docs.github.com ("Validating webhook
deliveries"); docs.stripe.com/webhooks ("Verify manually"); shopify.dev ("Validate the origin"); docs.slack.dev
("Verifying requests from Slack"); twilio.com/docs/usage/webhooks/webhooks-security; docs.svix.com ("Verify manually").
Where a scheme has no id of its own, a CloudEvent's is it.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from bridge.core.secret import compact, trimmed
from bridge.core.webhook import urlencoded
from bridge.core.webhook.signature import (
    HmacForm,
    HttpRequest,
    Keys,
    Reason,
    Source,
    Unverified,
    check_secret,
    check_signature,
    check_signatures,
    check_time,
    in_base64,
    in_hex,
    one,
    raw,
)

AMIGO_KEY, AMIGO_STAMP, AMIGO_SIGNATURE = (
    "x-amigo-idempotent-key",
    "x-amigo-request-timestamp",
    "x-amigo-request-signature",
)
STANDARD_NAMES = ("webhook-id", "webhook-timestamp", "webhook-signature")
SVIX_NAMES = ("svix-id", "svix-timestamp", "svix-signature")
PORTS = {"http": 80, "https": 443}
_ADDRESS = re.compile(r"(?P<host>(?P<scheme>https?)://[^/?#]*?)(?::(?P<port>[0-9]*))?(?P<path>[/?#].*)?", re.IGNORECASE)
_HEX64 = re.compile(rb"[0-9a-f]{64}")
_BETWEEN = re.compile(rb"[,; ]+")
_PLACES = re.compile(r"(\{body\}|\{timestamp\}|\{id\})")
_FORMS = {"hex": in_hex, "base64": in_base64}
UNITS = {"s": 1, "ms": 1000}


@dataclass(frozen=True, slots=True)
class Signing:
    """The material of a signature; `time_s` is a whole second."""

    key: bytes
    body: bytes
    id: str
    time_s: int


Verify = Callable[[Source, Keys, HttpRequest, float], "str | None"]
Sign = Callable[[Source, Signing], dict[str, str]]


@dataclass(frozen=True, slots=True)
class Scheme:
    """`verify` raises Unverified, and returns the signed time where there is one.

    `id_headers` (the first that is there) and `id_field` (of the JSON body) are where the sender's own id is;
    `id_signed` says that it is signed. `needs` is told to those who fail, and `challenge` is their WWW-Authenticate.
    """

    verify: Verify
    sign: Sign
    needs: str
    id_headers: tuple[str, ...] = ()
    id_field: str | None = None
    id_signed: bool = False
    forms: bool = False
    keyed: bool = True
    challenge: str = 'Webhook realm="webhooks"'


def verify(source: Source, keys: Keys, request: HttpRequest, now_s: float) -> str | None:
    """Return if the request is the source's, with one of its keys. Raises Unverified.

    What is returned is None, or for a scheme that signs a time but not its id, that time: the same time and body under
    another id are the same webhook, sent again by somebody who could read it.
    """
    scheme = SCHEMES[source.scheme]
    if scheme.keyed and not keys:
        raise Unverified(Reason.MISMATCH)
    stamp = scheme.verify(source, keys, request, now_s)
    return None if _signs_id(source) else stamp


def _signs_id(source: Source) -> bool:
    """False where another header is configured for the id: the signature does not cover that one.

    Nor is it sure to cover an id in the body: where the body has none, an unsigned header of a CloudEvent is it.
    """
    return source.id_header is None and (SCHEMES[source.scheme].id_signed or "{id}" in source.hmac.payload)


def key_of(scheme: str, secret: str) -> bytes:
    """The secret as bytes. Raises ValueError where it is not of the scheme's form.

    White space around it is an accident, and inside of base64 as well (it was wrapped); blanks inside of a passphrase
    are a part of it.
    """
    secret = compact(secret) if scheme == "standard-webhooks" else trimmed(secret)
    if not secret:
        raise ValueError("empty")
    if scheme == "basic" and ":" not in secret:
        raise ValueError("not of the form user:password")
    if scheme != "standard-webhooks":
        return secret.encode()
    text = secret.removeprefix("whsec_")
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("not of the form whsec_ and base64") from None
    if not key:
        raise ValueError("empty")
    return key


def _standard(source: Source, keys: Keys, request: HttpRequest, now_s: float) -> str:
    """Svix's own names are read only where none of the standard's is there: two sets are never mixed."""
    names = STANDARD_NAMES if any(name in request.headers for name in STANDARD_NAMES) else SVIX_NAMES
    id_, stamp, signature = (one(request, name) for name in names)
    given = signature.split(b" ")
    if b"." in id_:
        raise Unverified(Reason.MALFORMED)  # the dots are what keeps the three parts apart
    check_time(stamp, 1, source.tolerance_s, now_s)
    signed = b".".join((id_, stamp, request.body))
    candidates = (each[3:] for each in given if each.startswith(b"v1,"))
    check_signature(keys, "sha256", signed, in_base64, candidates)
    return stamp.decode()


def _sign_standard(_: Source, signing: Signing) -> dict[str, str]:
    signed = b"%b.%d.%b" % (signing.id.encode(), signing.time_s, signing.body)
    signature = in_base64(hmac.digest(signing.key, signed, "sha256")).decode()
    return {"webhook-id": signing.id, "webhook-timestamp": str(signing.time_s), "webhook-signature": f"v1,{signature}"}


def _amigo(source: Source, keys: Keys, request: HttpRequest, now_s: float) -> str:
    """Several signatures may travel in several headers, in a list, with or without `v1=` (docs/api-contract.md, 5)."""
    one(request, AMIGO_KEY)
    stamp = one(request, AMIGO_STAMP)
    given = [value for name, values in request.headers.items() if name.startswith(AMIGO_SIGNATURE) for value in values]
    if not any(given):
        raise Unverified(Reason.MISSING)
    check_time(stamp, UNITS["ms"], source.tolerance_s, now_s)
    parts = (part.removeprefix(b"v1=") for value in given for part in _BETWEEN.split(raw(value).lower()))
    candidates = (part for part in parts if _HEX64.fullmatch(part))
    check_signature(keys, "sha256", b"v1:%b:%b" % (stamp, request.body), in_hex, candidates)
    return stamp.decode()


def _sign_amigo(_: Source, signing: Signing) -> dict[str, str]:
    stamp = signing.time_s * UNITS["ms"]
    signature = hmac.digest(signing.key, b"v1:%d:%b" % (stamp, signing.body), "sha256").hex()
    return {AMIGO_KEY: signing.id, AMIGO_STAMP: str(stamp), AMIGO_SIGNATURE: signature}


def _github(_: Source, keys: Keys, request: HttpRequest, __: float) -> None:
    given = one(request, "x-hub-signature-256").lower()
    check_signature(keys, "sha256", request.body, lambda digest: b"sha256=" + in_hex(digest), (given,))


def _sign_github(_: Source, signing: Signing) -> dict[str, str]:
    signature = hmac.digest(signing.key, signing.body, "sha256").hex()
    return {"X-GitHub-Event": "push", "X-GitHub-Delivery": signing.id, "X-Hub-Signature-256": f"sha256={signature}"}


def _stripe(source: Source, keys: Keys, request: HttpRequest, now_s: float) -> str:
    items = [item.partition(b"=") for item in one(request, "stripe-signature").split(b",")]
    stamps = [value for name, _, value in items if name == b"t"]
    if len(stamps) != 1:
        raise Unverified(Reason.REPEATED if stamps else Reason.MISSING)
    check_time(stamps[0], 1, source.tolerance_s, now_s)
    candidates = (value.lower() for name, _, value in items if name == b"v1")
    check_signature(keys, "sha256", stamps[0] + b"." + request.body, in_hex, candidates)
    return stamps[0].decode()


def _sign_stripe(_: Source, signing: Signing) -> dict[str, str]:
    signature = hmac.digest(signing.key, b"%d.%b" % (signing.time_s, signing.body), "sha256").hex()
    return {"Stripe-Signature": f"t={signing.time_s},v1={signature}"}


def _shopify(_: Source, keys: Keys, request: HttpRequest, __: float) -> None:
    check_signature(keys, "sha256", request.body, in_base64, (one(request, "x-shopify-hmac-sha256"),))


def _sign_shopify(_: Source, signing: Signing) -> dict[str, str]:
    signature = in_base64(hmac.digest(signing.key, signing.body, "sha256")).decode()
    return {"X-Shopify-Topic": "orders/create", "X-Shopify-Webhook-Id": signing.id, "X-Shopify-Hmac-Sha256": signature}


def _slack(source: Source, keys: Keys, request: HttpRequest, now_s: float) -> str:
    stamp, given = one(request, "x-slack-request-timestamp"), one(request, "x-slack-signature").lower()
    check_time(stamp, 1, source.tolerance_s, now_s)
    signed = b"v0:%b:%b" % (stamp, request.body)
    check_signature(keys, "sha256", signed, lambda digest: b"v0=" + in_hex(digest), (given,))
    return stamp.decode()


def _sign_slack(_: Source, signing: Signing) -> dict[str, str]:
    signature = hmac.digest(signing.key, b"v0:%d:%b" % (signing.time_s, signing.body), "sha256").hex()
    return {"X-Slack-Request-Timestamp": str(signing.time_s), "X-Slack-Signature": f"v0={signature}"}


def _twilio(source: Source, keys: Keys, request: HttpRequest, _: float) -> None:
    """A form is signed field by field; any other body by its SHA-256 in the query of the signed address."""
    given = one(request, "x-twilio-signature")
    digest = dict(item.partition("=")[::2] for item in request.query.split("&")).get("bodySHA256")
    if digest is not None:
        expected = in_hex(hashlib.sha256(request.body).digest())
        if not hmac.compare_digest(raw(digest).lower(), expected):
            raise Unverified(Reason.MISMATCH)
    after = raw(f"?{request.query}" if request.query else "")
    if request.content_type == urlencoded.CONTENT_TYPE:
        after += _twilio_fields(request.body)
    elif digest is None:
        raise Unverified(Reason.MISSING)
    signed = [raw(address) + after for address in _twilio_addresses(str(source.url))]
    check_signatures(keys, "sha1", signed, in_base64, (given,))


@lru_cache
def _twilio_addresses(url: str) -> tuple[str, str]:
    """The address without a port and with one: either may be signed (Twilio's own libraries try both)."""
    match = _ADDRESS.fullmatch(url)
    if match is None:
        raise ValueError(f"not an address: {url}")
    host, path, port = match["host"], match["path"] or "", match["port"] or PORTS[match["scheme"].lower()]
    return f"{host}{path}", f"{host}:{port}{path}"


def _twilio_fields(body: bytes) -> bytes:
    try:
        fields = urlencoded.fields(body)
    except ValueError:
        raise Unverified(Reason.MALFORMED) from None
    if not fields:
        raise Unverified(Reason.MALFORMED)  # the signature of any GET to the same address would do
    return "".join(name + value for name, value in sorted(set(fields))).encode()


def _sign_twilio(source: Source, signing: Signing) -> dict[str, str]:
    signed = raw(str(source.url)) + _twilio_fields(signing.body)
    signature = in_base64(hmac.digest(signing.key, signed, "sha1")).decode()
    return {"I-Twilio-Idempotency-Token": signing.id, "X-Twilio-Signature": signature}


def _hmac(source: Source, keys: Keys, request: HttpRequest, now_s: float) -> str | None:
    own = source.hmac
    given, prefix = one(request, own.header.lower()), own.prefix.encode()
    if own.encoding == "hex":
        given, prefix = given.lower(), prefix.lower()
    stamp = one(request, own.timestamp_header.lower()) if own.timestamp_header else b""
    id_ = one(request, own.id_header.lower()) if own.id_header else b""
    if own.timestamp_header:
        check_time(stamp, UNITS[own.timestamp_unit], source.tolerance_s, now_s)
    encoded = _FORMS[own.encoding]
    signed = _filled(own, request.body, stamp, id_)
    check_signature(keys, own.algorithm, signed, lambda digest: prefix + encoded(digest), (given,))
    return stamp.decode() if stamp else None


def _filled(own: HmacForm, body: bytes, stamp: bytes, id_: bytes) -> bytes:
    values = {"{body}": body, "{timestamp}": stamp, "{id}": id_}
    return b"".join(values[part] if part in values else part.encode() for part in _PLACES.split(own.payload))


def _sign_hmac(source: Source, signing: Signing) -> dict[str, str]:
    own = source.hmac
    stamp = str(signing.time_s * UNITS[own.timestamp_unit])
    signed = _filled(own, signing.body, stamp.encode(), signing.id.encode())
    signature = _FORMS[own.encoding](hmac.digest(signing.key, signed, own.algorithm)).decode()
    beside = {own.timestamp_header: stamp, own.id_header: signing.id}
    return {own.header: own.prefix + signature, **{name: value for name, value in beside.items() if name}}


def _bearer(_: Source, keys: Keys, request: HttpRequest, __: float) -> None:
    check_secret(keys, _credentials(request, b"bearer"))


def _basic(_: Source, keys: Keys, request: HttpRequest, __: float) -> None:
    try:
        given = base64.b64decode(_credentials(request, b"basic"), validate=True)
    except (binascii.Error, ValueError):
        raise Unverified(Reason.MALFORMED) from None
    check_secret(keys, given)


def _credentials(request: HttpRequest, word: bytes) -> bytes:
    kind, _, given = one(request, "authorization").partition(b" ")
    if kind.lower() != word or not given:
        raise Unverified(Reason.MALFORMED)
    return given.strip(b" ")


def _own_id(source: Source, signing: Signing) -> dict[str, str]:
    return {source.id_header: signing.id} if source.id_header else {}


def _sign_bearer(source: Source, signing: Signing) -> dict[str, str]:
    return {"Authorization": f"Bearer {signing.key.decode()}", **_own_id(source, signing)}


def _sign_basic(source: Source, signing: Signing) -> dict[str, str]:
    return {"Authorization": f"Basic {in_base64(signing.key).decode()}", **_own_id(source, signing)}


def _none(_: Source, __: Keys, ___: HttpRequest, ____: float) -> None:
    return None


SCHEMES: Mapping[str, Scheme] = {
    "standard-webhooks": Scheme(
        _standard,
        _sign_standard,
        f"{', '.join(STANDARD_NAMES)}, or {', '.join(SVIX_NAMES)}",
        id_headers=(STANDARD_NAMES[0], SVIX_NAMES[0]),
        id_signed=True,
    ),
    "amigo": Scheme(_amigo, _sign_amigo, f"{AMIGO_KEY}, {AMIGO_STAMP} and {AMIGO_SIGNATURE}", id_headers=(AMIGO_KEY,)),
    "github": Scheme(_github, _sign_github, "X-Hub-Signature-256", id_headers=("x-github-delivery",), forms=True),
    "stripe": Scheme(_stripe, _sign_stripe, "Stripe-Signature", id_field="id"),
    "shopify": Scheme(_shopify, _sign_shopify, "X-Shopify-Hmac-Sha256", id_headers=("x-shopify-webhook-id",)),
    "slack": Scheme(
        _slack,
        _sign_slack,
        "X-Slack-Request-Timestamp and X-Slack-Signature",
        id_field="event_id",
        forms=True,
    ),
    "twilio": Scheme(
        _twilio, _sign_twilio, "X-Twilio-Signature", id_headers=("i-twilio-idempotency-token",), forms=True
    ),
    "hmac": Scheme(_hmac, _sign_hmac, "the configured headers", forms=True),
    "bearer": Scheme(_bearer, _sign_bearer, "Authorization: Bearer", forms=True, challenge='Bearer realm="webhooks"'),
    "basic": Scheme(
        _basic,
        _sign_basic,
        "Authorization: Basic",
        forms=True,
        challenge='Basic realm="webhooks", charset="UTF-8"',
    ),
    "none": Scheme(_none, _own_id, "nothing", forms=True, keyed=False),
}
