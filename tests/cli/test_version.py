"""The version is that of the installed package, whoever asks; and the package says what it is."""

import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from bridge import version
from tests.house.source import ROOT
from tests.support.process import environment

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.mark.parametrize(
    "command", [[str(Path(sys.executable).with_name("amigo-bridge"))], [sys.executable, "-m", "bridge"]]
)
def test_both_ways_to_call_it_say_the_version(command: list[str]) -> None:
    done = subprocess.run(
        [*command, "--version"], env=environment(), capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == f"amigo-bridge, version {PROJECT['version']}\n"


def test_the_version_is_that_of_the_metadata_and_of_the_changelog() -> None:
    assert version() == metadata.version("amigo-bridge") == PROJECT["version"]
    assert f"\n## [{PROJECT['version']}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_metadata_has_authors_and_classifiers() -> None:
    found = metadata.metadata("amigo-bridge")
    assert found["Author"] == "amigo-bridge contributors"
    assert "Typing :: Typed" in found.get_all("Classifier", [])
    assert found.get_all("Project-URL")


def test_the_wheel_is_marked_as_typed(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "bridge").mkdir(parents=True)
    for name in ("pyproject.toml", "README.md", "LICENSE", "bridge/__init__.py", "bridge/py.typed"):
        (source / name).write_bytes((ROOT / name).read_bytes())
    build = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-index", "--no-deps", "--no-build-isolation")
    subprocess.run([*build, "--wheel-dir", str(tmp_path), str(source)], check=True, capture_output=True, timeout=120)
    (wheel,) = tmp_path.glob("*.whl")
    assert "bridge/py.typed" in zipfile.ZipFile(wheel).namelist()
