"""The documents can be read: the front door is short, and every link in them leads somewhere."""

import pytest

from tests.house.pages import anchors, broken, documents, links, rows, section, text_of
from tests.house.source import ROOT, name

README = ROOT / "README.md"
INDEX = ROOT / "docs" / "README.md"
MAX_WORDS = 900


def test_the_front_door_is_short() -> None:
    assert len(text_of(README).split()) <= MAX_WORDS


def test_every_link_leads_somewhere() -> None:
    assert [found for path in documents() for found in broken(path, text_of(path))] == []
    assert sum(len(links(text_of(path))) for path in documents()) > 100


def test_the_index_names_every_page() -> None:
    pages = {path.name for path in documents() if path.parent == INDEX.parent and path != INDEX}
    assert pages - set(links(text_of(INDEX))) == set()


@pytest.mark.parametrize(
    "text",
    ["[a](nowhere.md)", "[a](#nowhere)", "[a](docs/semantics.md#nowhere)", "![a](nothing.svg)", "[a](../../etc)"],
)
def test_a_link_that_leads_nowhere_would_be_seen(text: str) -> None:
    assert list(broken(README, f"# Title\n\n{text}\n"))


@pytest.mark.parametrize(
    "text",
    ["[a](docs/semantics.md)", "[a](#title)", "[a](https://example.com)", "`[a](nowhere)`", "```\n[a](nowhere)\n```"],
)
def test_a_good_link_is_not_reported(text: str) -> None:
    assert list(broken(README, f"# Title\n\n{text}\n")) == []


def test_anchors_are_those_of_a_forge() -> None:
    text = "# What the broker's user must be permitted\n## `a_b` and [c](d)\n## 1.3 Interact\n## Twice\n## Twice\n"
    assert anchors(text) == {
        "what-the-brokers-user-must-be-permitted",
        "a_b-and-c",
        "13-interact",
        "twice",
        "twice-1",
    }


def test_a_section_ends_at_the_next_heading() -> None:
    text = "# A\n\n## B\n\n| one | two |\n| --- | --- |\n| `x.y` | 1 |\n| z | 2 |\n\n## C\n\n| a | b |\n"
    assert rows(section(text, "B")) == ["x.y", "z"]
    with pytest.raises(LookupError):
        section(text, "D")


def test_every_document_begins_with_its_title() -> None:
    assert [name(path) for path in documents() if not text_of(path).startswith("# ")] == []
