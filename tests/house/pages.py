"""The documents: their text without code, their headings and anchors, their links and tables."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.house.source import ROOT, committed, name

FENCED = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
HEADING = re.compile(r"^#{1,6} +(.*?) *$", re.MULTILINE)
LINK = re.compile(r"\[[^\[\]]*\]\(([^()\s]+)\)")
TITLED_LINK = re.compile(r"\[([^\[\]]*)\]\([^()\s]*\)")
FIRST_CELL = re.compile(r"^\| *`?([^|`]+?)`? *\|", re.MULTILINE)


def documents() -> list[Path]:
    """README, CONTRIBUTING, CHANGELOG and every page of docs."""
    pages = [path for path in committed() if path.suffix == ".md"]
    return [path for path in pages if path.parent in (ROOT, ROOT / "docs")]


@cache
def text_of(path: Path) -> str:
    """The document as it is."""
    return path.read_text(encoding="utf-8")


def prose(text: str) -> str:
    """The text without its fenced code."""
    return FENCED.sub("", text)


def headings(text: str) -> list[str]:
    """The headings, as they read."""
    return [TITLED_LINK.sub(r"\1", found).replace("`", "") for found in HEADING.findall(prose(text))]


def anchor(heading: str) -> str:
    """The anchor that a forge gives a heading: lower case, without punctuation, hyphens for blanks."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def anchors(text: str) -> set[str]:
    """All anchors of a document; a heading that stands twice gets a number the second time."""
    found: set[str] = set()
    for heading in headings(text):
        first = own = anchor(heading)
        number = 0
        while own in found:
            number += 1
            own = f"{first}-{number}"
        found.add(own)
    return found


def links(text: str) -> list[str]:
    """Where the links lead, images included; those in code are none."""
    return LINK.findall(INLINE.sub("", prose(text)))


def broken(path: Path, text: str) -> Iterator[str]:
    """The links of a document that lead nowhere. Addresses beyond the repository are not asked."""
    for link in links(text):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, wanted = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        if not target.exists() or not target.is_relative_to(ROOT):
            yield f"{name(path)}: {link}: no such file"
        elif wanted and wanted not in anchors(text if not file else text_of(target)):
            yield f"{name(path)}: {link}: no such heading"


def section(text: str, title: str) -> str:
    """What stands below a heading, up to the next one of any level."""
    found = re.search(rf"^#+ +{re.escape(title)}\n(.*?)(?=^#+ |\Z)", text, re.MULTILINE | re.DOTALL)
    if found is None:
        raise LookupError(title)
    return found[1]


def rows(table: str) -> list[str]:
    """The first cell of each row of a table, without its head, code marks taken off."""
    return [cell for cell in FIRST_CELL.findall(table) if not re.fullmatch(r"[-: ]+", cell)][1:]
