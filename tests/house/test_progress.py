"""The progress of an event changes by steps of one table: `work.apply(step)`. Nothing else assigns or rebuilds it."""

import ast
from collections.abc import Iterator

from .source import name, python, tree

PROGRESS = "bridge/core/delivery/progress.py"
WORK = "bridge/flow/work.py"


def assigned(parsed: ast.Module) -> Iterator[int]:
    """Lines that assign an attribute `progress`."""
    for node in ast.walk(parsed):
        if isinstance(node, ast.Attribute) and node.attr == "progress" and isinstance(node.ctx, ast.Store):
            yield node.lineno


def built(parsed: ast.Module) -> Iterator[int]:
    """Lines that call `Progress`, or `replace` a progress by hand."""
    for node in ast.walk(parsed):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            of_one = node.func.id == "replace" and bool(node.args) and "progress" in ast.unparse(node.args[0])
            if node.func.id == "Progress" or of_one:
                yield node.lineno


def test_one_place_assigns_the_progress() -> None:
    found = {name(path): len(list(assigned(tree(path)))) for path in python("bridge")}
    assert {path: count for path, count in found.items() if count} == {WORK: 1}


def test_nothing_but_its_table_builds_a_progress() -> None:
    assert {name(path) for path in python("bridge") if list(built(tree(path)))} == {PROGRESS}
