"""The API's rate limits for each operation and user, or organization: windows that begin anywhere, or slide."""

from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from zlib import crc32

from bridge.sandbox.http.refusal import Refusal
from bridge.sandbox.options import SandboxOptions
from bridge.sandbox.state.clock import Clock


@dataclass
class _Window:
    start_ms: int
    used: int = 0
    calls_ms: deque[int] = field(default_factory=deque)
    """The calls in a window that slides."""


class Limiter:
    """Counts calls; refuses with 429 and the header variants that the options choose."""

    def __init__(self, options: SandboxOptions, clock: Clock) -> None:
        self._options = options
        self._clock = clock
        self._window_ms = max(1, round(options.limit_window_s * 1000))
        self._windows: dict[tuple[str, str, str], _Window] = {}

    def reset(self) -> None:
        self._windows.clear()

    def admit(self, operation: str, per_minute: int, org_id: str, user_id: str) -> dict[str, str]:
        """Headers for the answer; raises the 429 when the window is full."""
        if self._options.limits == "off" or not per_minute:
            return {}
        now_ms = self._clock.now_ms()
        key = (operation, org_id, user_id if self._options.limits == "user" else "")
        window = self._window(key, now_ms)
        window.used += 1
        if self._options.limit_windows == "sliding":
            window.calls_ms.append(now_ms)
        headers = self._headers(per_minute, window)
        if window.used > per_minute:
            wait_ms = window.start_ms + self._window_ms - now_ms
            raise too_many(per_minute, headers, retry_after(self._options.retry_after, wait_ms / 1000, now_ms))
        return headers

    def _window(self, key: tuple[str, str, str], now_ms: int) -> _Window:
        """The window that the call falls into."""
        window = self._windows.get(key)
        if self._options.limit_windows == "sliding":
            window = self._windows.setdefault(key, _Window(now_ms))
            while window.calls_ms and window.calls_ms[0] <= now_ms - self._window_ms:
                window.calls_ms.popleft()
            window.used = len(window.calls_ms)
            window.start_ms = window.calls_ms[0] if window.calls_ms else now_ms
        elif window is None or now_ms >= window.start_ms + self._window_ms:
            start_ms = now_ms
            if self._options.limit_windows == "clock":
                start_ms -= (now_ms - crc32("/".join(key).encode())) % self._window_ms
            window = self._windows[key] = _Window(start_ms)
        return window

    def _headers(self, per_minute: int, window: _Window) -> dict[str, str]:
        if not self._options.limit_headers:
            return {}
        reset_s = -(-(window.start_ms + self._window_ms) // 1000)
        return {
            "X-RateLimit-Limit": str(per_minute),
            "X-RateLimit-Remaining": str(max(0, per_minute - window.used)),
            "X-RateLimit-Reset": str(reset_s),
        }


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
