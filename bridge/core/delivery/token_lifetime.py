"""Times that another machine tells, as spans of its own clock: two machines' wall clocks are never compared.

A token that has expired by its issuer's own clock, or of which nothing can be told, is used until it is refused: that
costs one request more when it ends, where renewing it too often would use up the limit for signing in.
"""

from dataclasses import dataclass

EARLY_S = 300.0
"""How long before its end a token is renewed, if it lives long enough."""
TELLABLE_S = 1.0
"""HTTP tells the time in whole seconds: a shorter span may be none."""
TOLERATED_S = 60.0
"""How far two clocks may be apart before it is said."""


@dataclass(frozen=True, slots=True)
class ClockFault:
    """A fault of the clocks, and by how much this machine's is ahead (behind: negative), in seconds."""

    error: str
    ahead_s: float


def span_s(at_s: float | None, told_at_s: float | None) -> float | None:
    """Seconds from when a machine spoke to a time that it named, both on its own clock; None where one is missing."""
    return None if at_s is None or told_at_s is None else at_s - told_at_s


def use_for_s(lifetime_s: float | None) -> float | None:
    """Seconds for which a token is used before it is renewed; None: until it is refused.

    lifetime   None  -7200  0     2  600  3600
    use        None  None   None  1  300  3300
    """
    if lifetime_s is None or lifetime_s <= TELLABLE_S:
        return None
    return max(lifetime_s - EARLY_S, lifetime_s / 2)


def clock_fault(now_s: float, dated_s: float | None, expires_s: float | None) -> ClockFault | None:
    """The fault of the clocks that a sign-in shows, to be told; it decides nothing.

    `now_s` is this machine's time, `dated_s` the API's, where it told it, and `expires_s` the end of the new token.
    """
    if dated_s is not None and abs(now_s - dated_s) > TOLERATED_S:
        return ClockFault("this machine's clock differs from the API's", now_s - dated_s)
    issued_s = now_s if dated_s is None else dated_s
    if expires_s is not None and expires_s <= issued_s:
        return ClockFault("a new token has expired already; it is used until the API refuses it", issued_s - expires_s)
    return None
