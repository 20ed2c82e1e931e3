"""One tree of errors, one root; and nothing is decided by an error's words."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.source import name, python, tree

ROOT = "BridgeError"


def rootless(paths: list[Path]) -> Iterator[tuple[str, str]]:
    """Classes of errors whose bases do not lead to the root."""
    bases = {
        node.name: [ast.unparse(base).split(".")[-1] for base in node.bases]
        for path in paths
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ClassDef)
    }

    def leads_to(class_: str, root: str) -> bool:
        return class_ == root or any(leads_to(base, root) for base in bases.get(class_, ()))

    for path in paths:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ClassDef) and node.name != ROOT:
                is_error = any(leads_to(node.name, base) for base in ("Exception", "ValueError", "OSError"))
                if is_error and not leads_to(node.name, ROOT):
                    yield name(path), node.name


def decisions_by_words(parsed: ast.AST) -> Iterator[int]:
    """Lines that look for a text in an error, or compare an error's text."""
    for node in ast.walk(parsed):
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In | ast.NotIn | ast.Eq | ast.NotEq):
            sides = [node.left, *node.comparators]
            text = any(isinstance(side, ast.Constant) and isinstance(side.value, str) and side.value for side in sides)
            if text and any(_is_words(side) for side in sides):
                yield node.lineno


def _is_words(node: ast.AST) -> bool:
    match node:
        case ast.Call(func=ast.Name(id="str"), args=[ast.Name(id="error" | "trouble" | "exception")]):
            return True
        case ast.Name(id="error") | ast.Attribute(attr="error"):
            return True
    return False


def test_every_error_has_the_root() -> None:
    paths = [path for path in python("bridge") if not name(path).startswith("bridge/sandbox/")]
    assert list(rootless(paths)) == []


def test_nothing_is_decided_by_an_errors_words() -> None:
    found = {name(path): list(decisions_by_words(tree(path))) for path in python("bridge")}
    assert {path: lines for path, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    "code", ['"unfinished" in outcome.error', '"x" not in str(error)', 'error == "UNROUTED"', "'a' in error"]
)
def test_a_decision_by_words_would_be_seen(code: str) -> None:
    assert list(decisions_by_words(ast.parse(code)))
