"""One good request for each webhook scheme, signed by the scheme's own recipe and not by the code under test."""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, replace

from bridge.core.webhook.signature import HmacForm, HttpRequest, Source

NOW_S = 1_767_225_600
SECRET = "a secret of the tests"
BODY = b'{"type":"thing.done","data":{"amount":25,"note":"h\xc3\xa9llo"}}'
FORM = b"CallSid=CA123&From=%2B14158675309&Body=hello+there"
URL = "https://hooks.example.com/webhooks/twilio"


def hexed(secret: str, signed: bytes, algorithm: str = "sha256") -> str:
    return hmac.new(secret.encode(), signed, algorithm).hexdigest()


def based(secret: bytes, signed: bytes, algorithm: str = "sha256") -> str:
    return base64.b64encode(hmac.new(secret, signed, algorithm).digest()).decode()


def percent(text: bytes) -> str:
    """All of its bytes percent-encoded, also those that need not be."""
    return "".join(f"%{byte:02X}" for byte in text)


@dataclass(frozen=True)
class Sample:
    """A source and a request that verifies with `secret` at NOW_S; `guarded` are the headers that may not change."""

    source: Source
    headers: Mapping[str, str]
    guarded: tuple[str, ...]
    body: bytes = BODY
    query: str = ""
    secret: str = SECRET
    whole_body: bool = True

    @property
    def request(self) -> HttpRequest:
        return HttpRequest({name: (value,) for name, value in self.headers.items()}, self.body, self.query)

    def but(self, **changes: object) -> HttpRequest:
        """The request with something else in it: `body`, `query`, `headers`."""
        return replace(self.request, **changes)  # type: ignore[arg-type]

    def with_header(self, name: str, *values: str) -> HttpRequest:
        return self.but(headers={**self.request.headers, name: values})

    def without(self, name: str) -> HttpRequest:
        return self.but(headers={one: values for one, values in self.request.headers.items() if one != name})


def signed_at(scheme: str, now_s: int, body: bytes = BODY, secret: str = SECRET) -> Mapping[str, str]:
    """The headers of the schemes that sign a time."""
    stamp = str(now_s)
    match scheme:
        case "standard-webhooks":
            signature = based(secret.encode(), b"msg_1." + stamp.encode() + b"." + body)
            return {"webhook-id": "msg_1", "webhook-timestamp": stamp, "webhook-signature": f"v1,{signature}"}
        case "amigo":
            stamp = f"{now_s}000"
            return {
                "x-amigo-idempotent-key": "key-1",
                "x-amigo-request-timestamp": stamp,
                "x-amigo-request-signature": hexed(secret, f"v1:{stamp}:".encode() + body),
            }
        case "stripe":
            return {"stripe-signature": f"t={stamp},v1={hexed(secret, f'{stamp}.'.encode() + body)}"}
        case "slack":
            signature = hexed(secret, f"v0:{stamp}:".encode() + body)
            return {"x-slack-request-timestamp": stamp, "x-slack-signature": f"v0={signature}"}
        case "hmac":
            signature = hexed(secret, b"id-1/" + stamp.encode() + b"/" + body, "sha512")
            return {"x-signature": f"sha512={signature}", "x-stamp": stamp, "x-id": "id-1"}
    raise ValueError(scheme)


OWN = HmacForm("X-Signature", "sha512", "hex", "{id}/{timestamp}/{body}", "sha512=", "X-Stamp", "s", "X-Id")
BODY_SHA256 = f"bodySHA256={hashlib.sha256(BODY).hexdigest()}"
TIMED = ("standard-webhooks", "amigo", "stripe", "slack", "hmac")
WHSEC = "whsec_" + base64.b64encode(SECRET.encode()).decode()
JSON = {"content-type": "application/json"}


def timed(scheme: str, now_s: int = NOW_S, body: bytes = BODY, secret: str = SECRET) -> Sample:
    """A good request of a scheme that signs a time, made at that time."""
    headers = signed_at(scheme, now_s, body, secret)
    guarded = tuple(name for name in headers if name not in ("x-amigo-idempotent-key",))
    known = WHSEC if scheme == "standard-webhooks" else secret
    source = Source("s", scheme, hmac=OWN if scheme == "hmac" else HmacForm(""))
    return Sample(source, {**JSON, **headers}, guarded, body, secret=known)


def samples() -> dict[str, Sample]:
    """One of each; Twilio's twice, for forms and for JSON."""
    form = "".join(("Body", "hello there", "CallSid", "CA123", "From", "+14158675309"))
    twilio = Source("s", "twilio", url=URL)
    return {
        **{scheme: timed(scheme) for scheme in TIMED},
        "github": Sample(
            Source("s", "github"),
            {**JSON, "x-github-delivery": "d-1", "x-hub-signature-256": f"sha256={hexed(SECRET, BODY)}"},
            ("x-hub-signature-256",),
        ),
        "shopify": Sample(
            Source("s", "shopify"),
            {**JSON, "x-shopify-webhook-id": "w-1", "x-shopify-hmac-sha256": based(SECRET.encode(), BODY)},
            ("x-shopify-hmac-sha256",),
        ),
        "twilio": Sample(
            twilio,
            {
                "content-type": "application/x-www-form-urlencoded",
                "x-twilio-signature": based(SECRET.encode(), (URL + form).encode(), "sha1"),
            },
            ("x-twilio-signature",),
            FORM,
            whole_body=False,
        ),
        "twilio-json": Sample(
            twilio,
            {
                **JSON,
                "x-twilio-signature": based(SECRET.encode(), f"{URL}?{BODY_SHA256}".encode(), "sha1"),
            },
            ("x-twilio-signature",),
            query=BODY_SHA256,
        ),
        "bearer": Sample(Source("s", "bearer"), {**JSON, "authorization": f"Bearer {SECRET}"}, ("authorization",)),
        "basic": Sample(
            Source("s", "basic"),
            {**JSON, "authorization": "Basic " + base64.b64encode(b"user:password42").decode()},
            ("authorization",),
            secret="user:password42",
        ),
    }
