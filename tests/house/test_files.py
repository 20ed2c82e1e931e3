"""How files are named, how long they and their functions are, and that rules at a file's top are obeyed."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.source import BRIDGE, committed, name, python, tree

EMPTY_NAMES = frozenset(
    {"util", "utils", "helper", "helpers", "common", "base", "manager", "managers", "misc", "shared"}
)
MAX_LINES = 400
MAX_FUNCTION_LINES = 60
MAX_OF_BRIDGE, P99_OF_BRIDGE = 50, 30
LEFT_OPEN = re.compile("|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X:")))


def empty_names(path: Path) -> set[str]:
    """Parts of the path that own no noun."""
    words = {word for part in path.with_suffix("").parts for word in re.split(r"[_-]", part.lower())}
    return words & EMPTY_NAMES


def long_functions(parsed: ast.AST) -> Iterator[tuple[str, int]]:
    """Functions of more lines than anybody reads at once."""
    for node in ast.walk(parsed):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > MAX_FUNCTION_LINES:
                yield node.name, lines


def assigners(parsed: ast.AST, attribute: str) -> set[str]:
    """Names of the functions that assign to `self.<attribute>`."""
    return {
        function.name
        for function in ast.walk(parsed)
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Attribute) and node.attr == attribute and isinstance(node.ctx, ast.Store)
    }


def test_files_are_named_by_the_noun_that_they_own() -> None:
    assert {name(path): empty_names(Path(name(path))) for path in committed() if empty_names(Path(name(path)))} == {}


@pytest.mark.parametrize("path", ["bridge/utils.py", "bridge/core/common.py", "tests/http_helpers.py", "base/x.py"])
def test_an_empty_name_would_be_seen(path: str) -> None:
    assert empty_names(Path(path))


def test_no_file_is_longer_than_400_lines() -> None:
    lines = {name(path): len(path.read_bytes().splitlines()) for path in python()}
    assert len(lines) > 50
    assert {path: count for path, count in lines.items() if count > MAX_LINES} == {}


def test_no_function_is_longer_than_60_lines() -> None:
    assert [(name(path), *found) for path in python() for found in long_functions(tree(path))] == []


def test_functions_of_the_bridge_are_short_and_their_tail_too() -> None:
    lengths = sorted(
        (node.end_lineno or node.lineno) - node.lineno + 1
        for path in python("bridge")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    assert lengths[-1] <= MAX_OF_BRIDGE
    assert lengths[int(0.99 * len(lengths))] <= P99_OF_BRIDGE


def test_a_long_function_would_be_seen() -> None:
    sixty = "def f():\n" + "    x = 1\n" * 59
    assert list(long_functions(ast.parse(sixty))) == []
    assert list(long_functions(ast.parse(sixty + "    x = 1\n"))) == [("f", 61)]
    assert list(long_functions(ast.parse("class C:\n" + " async def g(self):\n" + "  x = 1\n" * 60))) == [("g", 61)]


def test_nothing_is_left_for_later() -> None:
    places = [path for path in committed() if path.suffix in (".py", ".sh", ".md", ".yaml", ".toml", "")]
    found = [name(path) for path in places if LEFT_OPEN.search(path.read_text(encoding="utf-8", errors="replace"))]
    assert found == []


def test_every_change_of_stage_goes_through_the_table() -> None:
    conversation = tree(BRIDGE / "core" / "answer" / "answer_stream.py")
    assert assigners(conversation, "_stage") == {"__init__", "_advance"}
    assert assigners(ast.parse("class C:\n def f(self):\n  self._stage = 1"), "_stage") == {"f"}


def test_every_file_of_the_product_says_at_its_top_what_it_is() -> None:
    files = [path for path in python("bridge", "deploy") if path.read_bytes().strip()]
    assert [name(path) for path in files if not ast.get_docstring(tree(path))] == []
