"""The rows cover what is supported, and the design's table of versions is theirs."""

from itertools import product

import pytest

from tests.matrix.rows import DEBIANS, HERE, ROWS, Row, chosen


def test_every_supported_python_meets_every_supported_rabbitmq() -> None:
    combined = {(DEBIANS[row.system].python, DEBIANS[row.broker].rabbitmq) for row in ROWS if row.system != HERE}
    assert combined == set(product(("3.11", "3.13", "3.14"), ("3.10", "4.0", "4.3")))


def test_rows_have_names_of_their_own() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)
    assert len({row.title for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize(
    ("row", "name", "roots"),
    [
        (Row("trixie", "trixie"), "trixie", ("trixie",)),
        (Row("trixie", "sid"), "trixie-sid", ("trixie", "sid")),
        (Row(HERE, "sid"), "here-sid", ("sid",)),
        (Row(HERE, HERE), "here", ()),
    ],
)
def test_a_row_takes_the_roots_that_it_names(row: Row, name: str, roots: tuple[str, ...]) -> None:
    assert (row.name, row.roots) == (name, roots)


def test_rows_are_chosen_by_name_in_the_order_of_the_table() -> None:
    assert [row.name for row in chosen(["here", "trixie"])] == ["trixie", "here"]
    assert chosen([]) == list(ROWS)
