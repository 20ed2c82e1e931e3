"""When to stop asking an API that is down, as a value: the caller brings the clock."""

from dataclasses import dataclass, replace

FAILURES_TO_OPEN = 5


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

    def probed(self) -> "Breaker":
        """A probe got through: ask again, but the next failure opens at once. Only real work closes for good."""
        return replace(self, failures=FAILURES_TO_OPEN - 1, open=False)
