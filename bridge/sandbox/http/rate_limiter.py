"""The API's rate limits: fixed windows of one minute for each operation and user, or organization."""

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime

from bridge.sandbox.http.refusal import Refusal
from bridge.sandbox.options import SandboxOptions
from bridge.sandbox.state.clock import Clock

_WINDOW_MS = 60_000


@dataclass
class _Window:
    start_ms: int
    used: int = 0


class Limiter:
    """Counts calls; refuses with 429 and the header variants that the options choose."""

    def __init__(self, options: SandboxOptions, clock: Clock) -> None:
        self._options = options
        self._clock = clock
        self._windows: dict[tuple[str, str, str], _Window] = {}

    def reset(self) -> None:
        self._windows.clear()

    def admit(self, operation: str, per_minute: int, org_id: str, user_id: str) -> dict[str, str]:
        """Headers for the answer; raises the 429 when the window is full."""
        if self._options.limits == "off" or not per_minute:
            return {}
        now_ms = self._clock.now_ms()
        key = (operation, org_id, user_id if self._options.limits == "user" else "")
        window = self._windows.get(key)
        if window is None or now_ms >= window.start_ms + _WINDOW_MS:
            window = self._windows[key] = _Window(now_ms)
        window.used += 1
        headers = self._headers(per_minute, window)
        if window.used > per_minute:
            raise too_many(per_minute, headers, self._retry_after(window, now_ms))
        return headers

    def _headers(self, per_minute: int, window: _Window) -> dict[str, str]:
        if not self._options.limit_headers:
            return {}
        reset_s = -(-(window.start_ms + _WINDOW_MS) // 1000)
        return {
            "X-RateLimit-Limit": str(per_minute),
            "X-RateLimit-Remaining": str(max(0, per_minute - window.used)),
            "X-RateLimit-Reset": str(reset_s),
        }

    def _retry_after(self, window: _Window, now_ms: int) -> dict[str, str]:
        wait_ms = window.start_ms + _WINDOW_MS - now_ms
        return retry_after(self._options.retry_after, wait_ms / 1000, now_ms)


def retry_after(form: str, wait_s: float, now_ms: int) -> dict[str, str]:
    """The ``Retry-After`` header as whole seconds, as an HTTP date, or not at all (``absent``)."""
    if form == "absent":
        return {}
    whole_s = max(0, -int(-wait_s // 1))
    if form == "date":
        due = datetime.fromtimestamp(now_ms // 1000 + whole_s, UTC)
        return {"Retry-After": format_datetime(due, usegmt=True)}
    return {"Retry-After": str(whole_s)}


def too_many(per_minute: int, *headers: dict[str, str]) -> Refusal:
    """The 429 with the text of docs/api-contract.md, 1."""
    text = f"The user has exceeded the rate limit of {per_minute} requests per minute for this endpoint."
    return Refusal(429, text, {name: value for part in headers for name, value in part.items()})
