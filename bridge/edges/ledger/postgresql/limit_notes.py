"""Notes for the logs of the other scope: calls that count there too, though that log does not hold them back.

begun ▸ taken (the database knows that it is under way) ▸ gone ▸ taken
begun ▸ gone ▸ taken: its answer alone is written

They are written together twice a second, so that the organization's row, in which all calls count, holds none up.
"""

from collections import Counter
from dataclasses import replace

from bridge.edges.ledger.postgresql.limit_rows import CallReport

MAX_NOTES = 100_000


class CallNotes:
    """Gathers them by the calls' tickets. `urgent` is true where they go with the next question."""

    def __init__(self) -> None:
        self.urgent = False
        self._begun: dict[str, CallReport] = {}
        self._known: dict[str, CallReport] = {}
        self._gone: list[CallReport] = []

    def __bool__(self) -> bool:
        return bool(self._begun or self._gone)

    def begun(self, ticket: str, report: CallReport, *, known: bool = False) -> None:
        """A call goes. `known`: the database has heard of it."""
        if len(self._known) + len(self._begun) < MAX_NOTES:
            (self._known if known else self._begun)[ticket] = report

    def gone(self, ticket: str, at_s: float | None) -> None:
        """The call has its answer, or (None) was not made."""
        if (report := self._begun.pop(ticket, None)) is not None:
            if at_s is not None:
                self._gone.append(replace(report, id_=None, begun_s=None, at_s=at_s))
        elif (report := self._known.pop(ticket, None)) is not None:
            self._gone.append(replace(report, begun_s=None, at_s=at_s))
        del self._gone[:-MAX_NOTES]

    def hurry(self) -> None:
        """Let them go with the next question: they may decide something."""
        self.urgent = True

    def taken(self) -> list[CallReport]:
        """All that is new. Of answers no more than can matter in a log."""
        counts: Counter[tuple[str, str]] = Counter()
        gone = []
        for report in reversed(self._gone):
            counts[report.scope, report.operation] += report.id_ is None
            if report.id_ is not None or counts[report.scope, report.operation] <= 2 * report.limit:
                gone.append(report)
        new = [*reversed(gone), *self._begun.values()]
        self._known |= self._begun
        self._begun, self._gone, self.urgent = {}, [], False
        return new
