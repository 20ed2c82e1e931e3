"""What pytest counted, what is kept of a row, and how the table tells it."""

from pathlib import Path

import pytest

from tests.matrix.report import Result, Step, counts, kept, line, markdown


def result(name: str = "trixie", *steps: Step, trouble: str = "") -> Result:
    made = Result(name, "abc1234", "2026-11-28", f"./dev matrix {name}", "3.13.5", "4.0.5", list(steps), trouble)
    assert made.good == (bool(steps) and not trouble and all(step.status == 0 for step in steps))
    return made


SUITE = Step("suite", 0, "4127 passed", 900.4)
BROKEN = Step("suite", 1, "4125 passed, 2 failed", 900.4)
WHEEL = Step("wheel", 0, "works", 30.0)


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("....\n==== 4127 passed in 700.12s (0:11:40) ====\n", "4127 passed"),
        ("=== 2 failed, 4125 passed, 1 error in 10.00s ===\n", "4125 passed, 2 failed, 1 error"),
        (
            "=== short test summary info ===\nFAILED x\n== 1 failed, 3 passed, 2 skipped in 1.0s ==",
            "3 passed, 1 failed, 2 skipped",
        ),
        ("==== FAILURES ====\nE   AssertionError: 3 passed\n", ""),
        ("ruff failed", ""),
    ],
)
def test_what_pytest_counted_is_its_last_line(output: str, said: str) -> None:
    assert counts(output) == said


def test_what_is_kept_is_told_again_in_the_order_of_the_table(tmp_path: Path) -> None:
    given = [result("here", SUITE), result("trixie", BROKEN, WHEEL), result("sid", trouble="no root")]
    for one in given:
        one.save(tmp_path)
    found = kept(tmp_path)
    assert [one.name for one in found] == ["trixie", "sid", "here"]
    assert sorted(found, key=lambda one: one.name) == sorted(given, key=lambda one: one.name)


def test_a_later_run_of_a_row_replaces_the_earlier(tmp_path: Path) -> None:
    result("trixie", BROKEN).save(tmp_path)
    result("trixie", SUITE, WHEEL).save(tmp_path)
    assert kept(tmp_path) == [result("trixie", SUITE, WHEEL)]


def test_the_table_tells_rows_that_were_run_and_what_is_wrong() -> None:
    table = markdown([result("trixie", SUITE, WHEEL), result("sid", BROKEN), result("here", trouble="no root")])
    assert "| Debian 13, its own RabbitMQ | 3.13.5 | 4.0.5 | 4127 passed | works | 2026-11-28 | abc1234 |" in table
    assert "| Debian unstable, its own RabbitMQ | 3.13.5 | 4.0.5 | 4125 passed, 2 failed | not run |" in table
    assert "* Debian unstable, its own RabbitMQ: suite ended with status 1\n" in table
    assert "* this machine, its own RabbitMQ: no root\n" in table
    assert "Not as it should be" not in markdown([result("trixie", SUITE)])


def test_a_row_in_words() -> None:
    assert line(result("trixie", SUITE, WHEEL)) == "good: suite: 4127 passed (900 s), wheel: works (30 s)"
    assert line(result("trixie", trouble="no root")) == "NOT GOOD: no root"
