"""Finds out from the answers if an operation's limit counts each user's calls or the whole organization's.

the user's          at first; calls beyond what the organization would have are few at a time until it is proved
  ▸ organization's  three users within a window got 429 with room in their own logs, all users' calls being at the limit
organization's      for ten minutes
  ▸ on trial        one call at a time beyond the organization's log: one 429 more and it is the organization's again
proved the user's   more than twice the limit was answered within a window: an organization's two windows have no more
"""

from collections import deque

from bridge.core.delivery.call_log import Figure

REFUSED_USERS = 3
TRIAL_EVERY_S = 600.0
LEARNED_LATER_S = 30.0
"""How much later than the replica that found the scope out another one tries to go back: one of them tries."""
PROOF_WITHIN = 0.8
"""The share of a window within which the proof must have been answered: calls are counted before they are answered."""


class ScopeFinder:
    """Finds out the scope of one operation's limit."""

    __slots__ = ("_figure", "_passed", "_refused", "_since_s", "beyond", "on_trial")

    def __init__(self, figure: Figure) -> None:
        self._figure = figure
        self._passed: deque[float] = deque()
        self._refused: dict[str, float] = {}
        self._since_s: float | None = None
        self.on_trial = False
        self.beyond = 0
        """Calls under way that an organization's limit would not have let go."""

    def is_organization(self, now_s: float) -> bool:
        """True while the limit is taken to be the organization's."""
        if self._since_s is None:
            return False
        if now_s - self._since_s >= TRIAL_EVERY_S:
            self._since_s = None
            self.on_trial = True
            self._refused.clear()
            self._passed.clear()
            return False
        return True

    def proved(self, now_s: float) -> bool:
        """True where the limit cannot be the organization's."""
        since_s = now_s - PROOF_WITHIN * self._figure.window_s
        return len(self._passed) > 2 * self._figure.limit and self._passed[0] > since_s

    def may_exceed(self, now_s: float) -> bool:
        """True where one call more may be tried beyond what an organization's limit would let go."""
        return self.beyond < (1 if self.on_trial else REFUSED_USERS) - len(self._recent(now_s))

    def passed(self, now_s: float) -> None:
        """A call was answered otherwise than 429."""
        self._passed.append(now_s)
        while len(self._passed) > 2 * self._figure.limit + 1:
            self._passed.popleft()
        if self.on_trial and self.proved(now_s):
            self.on_trial = False

    def refused(self, user_id: str, now_s: float) -> bool:
        """A call got 429 with room in its user's log, all users' calls being at the limit. True: it is everybody's."""
        if self.proved(now_s):
            return False
        self._refused[user_id] = now_s
        self._refused = self._recent(now_s)
        if len(self._refused) < (1 if self.on_trial else REFUSED_USERS):
            return False
        self._since_s, self.on_trial = now_s, False
        return True

    def learned(self, ago_s: float, now_s: float) -> None:
        """Another replica found out so long ago that the limit is the organization's."""
        if ago_s < TRIAL_EVERY_S and not self.is_organization(now_s) and not self.proved(now_s):
            self._since_s, self.on_trial = now_s - ago_s + LEARNED_LATER_S, False

    def _recent(self, now_s: float) -> dict[str, float]:
        since_s = now_s - self._figure.window_s
        return {user_id: at_s for user_id, at_s in self._refused.items() if at_s > since_s}
