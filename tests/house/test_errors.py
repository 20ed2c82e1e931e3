"""One tree of errors, one root; and nothing is decided by an error's words."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.source import name, python, tree

ROOT = "BridgeError"
ERRORS = frozenset({"error", "trouble", "exception", "refusal", "refused", "why"})
"""Names under which errors and their words are handed about."""
LOOKING = frozenset({"startswith", "endswith", "find", "index", "count", "partition"})
SEARCHING = frozenset({"search", "match", "fullmatch", "findall", "finditer"})


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
        match node:
            case ast.Compare(left=left, ops=[ast.In() | ast.NotIn() | ast.Eq() | ast.NotEq()], comparators=[right]):
                if (_is_words(left) and _is_text(right)) or (_is_words(right) and _is_text(left)):
                    yield node.lineno
            case ast.Call(func=ast.Attribute(attr=method, value=value), args=args):
                if (method in LOOKING and _is_words(value)) or (method in SEARCHING and any(map(_is_words, args))):
                    yield node.lineno
            case ast.Match(subject=subject, cases=cases):
                patterns = [part for case in cases for part in ast.walk(case.pattern)]
                if _is_words(subject) and any(isinstance(part, ast.MatchValue) for part in patterns):
                    yield node.lineno


def _is_words(node: ast.AST) -> bool:
    """True for an error, or what is made of its words."""
    match node:
        case ast.Call(func=ast.Name(id="str" | "repr"), args=[argument]):
            return _is_words(argument)
        case ast.Call(func=ast.Attribute(value=value, attr="lower" | "strip" | "casefold" | "upper")):
            return _is_words(value)
        case ast.Subscript(value=ast.Attribute(attr="args", value=value)):
            return _is_words(value)
        case ast.Attribute(attr="text" | "words" | "reason", value=value):
            return _is_words(value)
        case ast.Name(id=called) | ast.Attribute(attr=called):
            return called in ERRORS
    return False


def _is_text(node: ast.AST) -> bool:
    """True for a text, a constant by its name, and several of them."""
    match node:
        case ast.Constant(value=str(text)):
            return bool(text)
        case ast.Tuple(elts=parts) | ast.List(elts=parts) | ast.Set(elts=parts):
            return any(map(_is_text, parts))
        case ast.Call(func=ast.Name(id="frozenset" | "set" | "tuple"), args=[several]):
            return _is_text(several)
        case ast.Name(id=called) | ast.Attribute(attr=called):
            return called.isupper()
    return False


def test_every_error_has_the_root() -> None:
    paths = [path for path in python("bridge") if not name(path).startswith("bridge/sandbox/")]
    assert list(rootless(paths)) == []


def test_nothing_is_decided_by_an_errors_words() -> None:
    found = {name(path): list(decisions_by_words(tree(path))) for path in python("bridge")}
    assert {path: lines for path, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    "code",
    [
        '"unfinished" in outcome.error',
        '"x" not in str(error)',
        'error == "UNROUTED"',
        "'a' in error",
        "error == UNROUTED",
        "finding.error in (reconcile.NO_LISTING, reconcile.NO_MESSAGES)",
        'error in ("a", "b")',
        'outcome.error in frozenset({"a"})',
        "refusal.error != LOST",
        'error.startswith("amqp.")',
        "str(error).endswith(ENDS)",
        'error.text.lower().startswith("no")',
        "error.args[0] == WRONG",
        "WORDS.search(str(error))",
        're.match("not found", error)',
        'match error:\n    case "a": ...',
        "match str(error):\n    case words.A | words.B: ...",
    ],
)
def test_a_decision_by_words_would_be_seen(code: str) -> None:
    assert list(decisions_by_words(ast.parse(code)))


@pytest.mark.parametrize(
    "code",
    [
        "error.kind in LASTING",
        "finding.blind is Blind.MESSAGES",
        "error.status == 409",
        "error is None",
        'f"{error}: later" == shown',
        "match error:\n    case Lost(): ...",
        "match outcome:\n    case Outcome(kind=OutcomeKind.BUSY): ...",
    ],
)
def test_a_decision_by_kind_is_none(code: str) -> None:
    assert list(decisions_by_words(ast.parse(code))) == []
