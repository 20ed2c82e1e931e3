"""The progress of an event changes by steps of one table: `work.apply(step)`, its handling by `work.follow(step)`.

Nothing else assigns or rebuilds them.
"""

import ast
from collections.abc import Iterator

import pytest

from .source import name, python, tree

PROGRESS = "bridge/core/delivery/progress.py"
HANDLING = "bridge/core/delivery/handling.py"
WORK = "bridge/flow/work.py"


def assigned(parsed: ast.Module, attribute: str) -> Iterator[int]:
    """Lines that assign an attribute of this name."""
    for node in ast.walk(parsed):
        if isinstance(node, ast.Attribute) and node.attr == attribute and isinstance(node.ctx, ast.Store):
            yield node.lineno


def calls_of(parsed: ast.Module, class_: str) -> list[int]:
    """Lines that call this class by its name."""
    calls = [node for node in ast.walk(parsed) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    return [call.lineno for call in calls if isinstance(call.func, ast.Name) and call.func.id == class_]


def built(parsed: ast.Module) -> Iterator[int]:
    """Lines that call `Progress`, or `replace` a progress by hand."""
    for node in ast.walk(parsed):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            of_one = node.func.id == "replace" and bool(node.args) and "progress" in ast.unparse(node.args[0])
            if node.func.id == "Progress" or of_one:
                yield node.lineno


@pytest.mark.parametrize("attribute", ["progress", "handling"])
def test_one_place_assigns_it(attribute: str) -> None:
    found = {name(path): len(list(assigned(tree(path), attribute))) for path in python("bridge")}
    assert {path: count for path, count in found.items() if count} == {WORK: 1}


def test_nothing_but_its_table_builds_a_handling() -> None:
    calls = {name(path) for path in python("bridge") if calls_of(tree(path), "Handling")}
    assert calls == {HANDLING}


def test_nothing_but_its_table_builds_a_progress() -> None:
    assert {name(path) for path in python("bridge") if list(built(tree(path)))} == {PROGRESS}
