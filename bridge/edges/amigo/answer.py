"""What an answer of the API says beside its status: its words, and when to come back (contract, sections 1, 7.23)."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import orjson

LONGEST_TEXT = 500
LONGEST_WAIT_S = 3600.0


def words(body: bytes, secrets: tuple[str, ...]) -> str:
    """The API's own words in an error body, secrets removed; the body as it is where it is not JSON."""
    text = _said(body)
    for secret in secrets:
        text = text.replace(secret, "***")
    return " ".join(text.split())[:LONGEST_TEXT]


def retry_after_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """Seconds until the next call may be made: `Retry-After` (seconds or a date), else `X-RateLimit-Reset` (epoch)."""
    wait_s = _seconds(headers.get("Retry-After"), now_s)
    if wait_s is None:
        reset_s = _number(headers.get("X-RateLimit-Reset"))
        wait_s = reset_s - now_s if reset_s is not None else None
    return None if wait_s is None else min(max(wait_s, 0.0), LONGEST_WAIT_S)


def is_last(headers: Mapping[str, str]) -> bool:
    """Whether the API says that no further call is left in this window."""
    return headers.get("X-RateLimit-Remaining", "").strip() == "0"


def _said(body: bytes) -> str:
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        return body.decode("utf-8", "replace")
    if isinstance(said, dict):
        for name in ("message", "error", "detail"):
            if said.get(name):
                return said[name] if isinstance(said[name], str) else orjson.dumps(said[name]).decode()
    return body.decode("utf-8", "replace")


def _seconds(value: str | None, now_s: float) -> float | None:
    if value is None:
        return None
    seconds = _number(value)
    if seconds is not None:
        return seconds
    try:
        at = parsedate_to_datetime(value)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - now_s
    except (TypeError, ValueError, OverflowError):
        return None


def _number(value: str | None) -> float | None:
    try:
        number = float(value) if value is not None else None
    except ValueError:
        return None
    return number if number is not None and number == number and abs(number) < 1e12 else None


def until(expires_at: object) -> float | None:
    """A time in ISO 8601 as Unix seconds; None where it cannot be read."""
    try:
        at = datetime.fromisoformat(str(expires_at))
    except ValueError:
        return None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
