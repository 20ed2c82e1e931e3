"""Tables fit the terminal, whatever its width and whatever the cells hold."""

import pytest
from rich.cells import cell_len

from bridge.cli.history import COLUMNS
from bridge.cli.table import Table, cropped, moment, tags_text
from bridge.core.printable import CONTROLS
from bridge.edges.amigo.results import MessageResult

WIDE = "日本語のとても長い名前" * 4
BAD = "a\x1b[31m\nb\u202e" * 20


@pytest.mark.parametrize("width", [*range(39, 200, 7), 1000])
@pytest.mark.parametrize("text", ["", "x", WIDE, BAD, "word " * 40])
def test_a_row_fits_and_has_the_columns_that_there_is_room_for(width: int, text: str) -> None:
    table = Table(COLUMNS, "LAST MESSAGE", width)
    line = table.line([text] * (len(COLUMNS) + 1))
    assert cell_len(line) <= width
    assert cell_len(table.head) <= width
    assert not CONTROLS.search(line)
    assert table.head.startswith("ID")


def test_the_columns_that_matter_least_are_left_out_first() -> None:
    heads = {width: Table(COLUMNS, "LAST", width).head.split() for width in (40, 64, 80, 120, 160)}
    assert heads[40] == ["ID", "LAST"]
    assert heads[64] == ["ID", "CREATED", "LAST"]
    assert heads[80] == ["ID", "CREATED", "STATE", "COUNT", "LAST"]
    assert heads[120] == ["ID", "CREATED", "STATE", "COUNT", "TAGS", "LAST"]
    assert heads[160] == ["ID", "CREATED", "STATE", "COUNT", "USER", "TAGS", "LAST"]


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("short", 10, "short"),
        ("exactly", 7, "exactly"),
        ("longer text", 7, "longer…"),
        ("日本語", 4, "日 …"),
        ("a\nb", 9, r"a\nb"),
    ],
)
def test_a_text_is_cropped_to_cells(text: str, width: int, shown: str) -> None:
    assert cropped(text, width) == shown


def test_times_are_utc_and_tags_are_one_line() -> None:
    row = MessageResult.read("messages", {"id": "a", "created_at": "2026-11-28T10:12:05.250+01:00"})
    assert (moment(row.created_at), moment(None)) == ("2026-11-28 09:12:05Z", "")
    assert tags_text({"channel": "sms", "urgent": None}) == "channel=sms, urgent"
