"""A token bucket: so many a second, and as many at once as fit into one second."""


class TokenBucket:
    """`rate` a second. Times are seconds on the caller's clock."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._most = max(1.0, rate)
        self._left = self._most
        self._at_s: float | None = None

    def take(self, now_s: float) -> float:
        """Take one: 0 where there was one, otherwise the seconds until there will be."""
        before_s = now_s if self._at_s is None else self._at_s
        self._at_s = now_s
        self._left = min(self._most, self._left + max(0.0, now_s - before_s) * self._rate)
        if self._left >= 1:
            self._left -= 1
            return 0.0
        return (1 - self._left) / self._rate
