"""When to stop asking an API that is down, and how to begin again, as values: the caller brings the clock."""

from dataclasses import dataclass, replace

FAILURES_TO_OPEN = 5
RAMP_S = 10
"""Seconds of a ramp; after as many every lane goes on."""
MAX_PROBE_WAIT_S = 3.0
"""The longest wait between two probes of an API that is down, whatever it says itself."""


@dataclass(frozen=True, slots=True)
class Breaker:
    """Failures in a row, and whether asking has been stopped over them."""

    failures: int = 0
    open: bool = False

    def failed(self) -> "Breaker":
        """One more request found the API down."""
        failures = self.failures + 1
        return Breaker(failures, self.open or failures >= FAILURES_TO_OPEN)

    def succeeded(self) -> "Breaker":
        """The API has answered a request."""
        return Breaker()

    def tripped(self) -> "Breaker":
        """Stop asking whatever the count is: a probe has failed."""
        return replace(self, open=True)

    def probed(self) -> "Breaker":
        """A probe got through: ask again, but the next failure opens at once. Only real work closes for good."""
        return replace(self, failures=FAILURES_TO_OPEN - 1, open=False)


class Ramp:
    """Turns after an outage: 1 in the first second, 2 in the next, then 4, 8, …, each at some moment of its second.

    The first turn is at once. What does not fit into RAMP_S seconds goes in the one after them; then the ramp is over.
    """

    def __init__(self, began_s: float) -> None:
        """`began_s` is when the outage was over, on the clock that the caller brings."""
        self._began_s = began_s
        self._second = 0
        self._given = 0

    def turn_s(self, now_s: float, dice: float) -> float | None:
        """Seconds until the next turn, which is the caller's; None where the ramp is over. `dice` is in 0..1."""
        second = int(now_s - self._began_s)
        if second >= RAMP_S:
            return None
        if second > self._second:
            self._second, self._given = second, 0
        if self._given >= 2**self._second and self._second < RAMP_S:
            self._second, self._given = self._second + 1, 0
        self._given += 1
        if self._second == 0:
            return 0.0
        starts_s = max(now_s, self._began_s + self._second)
        ends_s = self._began_s + self._second + 1
        return starts_s - now_s + dice * (ends_s - starts_s)


def probe_wait_s(pause_s: float, dice: float) -> float:
    """Seconds before the next probe of an API that is down: a back-off's pause, within MAX_PROBE_WAIT_S.

    `dice` is in 0..1, and makes the longest wait a third shorter at most: replicas do not ask in step.
    """
    return min(pause_s, MAX_PROBE_WAIT_S * (1 - dice / 3))
