"""Every command that the README shows exists, with every option that it shows."""

import re
import shlex
from collections.abc import Iterator

import click
import pytest

from bridge.cli.main import main
from tests.house.source import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
FENCED = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
STARTS = ("./dev", "amigo-bridge", "python -m bridge")
BETWEEN = frozenset({"|", "||", "&&", ";", "&"})


def shown(text: str) -> list[list[str]]:
    """The commands in code, each as its words; both sides of a pipe count."""
    blocks = FENCED.findall(text)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    lines += INLINE.findall(FENCED.sub("", text))
    return [words for line in lines for words in _commands(line.strip().removeprefix("$ "))]


def _commands(line: str) -> Iterator[list[str]]:
    if not any(start in line for start in STARTS):
        return
    command: list[str] = []
    for word in [*shlex.split(line, comments=True), ";"]:
        if word not in BETWEEN:
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
        found = command.commands.get(words[0])
        if found is None:
            return f"no command {words[0]}"
        command, words = found, words[1:]
    try:
        command.make_parser(click.Context(command)).parse_args([word for word in words if word != "…"])
    except click.UsageError as error:
        return error.format_message()
    return None


def _missing_of_dev(words: list[str]) -> str | None:
    script = (ROOT / "dev").read_text(encoding="utf-8")
    body = script[script.index("main() {") :]
    labels = {word for label in re.findall(r"^ +([a-z][a-z |-]*)\)", body, re.MULTILINE) for word in label.split(" | ")}
    if words and words[0] not in labels:
        return f"no command {words[0]}"
    demo = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "deploy" / "local").glob("*.py"))
    unknown = [word for word in words[1:] if word.startswith("--") and f'"{word}"' not in demo]
    return f"no option {unknown[0]}" if unknown and words[0] == "run" else None


def test_the_readme_shows_commands() -> None:
    assert {words[0] for words in shown(README)} >= {"./dev", "amigo-bridge"}


@pytest.mark.parametrize("words", shown(README), ids=" ".join)
def test_every_command_that_the_readme_shows_exists(words: list[str]) -> None:
    assert missing(words) is None


SAMPLE = """
Type `./dev nonsense` or `amigo-bridge nonsense`, never `other`.

```sh
# ./dev ignored
$ ./dev run --nonsense       # comment
echo '{"id": 1}' | amigo-bridge publish --nonsense -
amigo-bridge tail --key 'text.#' \\
    --nonsense
python -m bridge nonsense
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
        ["./dev", "nonsense"],
        ["amigo-bridge", "nonsense"],
    ]
    assert all(missing(words) for words in commands)


@pytest.mark.parametrize(
    "command", ["./dev run --once", "./dev test fast", "amigo-bridge --help", "amigo-bridge check"]
)
def test_a_command_that_exists_is_not_reported(command: str) -> None:
    assert missing(command.split()) is None
