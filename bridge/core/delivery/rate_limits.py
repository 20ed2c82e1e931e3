"""The API's rate limits, as far as it shows them: windows that close on a 429 or on the last permitted call.

Limits are a minute wide and count per user; sources disagree whether per organization too (docs/api-contract.md, 7.22).
So nothing is throttled on suspicion. A window closes when the API says so: for the user it said it to, for everybody
where that user cannot have used up the documented limit alone. What a single answer says holds everybody back for one
window at most, and so does what an answer says that refused nothing. Times are seconds on the caller's clock.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

WINDOW_S = 60.0
MAX_WINDOWS = 20_000

LIMITS: Mapping[str, int] = {
    "sign-in": 5,
    "create-conversation": 5,
    "interact": 15,
    "finish": 5,
    "list": 15,
    "messages": 20,
    "message-source": 30,
    "tags": 50,
    "recommend-responses": 20,
    "insights": 20,
    "conversation-starters": 10,
    "services": 50,
    "create-user": 50,
    "users": 60,
    "create-webhook-destination": 20,
    "webhook-destinations": 20,
    "update-webhook-destination": 20,
    "delete-webhook-destination": 20,
    "rotate-webhook-secret": 20,
    "webhook-deliveries": 5,
}
"""Calls a minute, of every operation that the client knows (docs/api-contract.md, 1.0)."""


@dataclass(slots=True)
class Window:
    """One user's calls of one operation since `since_s`, and the time until which it is closed."""

    since_s: float
    used: int = 0
    closed_until_s: float = 0.0


@dataclass(frozen=True, slots=True)
class BindingLimit:
    """An operation that may not be called for so many seconds: by this user, or (None) by anybody."""

    operation: str
    user_id: str | None
    left_s: float

    @property
    def facts(self) -> dict[str, object]:
        """The same as JSON."""
        return {"operation": self.operation, "user_id": self.user_id, "left_s": round(self.left_s, 1)}


class RateLimits:
    """When each user may make which call again."""

    def __init__(self) -> None:
        self._windows: OrderedDict[tuple[str, str], Window] = OrderedDict()
        self._gates: dict[str, float] = {}

    def wait_s(self, user_id: str, operation: str, now_s: float) -> float:
        """Seconds until the call may be made; 0 where it may be made now."""
        window = self._windows.get((user_id, operation))
        closed_until_s = max(self._gates.get(operation, 0.0), window.closed_until_s if window else 0.0)
        return max(0.0, closed_until_s - now_s)

    def called(self, user_id: str, operation: str, now_s: float) -> None:
        """A call is being made."""
        self._window(user_id, operation, now_s).used += 1

    def exhausted(self, user_id: str, operation: str, now_s: float, wait_s: float) -> None:
        """The API answered, and said that this was the last call for now."""
        self._window(user_id, operation, now_s).closed_until_s = now_s + min(wait_s, WINDOW_S)

    def refused(self, user_id: str, operation: str, now_s: float, wait_s: float) -> None:
        """The API answered 429. Signing in is one bucket for all; elsewhere it is the user's own, if it can be."""
        window = self._window(user_id, operation, now_s)
        window.closed_until_s = now_s + wait_s
        if operation == "sign-in" or window.used <= LIMITS.get(operation, 0):
            self._gates[operation] = now_s + min(wait_s, WINDOW_S)

    def binding(self, now_s: float) -> list[BindingLimit]:
        """The limits that hold somebody back now, the longest first."""
        gates = [BindingLimit(name, None, until_s - now_s) for name, until_s in self._gates.items()]
        own = [
            BindingLimit(operation, user_id, window.closed_until_s - now_s)
            for (user_id, operation), window in self._windows.items()
        ]
        return sorted((one for one in (*gates, *own) if one.left_s > 0), key=lambda one: -one.left_s)

    def _window(self, user_id: str, operation: str, now_s: float) -> Window:
        key = (user_id, operation)
        window = self._windows.get(key)
        if window is None or now_s - window.since_s >= WINDOW_S:
            closed_until_s = window.closed_until_s if window else 0.0
            window = self._windows[key] = Window(now_s, closed_until_s=closed_until_s)
            self._windows.move_to_end(key)
            if len(self._windows) > MAX_WINDOWS:
                self._windows.popitem(last=False)
        return window
