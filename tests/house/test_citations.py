"""What code, tests and documents cite stands in this repository: `docs/PAGE.md`, and the section where one is named.

docs/PAGE.md                        the page
docs/PAGE.md, Heading               one of its headings
docs/PAGE.md, 1.3                   a numbered heading, or a row of a table with that number
docs/PAGE.md, B12, B13 and C1 to C3 rows of a table with these ids
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.pages import headings, text_of
from tests.house.source import ROOT, committed, name

ENDINGS = frozenset({".py", ".md", ".yaml", ".toml", ".sh", ".mjs", ""})
CITED = re.compile(r"\bdocs/([\w-]+\.md)")
BETWEEN = re.compile(r", and | and | to |, ")
NUMBER = re.compile(r"[A-Z]?\d+(?:\.\d+)*(?![\w.]*\w)")
NEW_LINE = re.compile(r"\s*\n[\s#|>]*")
NOT_HERE = re.compile(
    r"\b(?:DESIGN|HOUSE|RELIABILITY|CONTRACT)\b|STYLE\.md|\bof the design\b"
    r"|\bcontract(?:'s)?,? (?:sections?|rows?|appendix|[0-9])"
)
SECTION = re.compile(r"\b[Ss]ections? ([0-9.]+)")
STANDARDS = re.compile(r"RFC \d|\bspec\.whatwg|cloudevents\.io|AMQP 0-9-1")
NEAR = 80
MODULE = re.compile(r"`((?:core|flow|edges|settings|cli|sandbox)(?:\.[a-z_]+)+)`")
MODULE_FILE = re.compile(r"`([\w/]+\.py)`")


def flat(text: str) -> str:
    """The text in one line, without the marks that begin a line of a comment."""
    return NEW_LINE.sub(" ", text)


def elsewhere(text: str) -> Iterator[str]:
    """Citations of what a clone does not contain. Sections are those of a public standard that is named before them."""
    line = flat(text)
    for found in NOT_HERE.finditer(line):
        yield line[max(0, found.start() - 20) : found.end() + 20]
    titles = headings(text)
    for found in SECTION.finditer(line):
        if _has(text, titles, found[1].rstrip(".")):
            continue  # of the same page
        if STANDARDS.search(line[max(0, found.start() - NEAR) : found.start()]) is None:
            yield line[max(0, found.start() - 20) : found.end() + 20]


def unresolved(text: str) -> Iterator[str]:
    """Citations of pages or sections that do not exist."""
    line = flat(text)
    for found in CITED.finditer(line):
        page = ROOT / "docs" / found[1]
        if not page.is_file():
            yield f"docs/{found[1]}: no such page"
            continue
        for cited, exists in _sections(line[found.end() :], text_of(page)):
            if not exists:
                yield f"docs/{found[1]}, {cited}: no such section"


def stale(text: str) -> Iterator[str]:
    """Modules of the bridge, and files of Python, that are named and not there."""
    paths = [f"/{name(path)}" for path in committed() if path.suffix == ".py"]
    for dotted in MODULE.findall(text):
        path = ROOT.joinpath("bridge", *dotted.split("."))
        if not (path.is_dir() or path.with_suffix(".py").is_file()):
            yield dotted
    yield from (file for file in MODULE_FILE.findall(text) if not any(path.endswith(f"/{file}") for path in paths))


def _sections(rest: str, page: str) -> Iterator[tuple[str, bool]]:
    """The sections that are named after a page, and whether the page has them. Prose in lower case ends the list."""
    titles = sorted(headings(page), key=len, reverse=True)
    first = True
    while (between := BETWEEN.match(rest)) is not None and (between[0] == ", " or not first):
        rest = rest[between.end() :]
        number = NUMBER.match(rest)
        title = next((one for one in titles if re.match(rf"{re.escape(one)}(?!\w)", rest)), None)
        if number is not None and title is None:
            yield number[0], _has(page, titles, number[0])
        elif title is not None:
            yield title, True
        elif first and rest[:1].isupper():
            yield rest[:40], False
        else:
            return
        rest = rest[len(title or (number[0] if number else rest)) :]
        first = False


def _has(page: str, titles: list[str], number: str) -> bool:
    of_row = re.search(rf"^\| {re.escape(number)} \|", page, re.MULTILINE)
    return of_row is not None or any(re.match(rf"{re.escape(number)}\.? ", title) for title in titles)


def files() -> list[Path]:
    """Whatever may cite something; not this file, which names what it forbids."""
    others = (path for path in committed() if path != Path(__file__).resolve())
    return [path for path in others if path.suffix in ENDINGS and path.name not in ("LICENSE", "CHANGELOG.md")]


def test_every_cited_page_and_section_exists() -> None:
    texts = {path: path.read_text(encoding="utf-8", errors="replace") for path in files()}
    assert [f"{name(path)}: {found}" for path, text in texts.items() for found in unresolved(text)] == []
    assert sum(len(CITED.findall(text)) for path, text in texts.items() if path.suffix == ".py") > 80


def test_nothing_is_cited_that_a_clone_does_not_contain() -> None:
    texts = {path: path.read_text(encoding="utf-8", errors="replace") for path in files()}
    assert [f"{name(path)}: {found}" for path, text in texts.items() for found in elsewhere(text)] == []


def test_every_named_module_exists() -> None:
    texts = {path: path.read_text(encoding="utf-8", errors="replace") for path in files()}
    assert [f"{name(path)}: {found}" for path, text in texts.items() for found in stale(text)] == []
    assert list(stale("`core.nowhere`, `core.errors`, `nowhere.py`, `app.py`")) == ["core.nowhere", "nowhere.py"]


@pytest.mark.parametrize(
    "cited",
    [
        "nowhere.md",
        "semantics.md, Nowhere",
        "semantics.md,\n    Nowhere",
        "reliability.md, B99",
        "reliability.md, B12, B99",
        "api-contract.md, 9.9",
        "api-contract.md, 1.3 and 9.9",
        "api-contract.md, 1.3 to 9.9",
    ],
)
def test_a_citation_of_nothing_would_be_seen(cited: str) -> None:
    assert list(unresolved(f"x (docs/{cited})."))


@pytest.mark.parametrize(
    "cited",
    [
        "semantics.md",
        "semantics.md, which says more",
        "semantics.md, Lanes",
        "semantics.md, Outcomes of an\n    # attempt, and no more",
        "reliability.md, B12",
        "reliability.md, B1 to B8 and C1",
        "api-contract.md, 1, 7.23",
        "api-contract.md, 1.15 to 1.20",
        "api-contract.md, Appendix A and 1",
    ],
)
def test_a_citation_that_resolves_is_not_reported(cited: str) -> None:
    assert list(unresolved(f"x (docs/{cited}).")) == []


@pytest.mark.parametrize(
    "text",
    [
        "as section 4.2 says",
        "(the API's contract, row 7.2)",
        "contract, 6.2",
        "DESIGN.md 4.1",
        "RELIABILITY B4",
        "as in section 7 of the design",
    ],
)
def test_a_citation_of_a_document_that_is_not_here_would_be_seen(text: str) -> None:
    assert list(elsewhere(text))


@pytest.mark.parametrize("text", ["RFC 9457, section 4.2.1", "url.spec.whatwg.org, section 5.1", "by contract"])
def test_public_standards_may_be_cited(text: str) -> None:
    assert list(elsewhere(text)) == []
