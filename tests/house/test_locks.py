"""The floors below which known faults lie, and locks that can be installed from any index, and only as locked."""

import re
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.house.source import ROOT, committed, name

FLOORS = {"aiohttp": (3, 14, 4), "aio-pika": (10, 2, 1), "aiormq": (7, 2, 4), "pamqp": (4, 0, 1), "jinja2": (3, 1, 6)}
CAPS = {"aiohttp": (3, 15), "aio-pika": (10, 3), "aiormq": (7, 3), "pamqp": (4, 1), "jinja2": (3, 2)}
"""For libraries whose private or undocumented members the bridge uses: what is locked is below."""
LOCKS = ("deploy/requirements.lock", "tests/requirements.lock")
PIN = re.compile(r"([a-z0-9][a-z0-9._-]*)==([A-Za-z0-9.!+]+)(?: ; [^\\]+)? \\")
HASH = re.compile(r" {4}--hash=sha256:[0-9a-f]{64}(?: \\)?")
FOREIGN = re.compile("://|@ |^-|trusted-host")  # an index or a folder of wheels is named by an option or a URL


def numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])


def pins(text: str) -> dict[str, str]:
    """What a lock pins."""
    return {match[1]: match[2] for line in text.splitlines() if (match := PIN.fullmatch(line))}


def faults(text: str) -> list[str]:
    """Lines of a lock that are no exact pin with hashes, or that say from where to install."""
    found, hashed = [], True
    for line in text.splitlines():
        if FOREIGN.search(line):
            found.append(f"names a place: {line}")
        if HASH.fullmatch(line):
            hashed = True
        elif line and not line.lstrip().startswith("#"):
            if not hashed:
                found.append(f"no hash before: {line}")
            hashed = False
            if not PIN.fullmatch(line):
                found.append(f"no exact pin: {line}")
    return found if hashed else [*found, "no hash at the end"]


@pytest.mark.parametrize("package", FLOORS)
def test_what_is_installed_is_beyond_its_known_faults(package: str) -> None:
    assert numbers(version(package)) >= FLOORS[package]


@pytest.mark.parametrize("package", FLOORS)
@pytest.mark.parametrize("lock", LOCKS)
def test_what_is_locked_is_beyond_its_known_faults_and_is_what_is_installed(lock: str, package: str) -> None:
    pinned = pins((ROOT / lock).read_text(encoding="utf-8"))[package]
    assert FLOORS[package] <= numbers(pinned) < CAPS[package]
    assert pinned == version(package)


@pytest.mark.parametrize("package", FLOORS)
def test_the_project_states_the_same_floors_and_caps(package: str) -> None:
    floor, cap = (".".join(map(str, bound[package])) for bound in (FLOORS, CAPS))
    assert f'"{package}>={floor},<{cap}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", [path for path in committed() if path.name.endswith(".lock")], ids=name)
def test_every_line_of_a_lock_is_an_exact_pin_with_hashes_and_names_no_place(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(pins(text)) > 3
    assert faults(text) == []


def test_the_tests_run_on_what_the_service_runs_on() -> None:
    service, tests = (pins((ROOT / lock).read_text(encoding="utf-8")) for lock in LOCKS)
    assert {package: tests.get(package) for package in service} == service


HASHED = "    --hash=sha256:" + "0" * 64


@pytest.mark.parametrize(
    "text",
    [
        "a==1.0\n",
        "a==1.0 \\\n",
        f"a>=1.0 \\\n{HASHED}\n",
        f"a==1.0 \\\nb==1.0 \\\n{HASHED}\n",
        f"--no-binary :all:\na==1.0 \\\n{HASHED}\n",
        f"a @ https://example.org/a.whl \\\n{HASHED}\n",
        f"-e .\na==1.0 \\\n{HASHED}\n",
        f"# from https://example.org\na==1.0 \\\n{HASHED}\n",
        "a==1.0 \\\n    --hash=md5:00\n",
    ],
)
def test_a_bad_lock_would_be_seen(text: str) -> None:
    assert faults(text)


def test_a_good_lock_is_not_reported() -> None:
    good = f"a==1.0 ; python_version < '3.12' \\\n{HASHED} \\\n{HASHED}\n    # via b\nb==2.0 \\\n{HASHED}\n"
    assert faults(good) == []
    assert pins(good) == {"a": "1.0", "b": "2.0"}
