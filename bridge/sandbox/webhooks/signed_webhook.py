"""A webhook as it is sent: body, stamp and signatures (docs/api-contract.md, 5). Pure."""

import hashlib
import hmac
from dataclasses import dataclass, replace
from typing import Any

import orjson

from bridge.sandbox.script.fault import Fault

KEY_HEADER = "x-amigo-idempotent-key"
STAMP_HEADER = "x-amigo-request-timestamp"
SIGNATURE_HEADER = "x-amigo-request-signature"
_TEN_MINUTES_MS = 600_000


@dataclass(frozen=True)
class SignedWebhook:
    """One webhook before it is stamped; ``key`` stays the same over all attempts."""

    key: str
    body: bytes
    secrets: tuple[str, ...]
    stamp_offset_ms: int = 0
    signed: bool = True

    def headers(self, now_ms: int, dual_form: str) -> list[tuple[str, str]]:
        """Headers of an attempt made now; ``dual_form`` says how two signatures travel."""
        stamp = now_ms + self.stamp_offset_ms
        headers = [("content-type", "application/json"), (KEY_HEADER, self.key), (STAMP_HEADER, str(stamp))]
        if not self.signed:
            return headers
        signatures = [sign(secret, stamp, self.body) for secret in self.secrets]
        if dual_form == "comma":
            return [*headers, (SIGNATURE_HEADER, ",".join(signatures))]
        if dual_form == "repeated":
            return [*headers, *((SIGNATURE_HEADER, signature) for signature in signatures)]
        names = [SIGNATURE_HEADER, *(f"{SIGNATURE_HEADER}-{number}" for number in range(2, len(signatures) + 1))]
        return [*headers, *zip(names, signatures, strict=True)]


def sign(secret: str, stamp_ms: int, body: bytes) -> str:
    """Lower-case hex HMAC-SHA256 of ``v1:{stamp}:{body}``."""
    return hmac.new(secret.encode(), b"v1:%d:%b" % (stamp_ms, body), hashlib.sha256).hexdigest()


def signed_webhook(key: str, content: dict[str, Any], secrets: tuple[str, ...], fault: Fault | None) -> SignedWebhook:
    """The webhook, as the fault leaves it."""
    signed = SignedWebhook(key, orjson.dumps(content), secrets)
    match fault.kind if fault else None:
        case "webhook-wrong-secret":
            return replace(signed, secrets=tuple(f"{secret}-wrong" for secret in secrets))
        case "webhook-missing-header":
            return replace(signed, signed=False)
        case "webhook-stale":
            return replace(signed, stamp_offset_ms=-_TEN_MINUTES_MS)
        case "webhook-future":
            return replace(signed, stamp_offset_ms=_TEN_MINUTES_MS)
        case "webhook-unknown-type":
            return replace(signed, body=orjson.dumps({**content, "type": "something-new"}))
        case "webhook-extra-field":
            return replace(signed, body=orjson.dumps({**content, "moon_phase": "waxing"}))
    return signed
