"""The rate limits as the client of the API sees them."""

from contextvars import ContextVar
from typing import Protocol

from bridge.core.delivery.rate_limits import CallUnderWay, LimitHeaders

CALLER: ContextVar[str] = ContextVar("caller", default="")
"""For whom calls are made, an event's id: who has to wait for a limit keeps its place under this name."""


class CallLimiter(Protocol):
    """Lets calls go when the limits allow it. Each one that was let go is told to one of the other methods, once."""

    async def admit(self, user_id: str, operation: str) -> CallUnderWay:
        """Return when the call may be made. Raises Limited where that is not at once; see CALLER."""

    def answered(self, call: CallUnderWay, headers: LimitHeaders, *, refused_s: float | None = None) -> None:
        """The call was answered, with these headers. `refused_s`: it was a 429, and for so many seconds that holds."""

    def lost(self, call: CallUnderWay) -> None:
        """The call will have no answer, and may have reached the API."""

    def unmade(self, call: CallUnderWay) -> None:
        """The call was not made: there was no connection."""
