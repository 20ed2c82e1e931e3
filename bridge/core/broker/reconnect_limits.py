"""How long the bridge puts up with what looks broken at a broker that is there, before it connects anew.

Whatever a generation holds is delivered again to the next one, and the broker counts that: after the queue's delivery
limit an event is dead-lettered as poison. Where connecting anew does not mend it, it must not be done over and over.
"""

MAX_FACTOR = 128.0
WELL_FOR = 4.0
"""Multiples of the limit that a generation must have lived for the next trouble to be a new one."""


def limit_factor(before: float, *, judged: bool, lived_s: float, limit_s: float) -> float:
    """The factor on the limits of the next generation, at least 1.

    `before` is the factor of the one that has ended, `judged` whether the bridge ended it by such a limit, `limit_s`
    the longest of them without a factor.

    generation ended by a limit     1st   2nd   3rd   4th ... 8th   9th
    factor of the next one            2     4     8    16     128   128
    """
    if not judged:
        return 1.0
    again = lived_s <= WELL_FOR * before * limit_s
    return min(2.0 * before, MAX_FACTOR) if again else 2.0
