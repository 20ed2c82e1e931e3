"""Tables for a terminal: rows are shown as they come, so a column is as wide as it is said to be, and never wider."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.cells import cell_len, set_cell_size

from bridge.core.printable import printable

GAP = "  "
MIN_REST = 14
"""Cells of the last column below which another column is left out."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of so many cells; the higher its rank, the sooner it is left out where there is no room."""

    title: str
    width: int
    rank: int = 0


class Table:
    """Columns and, after them, one that takes what is left of the width."""

    def __init__(self, columns: Sequence[Column], rest: str, width: int) -> None:
        kept = list(columns)
        while kept and self._rest(kept, width) < MIN_REST:
            least = max(kept, key=lambda column: column.rank)
            if least.rank == 0:
                break
            kept.remove(least)
        self._columns = [(columns.index(column), column.width) for column in kept]
        self._rest_width = max(self._rest(kept, width), 1)
        self.head = self.line([*(column.title for column in columns), rest])

    def line(self, cells: Sequence[str]) -> str:
        """A row: one text for every column that was asked for, and the last."""
        parts = [cropped(one_line(cells[index]), width, pad=True) for index, width in self._columns]
        return GAP.join([*parts, cropped(one_line(cells[-1]), self._rest_width)]).rstrip()

    @staticmethod
    def _rest(columns: Sequence[Column], width: int) -> int:
        return width - sum(column.width + len(GAP) for column in columns)


def one_line(text: str) -> str:
    """The text with single blanks for every run of white space."""
    return " ".join(text.split())


def cropped(text: str, width: int, *, pad: bool = False) -> str:
    """The text in at most `width` cells, made safe for a terminal."""
    text = printable(text)
    if cell_len(text) > width:
        text = set_cell_size(text, width - 1) + "…"
    return set_cell_size(text, width) if pad else text


def moment(at: datetime | None) -> str:
    """A time for a person, to the second, in UTC."""
    return "" if at is None else at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def tags_text(tags: Mapping[str, str | None]) -> str:
    """Tags in one line."""
    return ", ".join(key if value is None else f"{key}={value}" for key, value in tags.items())
