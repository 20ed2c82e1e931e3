"""Time that counts only now and then: while an inbound is consumed and its backlog is below the prefetch.

An event that does not come back is lost after `lanes.lost_after` of such time (docs/semantics.md, Lanes): while the
queue is not consumed, or is longer than what is held of it, the event may well be in it.
"""

from collections import deque
from math import inf


class CountedTime:
    """Spans of one clock that count, as far back as `span_s` of them reach."""

    def __init__(self, span_s: float) -> None:
        self.span_s = span_s
        self._spans: deque[tuple[float, float]] = deque()
        self._since_s: float | None = None

    def look(self, now_s: float, *, counts: bool) -> None:
        """From now on time counts, or it does not."""
        if self._since_s is not None and now_s > self._since_s:
            self._spans.append((self._since_s, now_s))
            self._drop()
        self._since_s = now_s if counts else None

    def began_s(self, now_s: float) -> float:
        """The latest moment since which `span_s` seconds have counted; -inf where there were not so many."""
        left_s = self.span_s
        spans: list[tuple[float, float]] = [*self._spans, *(() if self._since_s is None else ((self._since_s, now_s),))]
        for from_s, to_s in reversed(spans):
            if to_s - from_s >= left_s:
                return to_s - left_s
            left_s -= max(0.0, to_s - from_s)
        return -inf

    def _drop(self) -> None:
        """Forget what is farther back than anybody asks; neighbours become one."""
        if len(self._spans) > 1 and self._spans[-2][1] == self._spans[-1][0]:
            (from_s, _), (_, to_s) = self._spans[-2], self._spans[-1]
            self._spans.pop()
            self._spans[-1] = (from_s, to_s)
        counted_s = sum(to_s - from_s for from_s, to_s in self._spans)
        while self._spans and counted_s - (self._spans[0][1] - self._spans[0][0]) >= self.span_s:
            from_s, to_s = self._spans.popleft()
            counted_s -= to_s - from_s
