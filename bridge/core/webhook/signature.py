"""The parts of every webhook scheme: headers as bytes, a time window, and comparisons in constant time.

Whatever is missing, there twice, or not of its form fails closed. Nothing here looks into the body. Hexadecimal digits
may be of either case, since both say the same: who compares them lowers what was given.
"""

import base64
import hmac
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from bridge.core.errors import BridgeError

MAX_CANDIDATES = 20
"""Signatures of one request that are looked at."""
STAMP = re.compile(rb"[0-9]{1,16}")

Keys = Sequence[bytes]


class Reason(StrEnum):
    """Why a request is not believed. For the log and the metrics: the sender is never told which."""

    MISSING = "missing"
    REPEATED = "repeated"
    MALFORMED = "malformed"
    STALE = "stale"
    FUTURE = "future"
    MISMATCH = "mismatch"


class Unverified(BridgeError):
    """The request does not show that it is from whom it says."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


@dataclass(slots=True)
class HttpRequest:
    """One webhook as it came in: header values by lower-case name, the body's bytes, the query without `?`.

    It is looked at before its body is read; until then the body is empty. `content_type` is the media type in lower
    case, without parameters.
    """

    headers: Mapping[str, Sequence[str]]
    body: bytes = b""
    query: str = ""
    content_type: str = field(init=False)

    def __post_init__(self) -> None:
        self.content_type = (self.header("content-type") or "").partition(";")[0].strip().lower()

    def header(self, name: str) -> str | None:
        """The first value of a header."""
        values = self.headers.get(name)
        return values[0] if values else None


@dataclass(frozen=True, slots=True)
class HmacForm:
    """A scheme in the sender's own form. `payload` is what is signed, over `{body}`, `{timestamp}` and `{id}`."""

    header: str
    algorithm: str = "sha256"
    encoding: str = "hex"
    payload: str = "{body}"
    prefix: str = ""
    timestamp_header: str | None = None
    timestamp_unit: str = "s"
    id_header: str | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """A sender of webhooks. `url` is the address that the sender calls, where the scheme signs it; `rate` is a second.

    `id_header` overrides where the sender's own id is found.
    """

    name: str
    scheme: str
    tolerance_s: float = 300.0
    max_bytes: int = 1024 * 1024
    rate: float = 1000.0
    url: str | None = None
    id_header: str | None = None
    hmac: HmacForm = field(default_factory=lambda: HmacForm(""))


def raw(text: str) -> bytes:
    """A header's value as the bytes that were sent."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise Unverified(Reason.MALFORMED) from None


def one(request: HttpRequest, name: str) -> bytes:
    """The value of a header that must be there exactly once, and not be empty."""
    values = request.headers.get(name, ())
    if not values or not values[0]:
        raise Unverified(Reason.MISSING)
    if len(values) > 1:
        raise Unverified(Reason.REPEATED)
    return raw(values[0])


def check_time(stamp: bytes, units_a_second: int, tolerance_s: float, now_s: float) -> None:
    """Refuse a time that is too far off, in either direction."""
    if STAMP.fullmatch(stamp) is None:
        raise Unverified(Reason.MALFORMED)
    age_s = now_s - int(stamp) / units_a_second
    if age_s > tolerance_s:
        raise Unverified(Reason.STALE)
    if age_s < -tolerance_s:
        raise Unverified(Reason.FUTURE)


def in_hex(digest: bytes) -> bytes:
    return digest.hex().encode()


def in_base64(digest: bytes) -> bytes:
    return base64.b64encode(digest)


def check_signature(
    keys: Keys, algorithm: str, signed: bytes, form: Callable[[bytes], bytes], candidates: Iterable[bytes]
) -> None:
    """Refuse unless a candidate is the signature by one of the keys."""
    check_signatures(keys, algorithm, (signed,), form, candidates)


def check_signatures(
    keys: Keys, algorithm: str, signed: Sequence[bytes], form: Callable[[bytes], bytes], candidates: Iterable[bytes]
) -> None:
    """Refuse unless a candidate is the signature of one of the texts. All are compared, whatever came before."""
    given = list(candidates)[:MAX_CANDIDATES]
    matches = False
    for key in keys:
        for text in signed:
            expected = form(hmac.digest(key, text, algorithm))
            for candidate in given:
                matches |= hmac.compare_digest(expected, candidate)
    if not matches:
        raise Unverified(Reason.MISMATCH)


def check_secret(keys: Keys, given: bytes) -> None:
    """Refuse unless one of the keys is given itself. Compared by digests, so that not even a length shows."""
    digest = hmac.digest(b"", given, "sha256")
    matches = False
    for key in keys:
        matches |= hmac.compare_digest(hmac.digest(b"", key, "sha256"), digest)
    if not matches:
        raise Unverified(Reason.MISMATCH)
