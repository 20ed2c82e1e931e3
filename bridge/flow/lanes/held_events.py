"""The events of this process in held queues, and on their way back, each for as long as newer ones wait for it."""

from collections.abc import Callable, Iterator

MAX_HELD = 100_000
"""Held events whose places are remembered."""
PASSED_ON_S = 15.0
"""How long after a pause was lifted what it held is waited for: another process may have got it."""


class HeldEvents:
    """Held by the key of a pause; once that is lifted, on their way back. A look costs nothing where nothing changed.

    Times are seconds on the event loop's clock.
    """

    def __init__(self, holding: Callable[[str], bool]) -> None:
        """`holding` is true of the key of a pause that is not lifted."""
        self._holding = holding
        self._held: dict[str, dict[str, None]] = {}
        self._key_of: dict[str, str] = {}
        self._back_by_s: dict[str, float] = {}
        """Until when each is waited for; those first that were passed on first."""

    def __bool__(self) -> bool:
        return bool(self._key_of or self._back_by_s)

    def __contains__(self, event_id: str) -> bool:
        return event_id in self._key_of or event_id in self._back_by_s

    def hold(self, event_id: str, key: str) -> bool:
        """The event is in the held queue until that pause is lifted. False where there are too many to remember."""
        if len(self._key_of) >= MAX_HELD:
            return False
        self.drop(event_id)
        self._held.setdefault(key, {})[event_id] = None
        self._key_of[event_id] = key
        return True

    def drop(self, event_id: str) -> None:
        """The event is in hand again, or is waited for no more."""
        self._back_by_s.pop(event_id, None)
        key = self._key_of.pop(event_id, None)
        if key is not None:
            del self._held[key][event_id]
            if not self._held[key]:
                del self._held[key]

    def lifted(self, now_s: float) -> Iterator[str]:
        """Those that no pause holds any more, once: they are on their way back from now on."""
        for key in [key for key in self._held if not self._holding(key)]:
            for event_id in list(self._held.get(key, ())):
                self.drop(event_id)
                self._back_by_s[event_id] = now_s + PASSED_ON_S
                yield event_id

    def overdue(self, now_s: float) -> Iterator[str]:
        """Those that have not come back in time, once."""
        while self._back_by_s:
            event_id, until_s = next(iter(self._back_by_s.items()))
            if until_s > now_s:
                return
            del self._back_by_s[event_id]
            yield event_id
