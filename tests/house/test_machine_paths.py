"""Nothing that is committed names the machine it was written on, or a package index."""

import re

import pytest

from tests.house.source import ROOT, committed, name

# In pieces, so that this file does not name what it forbids.
FOLDERS = (
    "/wo" + "rk/",
    "/ro" + "ot/",
    "/ho" + "me/",
    "/Us" + "ers/",
    "/tmp/" + "bash_jobs",
    "/opt/" + "wheels",
    "/opt/" + "py",
)
INDEXES = ("py" + "pi", "python" + "hosted", "/sim" + "ple/", "ind" + "ex[-_]" + "url", "fi" + "nd[-_]" + "links")
PLACE = re.compile("|".join((*(rf"(?<![\w.-]){folder}" for folder in FOLDERS), *INDEXES)), re.IGNORECASE)


def places(text: str) -> list[str]:
    """Lines that name a place."""
    own = str(ROOT)
    return [line.strip()[:120] for line in text.splitlines() if PLACE.search(line) or (len(own) > 4 and own in line)]


def test_no_committed_file_names_a_place() -> None:
    found = {name(path): places(path.read_bytes().decode("utf-8", "replace")) for path in committed()}
    assert {path: lines for path, lines in found.items() if lines} == {}
    assert len(found) > 100


def test_no_committed_name_does_either() -> None:
    assert [name(path) for path in committed() if places(f"/{name(path)}")] == []


@pytest.mark.parametrize(
    "line",
    [
        f"cd {ROOT}",
        "#!" + "/ho" + "me/dev/.venv/bin/python",
        "see " + "/wo" + "rk/notes.md",
        "pip install --extra-ind" + "ex-" + "url=file:///x",
        "https://" + "py" + "pi.org/simple",
        "https://files.python" + "hosted.org/packages",
    ],
)
def test_a_place_would_be_seen(line: str) -> None:
    assert places(line)


@pytest.mark.parametrize("line", ["./dev test", "/usr/bin/env", "/opt/bridge/bin/python", "/tmp"])
def test_what_is_everywhere_is_no_place(line: str) -> None:
    assert not places(line)
