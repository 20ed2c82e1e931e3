"""The words of docs/glossary.md: private words stay away where they stood, a class name means one thing, and how much a
constructor takes."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.source import name, python, tree

FORBIDDEN: dict[str, str] = {
    "Incoming|Letterhead|Stamp|Subject": "bridge/",
    "Conversation": "bridge/core bridge/flow",
    "Ended|Record|Tally": "bridge/",
    "Reception|Intake|Entrance|WebhookDoor|Doorkeeper|Refusal": "bridge/core bridge/flow bridge/edges bridge/app.py",
    "Book|Asks?|AskedLedger": "bridge/",
    "Suspects|CONDEMN|beware|CULPRIT": "bridge/",
    "Gate|Pace|Bucket": "bridge/core bridge/flow bridge/edges bridge/app.py bridge/service.py",
    "Copier|BrokerCopier|CopyRefused": "bridge/",
    "Dispatcher|Settling|Streaming|Reading|Reconciliation": "bridge/",
    "Teller|Pipe|Handed|Feed|Desired|Watch": "bridge/edges/rabbitmq",
    "Session": "bridge/edges/rabbitmq bridge/app.py bridge/service.py",
    "_?(MOST|LONGEST)(_[A-Z0-9_]+)?": "bridge/",
    "Courier|courier|Letter|write_letter|Draft|FaultBook|Wire|World": "bridge/sandbox",
    "_?[Bb]eats?|_?storyboard|Player|player": "bridge/sandbox",
    "replay|REPLAY": "bridge/core bridge/flow bridge/edges",
    "_?(by_)?fence|FENCE|SteeredReplica": "bridge/",
    "_?(found|told|said|shown)": "bridge/app.py bridge/service.py bridge/cli bridge/core bridge/edges bridge/flow "
    "bridge/settings",
}
"""Names that mean nothing to somebody from outside, and where they are forbidden; elsewhere they may be English."""

FORBIDDEN_PROSE: dict[str, str] = {
    "Refusal|Intake|Entrance|Doorkeeper": "bridge/core bridge/flow bridge/edges bridge/app.py",
    "Teller|Letterhead|Copier|Dispatcher": "bridge/",
    "condemn|condemned": "bridge/",
    "desk|fence": "bridge/",
    "replay|replayed": "bridge/core bridge/flow",
    "courier|storyboard|beats?|player|faultbook": "bridge/sandbox",
}
"""Words that are forbidden in texts too: in docstrings and in values."""

MAX_PARAMETERS = 7


def names_in(parsed: ast.AST) -> Iterator[str]:
    """Every identifier of a module, as it is defined or used."""
    for node in ast.walk(parsed):
        match node:
            case ast.Name(id=found) | ast.Attribute(attr=found) | ast.arg(arg=found) | ast.alias(name=found):
                yield found
            case ast.ClassDef(name=found) | ast.FunctionDef(name=found) | ast.AsyncFunctionDef(name=found):
                yield found
            case ast.keyword(arg=str(found)):
                yield found


def private_words(path: str, parsed: ast.AST) -> set[str]:
    """The forbidden names that a module uses."""
    patterns = [re.compile(words) for words, places in FORBIDDEN.items() if path.startswith(tuple(places.split()))]
    return {found for found in names_in(parsed) if any(pattern.fullmatch(found) for pattern in patterns)}


def private_prose(path: str, parsed: ast.AST) -> set[str]:
    """The forbidden words in a module's docstrings and values."""
    here = [words for words, places in FORBIDDEN_PROSE.items() if path.startswith(tuple(places.split()))]
    texts = [node.value for node in ast.walk(parsed) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return {word for words in here for text in texts for word in re.findall(rf"\b(?:{words})\b", text)}


def classes(paths: list[Path]) -> dict[str, list[str]]:
    """Every class, and the files that define one of its name."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for path in paths:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ClassDef):
                found[node.name].append(name(path))
    return found


def large_constructors(parsed: ast.AST) -> Iterator[tuple[str, int]]:
    """Classes with an `__init__` of their own that takes too much."""
    for node in ast.walk(parsed):
        if isinstance(node, ast.ClassDef):
            for part in node.body:
                if isinstance(part, ast.FunctionDef) and part.name == "__init__":
                    count = len(part.args.posonlyargs) + len(part.args.args) + len(part.args.kwonlyargs) - 1
                    if count > MAX_PARAMETERS:
                        yield node.name, count


def test_private_words_stay_away() -> None:
    found = {name(path): private_words(name(path), tree(path)) for path in python("bridge")}
    assert {path: words for path, words in found.items() if words} == {}


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("bridge/flow/x.py", "class Settling: ..."),
        ("bridge/flow/x.py", "from bridge.core.answer import Conversation"),
        ("bridge/edges/amigo/x.py", "MOST_PAGES = 3"),
        ("bridge/sandbox/http/x.py", "_LONGEST_PAGE = 3"),
        ("bridge/core/x.py", "headers.get(REPLAY)"),
        ("bridge/sandbox/script/x.py", "Beat = Say | Hold"),
        ("bridge/core/x.py", "work.replay += 1"),
        ("bridge/edges/rabbitmq/x.py", "Pipe(stamp=1)"),
        ("bridge/app.py", "self.session: Session"),
        ("bridge/core/x.py", "found = read()"),
        ("bridge/cli/x.py", "def _shown(row): ..."),
    ],
)
def test_a_private_word_would_be_seen(path: str, code: str) -> None:
    assert private_words(path, ast.parse(code))


def test_private_words_stay_away_from_texts_too() -> None:
    found = {name(path): private_prose(name(path), tree(path)) for path in python("bridge")}
    assert {path: words for path, words in found.items() if words} == {}


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("bridge/edges/http/x.py", 'def f():\n    """Raises Refusal (417)."""'),
        ("bridge/core/ledger/x.py", 'POISON = "condemn"'),
        ("bridge/edges/rabbitmq/x.py", 'connected("amigo-bridge at a desk")'),
        ("bridge/edges/rabbitmq/x.py", 'LIMIT = 1\n"""See Teller."""'),
        ("bridge/sandbox/script/x.py", '"""The beats of an answer."""'),
        ("bridge/sandbox/x.py", 'raise RuntimeError(f"the courier of {name}")'),
    ],
)
def test_a_private_word_in_a_text_would_be_seen(path: str, code: str) -> None:
    assert private_prose(path, ast.parse(code))


def test_good_english_elsewhere_is_none() -> None:
    assert private_words("bridge/edges/amigo/results.py", ast.parse("class Conversation: ...")) == set()
    assert private_words("bridge/sandbox/script/x.py", ast.parse("said = 1")) == set()
    assert private_words("bridge/sandbox/http/refusal.py", ast.parse("class Refusal: ...")) == set()


def test_no_two_classes_share_a_name() -> None:
    ours = [path for path in python("bridge") if not name(path).startswith("bridge/sandbox/")]
    found = classes(ours)
    assert len(found) > 100
    assert {class_: files for class_, files in found.items() if len(files) > 1} == {}


def test_no_constructor_takes_more_than_seven() -> None:
    assert [(name(path), *found) for path in python("bridge") for found in large_constructors(tree(path))] == []


def test_a_large_constructor_would_be_seen() -> None:
    seven = "class C:\n    def __init__(self, a, b, c, d, e, *, f, g): ..."
    assert list(large_constructors(ast.parse(seven))) == []
    assert list(large_constructors(ast.parse(seven.replace("g)", "g, h)")))) == [("C", 8)]
