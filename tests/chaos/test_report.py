"""The table: what was found is kept, added up, and shown with the way to repeat it."""

from pathlib import Path

from tests.chaos import report, summary
from tests.chaos.comparing import VIOLATIONS, Verdict
from tests.chaos.program import ROWS
from tests.chaos.report import COLUMNS, Result


def result() -> Result:
    verdict = Verdict(events=12, uncertain=1)
    verdict.found("lost", "e1 is gone")
    return Result("kill-line", "kill -9", 7, times=5, batches=[1], verdict=verdict, recoveries_s=[0.5, 1.5, 1.0])


def test_what_was_found_is_read_again(tmp_path: Path) -> None:
    result().save(tmp_path)
    assert report.load(tmp_path, "kill-line") == result()
    assert report.load(tmp_path, "kill-random") is None


def test_the_table_shows_every_violation_and_the_sum() -> None:
    assert {name for _, names in COLUMNS for name in names} == set(VIOLATIONS)
    said = report.markdown([result(), result()], "a machine")
    assert "| kill -9 | 5 | 12 | 1 | 0 |" in said
    assert "| **all** | 10 | 24 | 2 | 0 |" in said
    assert "| 1.0 s | 1.5 s |" in said
    assert said.count("* kill-line: lost: e1 is gone") == 2


def test_rows_have_names_of_their_own() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)
    assert all(0 < row.batch <= row.times for row in ROWS)


def test_every_row_has_its_place_in_the_short_table() -> None:
    groups = [summary.group_of(row.name) for row in ROWS]
    assert set(groups) == {title for title, _ in summary.GROUPS}
    assert {name for _, names in summary.COLUMNS for name in names} == {*VIOLATIONS, "uncertain"}
    assert f"| {summary.group_of('kill-line')} | 5 | 12 | 1 | 0 |" in summary.table([result()])
