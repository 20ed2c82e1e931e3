"""Tokens like JWTs: signed, expiring, revocable, and stateless, so that they survive a restart of the sandbox."""

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
from typing import Any

import orjson

from bridge.sandbox.state.clock import Clock

_KEY = b"amigo-bridge sandbox: guards nothing"
_HEADER = {"alg": "HS256", "typ": "JWT"}


@dataclass(frozen=True)
class Identity:
    """Whom a valid token speaks for."""

    org_id: str
    user_id: str


class Tokens:
    """Issues and reads the ``id_token`` of sign-in-with-api-key."""

    def __init__(self, clock: Clock, lifetime_s: float) -> None:
        self._clock = clock
        self._lifetime_ms = int(lifetime_s * 1000)
        self._issued = 0
        self._revoked_up_to = 0
        self._revoked_users: dict[str, int] = {}

    def issue(self, identity: Identity) -> tuple[str, int]:
        """The token and when it expires (ms)."""
        self._issued += 1
        expires_ms = self._clock.now_ms() + self._lifetime_ms
        claims = {
            "org_id": identity.org_id,
            "user_id": identity.user_id,
            "exp": expires_ms // 1000,
            "exp_ms": expires_ms,
            "jti": self._issued,
        }
        signed = b".".join(_encode(orjson.dumps(part)) for part in (_HEADER, claims))
        return (signed + b"." + _sign(signed)).decode(), expires_ms

    def revoke(self, user_id: str | None) -> None:
        """Makes every token issued so far worthless, of one user or of all."""
        if user_id is None:
            self._revoked_up_to = self._issued
        else:
            self._revoked_users[user_id] = self._issued

    def read(self, authorization: str) -> Identity | None:
        """The identity behind an ``Authorization`` header, None when it is not valid now."""
        claims = _claims(authorization)
        if claims is None or claims["exp_ms"] <= self._clock.now_ms():
            return None
        floor = max(self._revoked_up_to, self._revoked_users.get(claims["user_id"], 0))
        if claims["jti"] <= floor:
            return None
        return Identity(claims["org_id"], claims["user_id"])

    def peek(self, authorization: str) -> str | None:
        """The user named by a token that may be expired or revoked: to match faults, never to allow."""
        claims = _claims(authorization)
        return None if claims is None else str(claims["user_id"])


def _claims(authorization: str) -> dict[str, Any] | None:
    try:
        signed, _, signature = _bearer(authorization).encode().rpartition(b".")
        if not hmac.compare_digest(signature, _sign(signed)):
            return None
        claims: dict[str, Any] = orjson.loads(_decode(signed.partition(b".")[2]))
    except ValueError:
        return None
    return claims


def _bearer(authorization: str) -> str:
    """The token in ``Bearer <jwt>`` or, as the password, in ``Basic`` (docs/api-contract.md, 4)."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
        except binascii.Error as error:
            raise ValueError("not base64") from error
    return value if scheme.lower() == "bearer" else ""


def _sign(signed: bytes) -> bytes:
    return _encode(hmac.new(_KEY, signed, hashlib.sha256).digest())


def _encode(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def _decode(text: bytes) -> bytes:
    return base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
