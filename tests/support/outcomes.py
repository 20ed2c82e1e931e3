"""What became of each operation of the API: noted by the tests, told as a table at the end of the run."""

import pytest

LEGEND = (
    "ok; ref = refused, sig = sign-in refused, ear = too early, una = unavailable, los = lost, not = not sent;",
    "t = time must act, o = an operator; = may be sent again at once, ? after proof, ! never",
)


class Outcomes:
    """Outcomes by operation and case."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, str]] = {}

    def note(self, operation: str, case: str, outcome: str) -> None:
        self.rows.setdefault(operation, {})[case] = outcome

    def add(self, rows: dict[str, dict[str, str]]) -> None:
        """What another process has noted."""
        for operation, row in rows.items():
            self.rows.setdefault(operation, {}).update(row)

    def table(self) -> list[str]:
        """Operations down, cases across."""
        cases = sorted({case for row in self.rows.values() for case in row}, key=lambda case: (case != "ok", case))
        lines = [*LEGEND, " " * 28 + " ".join(f"{case:>6}" for case in cases)]
        for operation, row in sorted(self.rows.items()):
            lines.append(f"{operation:<28}" + " ".join(f"{row.get(case, ''):>6}" for case in cases))
        return lines


OUTCOMES = pytest.StashKey[Outcomes]()
