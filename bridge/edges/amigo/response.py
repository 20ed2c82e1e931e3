"""An answer of the API beside its status: its words, and when to come back (docs/api-contract.md, 1, 7.23).

Times in it are the API's. They become spans by its own `Date`; without one nothing is told by them.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import orjson

from bridge.core.delivery.rate_limits import LimitHeaders
from bridge.core.delivery.token_lifetime import span_s

MAX_TEXT_CHARS = 500
MAX_RETRY_AFTER_S = 600.0
"""The limits are a minute wide: what names a later time is asked again after ten."""
NO_LIMIT_HEADERS = LimitHeaders()
COUNT = re.compile(r"[0-9]{1,9}", re.ASCII)
NUMBER = re.compile(r"[+-]?[0-9]{1,400}(?:\.[0-9]*)?")
MAX_DELTA_S = 1e8
"""`X-RateLimit-Reset` is Unix seconds; smaller numbers are seconds from now, as others send it, …"""
LEAST_EPOCH_MS, MAX_EPOCH_MS = 1e11, 1e14
"""… and these are Unix milliseconds."""


def error_text(body: bytes, secrets: tuple[str, ...]) -> str:
    """The API's own words in an error body, secrets removed; the body as it is where it is not JSON."""
    text = _words(body)
    for secret in secrets:
        text = text.replace(secret, "***")
    return " ".join(text.split())[:MAX_TEXT_CHARS]


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds until the next call may be made: `Retry-After` (seconds or a date), else `X-RateLimit-Reset`.

    0 where that is now or over; None where the answer does not tell.
    """
    after, reset = headers.get("Retry-After"), headers.get("X-RateLimit-Reset")
    if after is None and reset is None:
        return None
    date_s = dated_s(headers)
    wait_s = _seconds(after, date_s)
    if wait_s is None:
        wait_s = _reset(reset, date_s)
    return None if wait_s is None else min(max(wait_s, 0.0), MAX_RETRY_AFTER_S)


def limit_headers(headers: Mapping[str, str]) -> LimitHeaders:
    """The rate-limit headers of an answer, as far as there are some that make sense."""
    if "X-RateLimit-Remaining" not in headers and "X-RateLimit-Limit" not in headers:
        return NO_LIMIT_HEADERS
    return LimitHeaders(
        _count(headers.get("X-RateLimit-Limit")), _count(headers.get("X-RateLimit-Remaining")), retry_after_s(headers)
    )


def dated_s(headers: Mapping[str, str]) -> float | None:
    """When the answer was written, by the clock of who wrote it: Unix seconds; None where it does not say."""
    return _http_date(headers.get("Date"))


def until(expires_at: object) -> float | None:
    """A time in ISO 8601 (UTC without a zone), or a number of Unix seconds, as Unix seconds; None for anything else."""
    if isinstance(expires_at, int | float) and not isinstance(expires_at, bool):
        return float(expires_at) if abs(expires_at) < LEAST_EPOCH_MS else None
    try:
        return _unix(datetime.fromisoformat(str(expires_at).strip()))
    except (ValueError, OverflowError):
        return None


def duration_s(expires_in: object) -> float | None:
    """A number of seconds, also as text; None for anything else."""
    if isinstance(expires_in, bool) or not isinstance(expires_in, int | float | str):
        return None
    return _number(str(expires_in))


def _words(body: bytes) -> str:
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        return body.decode("utf-8", "replace")
    if isinstance(content, dict):
        for name in ("message", "error", "detail"):
            if content.get(name):
                return content[name] if isinstance(content[name], str) else orjson.dumps(content[name]).decode()
    return body.decode("utf-8", "replace")


def _seconds(value: str | None, date_s: float | None) -> float | None:
    seconds = _number(value)
    return seconds if seconds is not None else span_s(_http_date(value), date_s)


def _reset(value: str | None, date_s: float | None) -> float | None:
    number = _number(value)
    if number is None or number >= MAX_EPOCH_MS:
        return None
    if number < MAX_DELTA_S:
        return number
    return span_s(number if number < LEAST_EPOCH_MS else number / 1000, date_s)


def _http_date(value: str | None) -> float | None:
    if value is None:
        return None
    try:
        return _unix(parsedate_to_datetime(value))
    except (TypeError, ValueError, OverflowError, IndexError):
        return None


def _unix(at: datetime) -> float:
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _number(value: str | None) -> float | None:
    return float(value) if value is not None and NUMBER.fullmatch(value.strip()) else None


def _count(value: str | None) -> int | None:
    return int(value) if value is not None and COUNT.fullmatch(value.strip()) else None
