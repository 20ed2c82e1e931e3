"""How long to wait, and where: in memory or in a delay queue of the broker."""

from collections.abc import Callable
from dataclasses import dataclass

DELAY_LEVELS_S = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1200, 1800, 3600)

BUSY_WAITS_S = ((30, 30.0), (90, 60.0), (210, 120.0), (510, 300.0))
MAX_BUSY_WAIT_S = 600.0


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """`attempts` in all; the first wait `first_s`, doubling, never above `longest_s` (seconds).

    A message that the broker refuses is published again for `publish_for_s` seconds. After `refusals` refusals in a row
    a route is held; 0: never.
    """

    attempts: int = 6
    first_s: float = 1.0
    longest_s: float = 600.0
    publish_for_s: float = 300.0
    refusals: int = 20


def backoff(attempt: int, policy: RetryPolicy, dice: float) -> float | None:
    """Seconds before the attempt after number `attempt`, or None when attempts are used up.

    attempt   1    2    3    4    5    6
    dice=0    1    2    4    8   16    -
    dice=1    1.5  3    6   12   24    -

    `dice` is in 0..1: half of the wait again at most, so that many who failed together do not return together.
    """
    if attempt >= policy.attempts:
        return None
    return _doubled(attempt, policy.first_s, policy.longest_s, dice)


def pause(times: int, policy: RetryPolicy, dice: float, *, longest_s: float = 60.0) -> float:
    """Seconds of the wait number `times` (1, 2, 3 …) for something that is not the event's fault; never used up."""
    return _doubled(times, policy.first_s, min(policy.longest_s, longest_s), dice)


def republish(times: int, refused_for_s: float, policy: RetryPolicy, dice: float) -> float | None:
    """Seconds before a message that was refused `times` times, since `refused_for_s`, is published again.

    None where that would be later than `publish_for_s` after the first refusal.
    """
    wait_s = pause(times, policy, dice)
    return wait_s if refused_for_s + wait_s <= policy.publish_for_s else None


def put_off(refused_for_s: float, policy: RetryPolicy, *, longest_s: float = 60.0) -> float:
    """Seconds in a delay queue for what the broker has refused for so long: as long again, within bounds."""
    return min(max(refused_for_s, policy.first_s), longest_s, policy.longest_s)


def busy_wait_s(waited_s: float) -> float:
    """Seconds before a conversation that an event waits for is looked at again, after so many seconds of waiting.

    waited   0   30   90   210   510  …
            30   60  120   300   600
    """
    return next((wait_s for until_s, wait_s in BUSY_WAITS_S if waited_s < until_s), MAX_BUSY_WAIT_S)


@dataclass(frozen=True, slots=True)
class Backoff:
    """A policy with its dice, a function that gives numbers in 0..1."""

    policy: RetryPolicy
    dice: Callable[[], float]

    def pause(self, times: int, *, longest_s: float = 60.0) -> float:
        """Seconds of the wait number `times`; see `pause`."""
        return pause(times, self.policy, self.dice(), longest_s=longest_s)

    def republish(self, times: int, refused_for_s: float) -> float | None:
        """Seconds before a refused message is published again, or None; see `republish`."""
        return republish(times, refused_for_s, self.policy, self.dice())


def delay_level(wait_s: float) -> int:
    """The delay queue (seconds) for a wait: the shortest that is not too early, else the longest there is."""
    return next((level for level in DELAY_LEVELS_S if level >= wait_s), DELAY_LEVELS_S[-1])


def level_within(wait_s: float) -> int | None:
    """The longest delay queue (seconds) that is over within a wait; None for a wait that is shorter than all."""
    return next((level for level in reversed(DELAY_LEVELS_S) if level <= wait_s), None)


def _doubled(times: int, first_s: float, longest_s: float, dice: float) -> float:
    doubled: float = first_s * 2 ** (min(times, 32) - 1)
    return min(longest_s, doubled * (1 + dice / 2))
