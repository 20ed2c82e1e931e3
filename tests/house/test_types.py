"""`Any` switches the checking of types off, so it is rare: in what is known by no type there is `object`."""

import re
from pathlib import PurePosixPath

import pytest

from tests.house.source import name, python

MAX_LINES = 40
WORD = re.compile(r"\bAny\b")
ELSEWHERE = ("bridge/settings", "bridge/sandbox", "bridge/edges/jinja", "bridge/edges/amigo/results.py")
"""Whose values are anything: pydantic's, the sandbox's state, what templates see, what the API answers."""


def lines_with_any(text: str) -> int:
    """Lines with the word, be it a type, an import, or prose."""
    return sum(WORD.search(line) is not None for line in text.splitlines())


def is_counted(path: str) -> bool:
    return not any(PurePosixPath(path).is_relative_to(start) for start in ELSEWHERE)


def test_any_is_rare() -> None:
    counts = {name(path): lines_with_any(path.read_text(encoding="utf-8")) for path in python("bridge")}
    counted = {path: count for path, count in counts.items() if count and is_counted(path)}
    assert sum(counted.values()) < MAX_LINES, counted


@pytest.mark.parametrize(
    ("text", "count"),
    [("from typing import Any\nx: dict[str, Any] = {}\n", 2), ("Anything\nany\nMany", 0), ("x: list[Any]; y: Any", 1)],
)
def test_the_lines_are_counted(text: str, count: int) -> None:
    assert lines_with_any(text) == count


def test_a_folder_counts_by_its_whole_name() -> None:
    assert is_counted("bridge/sandboxes.py")
    assert not is_counted("bridge/sandbox/state/rows.py")
