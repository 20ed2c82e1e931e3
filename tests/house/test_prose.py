"""Docstrings say what a thing is or does: subject and verb first."""

import ast
from collections.abc import Iterator

import pytest

from tests.house.source import name, python, tree

OPENINGS = frozenset({"What", "Whether", "It", "Where", "Of", "So"})


def vague(parsed: ast.AST) -> Iterator[str]:
    """Docstrings, those of attributes too, that open with a word that names nothing."""
    for node in ast.walk(parsed):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            text = node.value.value.strip()
            if text.split(maxsplit=1) and text.split(maxsplit=1)[0].strip(",.:;") in OPENINGS:
                yield text.splitlines()[0]


def test_docstrings_open_with_a_subject_or_a_verb() -> None:
    assert [(name(path), opening) for path in python("bridge") for opening in vague(tree(path))] == []


@pytest.mark.parametrize(
    "code",
    [
        '"""What the API says."""',
        'class C:\n    """Where it is."""',
        'async def f():\n    """Whether it is so."""',
        'def f():\n    """It, too."""',
        'LIMIT = 1\n"""What may be."""',
        'LIMIT = 1\n"""Of a pause, what is left."""',
        'def f(count):\n    """So many are written."""',
    ],
)
def test_a_vague_opening_would_be_seen(code: str) -> None:
    assert list(vague(ast.parse(code)))
    assert list(vague(ast.parse(code.replace('"""', '"""The answer. ', 1)))) == []
