"""Who may steer: the roles of the admin's tokens, and the users of the broker whose commands are obeyed.

docs/operations.md, Steering.
"""

from collections import OrderedDict, deque
from collections.abc import Collection
from enum import StrEnum

MAX_FAILURES, FAILURES_S = 10, 60.0
MAX_ADDRESSES = 10_000


class Role(StrEnum):
    """The role of a token: a viewer looks, an operator changes too."""

    OPERATOR = "operator"
    VIEWER = "viewer"


def may_command(user_id: str | None, own: str, users: Collection[str]) -> bool:
    """True for a command on `bridge.control` of the bridge's own user there, or of one that is configured.

    `user_id` is the property that the broker has validated; without it nobody knows who speaks.
    """
    return bool(user_id) and (user_id == own or user_id in users)


class FailedLogins:
    """Failed logins of the last minute, by address. Times are seconds of any clock that never goes back."""

    def __init__(self, most: int = MAX_FAILURES, within_s: float = FAILURES_S) -> None:
        self._most = most
        self._within_s = within_s
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def wait_s(self, address: str, now_s: float) -> float:
        """Seconds before this address may try again; 0 where it may at once."""
        failures = self._failures.get(address)
        while failures and failures[0] <= now_s - self._within_s:
            failures.popleft()
        if not failures or len(failures) < self._most:
            return 0.0
        return failures[0] + self._within_s - now_s

    def failed(self, address: str, now_s: float) -> None:
        """Note one more. Of addresses that are too many, the one goes that failed least lately."""
        failures = self._failures.setdefault(address, deque(maxlen=self._most))
        failures.append(now_s)
        self._failures.move_to_end(address)
        if len(self._failures) > MAX_ADDRESSES:
            self._failures.popitem(last=False)
