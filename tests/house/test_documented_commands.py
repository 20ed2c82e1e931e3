"""Every command that the documents show exists, with every option that they show."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from bridge.cli.main import main
from tests.house.pages import FENCED, INLINE, documents, prose, text_of
from tests.house.source import ROOT, name

STARTS = ("./dev", "amigo-bridge", "python -m bridge")
BETWEEN = frozenset({"|", "||", "&&", ";", "&"})
BEFORE = re.compile(r"sudo|env|[A-Z_]+=.*")
"""Words that may stand before a command."""
OPTIONS_OF_DEV = {"run": "deploy/local", "bench": "tests/bench", "chaos": "tests/chaos", "matrix": "tests/matrix"}
"""Where the options of its commands are."""
PAGES = [path for path in documents() if path.name != "CHANGELOG.md"]


def shown(text: str) -> list[list[str]]:
    """The commands in code, each as its words; both sides of a pipe count."""
    blocks = FENCED.findall(text)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    lines += INLINE.findall(prose(text))
    return [words for line in lines for words in _commands(line.strip().removeprefix("$ "))]


def _commands(line: str) -> Iterator[list[str]]:
    if not any(start in line for start in STARTS):
        return
    command: list[str] = []
    for word in [*shlex.split(line, comments=True), ";"]:
        if word not in BETWEEN:
            if command or BEFORE.fullmatch(word) is None:
                command.append(word)
            continue
        if " ".join(command).startswith(STARTS):
            yield command
        command = []


def missing(words: list[str]) -> str | None:
    """What of a command does not exist; None where all of it does."""
    if words[0] == "./dev":
        return _missing_of_dev(words[1:])
    return _missing_of_cli(words[3:] if words[0] == "python" else words[1:])


def _missing_of_cli(words: list[str]) -> str | None:
    command: click.Command = main
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(click.Context(command), words[0])
        if found is None:
            return f"no command {words[0]}"
        command, words = found, words[1:]
    try:
        command.make_parser(click.Context(command)).parse_args([word for word in words if word != "…"])
    except click.UsageError as error:
        return error.format_message()
    return None


def commands_of(group: click.Group) -> dict[str, click.Command | None]:
    context = click.Context(group)
    return {name: group.get_command(context, name) for name in group.list_commands(context)}


def _missing_of_dev(words: list[str]) -> str | None:
    script = (ROOT / "dev").read_text(encoding="utf-8")
    body = script[script.index("main() {") :]
    labels = {word for label in re.findall(r"^ +([a-z][a-z |-]*)\)", body, re.MULTILINE) for word in label.split(" | ")}
    if words and words[0] not in labels:
        return f"no command {words[0]}"
    if not words or words[0] not in OPTIONS_OF_DEV:
        return None
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / OPTIONS_OF_DEV[words[0]]).glob("*.py"))
    unknown = [word for word in words[1:] if word.startswith("--") and f'"{word}"' not in source and word != "--help"]
    return f"no option {unknown[0]}" if unknown else None


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_the_front_pages_show_commands(page: str) -> None:
    assert "./dev" in {words[0] for words in shown(text_of(ROOT / page))}


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_every_command_that_a_document_shows_exists(path: Path) -> None:
    assert {" ".join(words): found for words in shown(text_of(path)) if (found := missing(words))} == {}


def test_the_documents_show_every_command() -> None:
    said = {tuple(words[1:]) for path in PAGES for words in shown(text_of(path)) if words[0] == "amigo-bridge"}
    assert {command for command in commands_of(main) if not any(words[:1] == (command,) for words in said)} == set()
    for name_, group in commands_of(main).items():
        if isinstance(group, click.Group):
            missed = {
                command for command in commands_of(group) if not any(words[:2] == (name_, command) for words in said)
            }
            assert missed == set(), name_


SAMPLE = """
Type `./dev nonsense` or `amigo-bridge nonsense`, never `other`.

```sh
# ./dev ignored
$ ./dev run --nonsense       # comment
echo '{"id": 1}' | amigo-bridge publish --nonsense -
amigo-bridge tail --key 'text.#' \\
    --nonsense
python -m bridge nonsense
sudo env A=b ./dev matrix --nonsense
export A=b
```
"""


def test_a_command_that_does_not_exist_would_be_seen() -> None:
    commands = shown(SAMPLE)
    assert [words[:2] for words in commands] == [
        ["./dev", "run"],
        ["amigo-bridge", "publish"],
        ["amigo-bridge", "tail"],
        ["python", "-m"],
        ["./dev", "matrix"],
        ["./dev", "nonsense"],
        ["amigo-bridge", "nonsense"],
    ]
    assert all(missing(words) for words in commands)


@pytest.mark.parametrize(
    "command", ["./dev run --once", "./dev test fast", "amigo-bridge --help", "amigo-bridge check"]
)
def test_a_command_that_exists_is_not_reported(command: str) -> None:
    assert missing(command.split()) is None
