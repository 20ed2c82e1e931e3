"""Which webhooks have been taken: a bounded memory of keys, oldest out first."""

from collections import OrderedDict

KEEP_S = 24 * 3600.0
"""As long as senders that are known repeat themselves (docs/api-contract.md, 5)."""
MAX_ENTRIES = 100_000


class Duplicates:
    """Event ids by the keys under which a repeat may come. Times are seconds on the caller's clock."""

    def __init__(self, keep_s: float = KEEP_S, most: int = MAX_ENTRIES) -> None:
        self._keep_s = keep_s
        self._most = most
        self._remembered: OrderedDict[str, tuple[str, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._remembered)

    def find(self, keys: tuple[str, ...], now_s: float) -> str | None:
        """The event id that was remembered under one of the keys, if it was not too long ago."""
        for key in keys:
            remembered = self._remembered.get(key)
            if remembered is not None and now_s - remembered[1] <= self._keep_s:
                return remembered[0]
        return None

    def remember(self, keys: tuple[str, ...], event_id: str, now_s: float) -> None:
        """From now on these keys are known."""
        for key in keys:
            self._remembered[key] = (event_id, now_s)
            self._remembered.move_to_end(key)
        while len(self._remembered) > self._most:
            self._remembered.popitem(last=False)
