"""Trying again, ever less often, an improvement that pays only under changing circumstances."""

MAX_INTERVAL = 64


class AdaptiveInterval:
    """After n vain trials in a row every 2**n-th occasion is due, at most MAX_INTERVAL apart; a success ends that."""

    def __init__(self) -> None:
        self._every = 1
        self._passed = 0

    def due(self) -> bool:
        """An occasion has come; whether to try."""
        self._passed += 1
        return self._passed >= self._every

    def ended(self, *, paid: bool) -> None:
        """Note a trial, and its success."""
        self._passed = 0
        self._every = 1 if paid else min(2 * self._every, MAX_INTERVAL)
