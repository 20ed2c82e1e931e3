"""`./dev` where something is missing: a copy of it in a folder of its own, with a PATH of our making."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("awk", "bash", "cat", "dirname", "env", "flock", "id", "mkdir", "readlink", "sh", "sha256sum")
NEW_PYTHON_WITHOUT_VENV = """#!/bin/sh
case "$2" in
    *version_info\\ \\<*) exit 0 ;;
    *version_info*) echo 3.12 ;;
    *) exit 1 ;;
esac
"""


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder with a copy of `dev`, and beside it `bin` with nothing but the plainest tools."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in TOOLS:
        (programs / name).symlink_to(shutil.which(name) or name)
    clone = tmp_path / "a clone"
    clone.mkdir()
    shutil.copy(ROOT / "dev", clone / "dev")
    return tmp_path


def program(machine: Path, name: str, text: str) -> None:
    path = machine / "bin" / name
    path.unlink(missing_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def dev(machine: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(machine / "a clone" / "dev"), *arguments],
        cwd="/",
        env={"PATH": str(machine / "bin"), "HOME": str(machine)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


def test_help_names_every_command(machine: Path) -> None:
    done = dev(machine)
    assert done.returncode == 0
    assert done.stderr == ""
    for command in ("run", "run --once", "test", "test fast", "lint"):
        assert f"./dev {command} " in done.stdout


def test_an_unknown_command_is_a_usage_error(machine: Path) -> None:
    done = dev(machine, "tset")
    assert done.returncode == 2
    assert "./dev test" in done.stderr


def test_without_a_new_enough_python_one_sentence_says_what_to_install(machine: Path) -> None:
    program(machine, "python3", "#!/bin/sh\nexit 1\n")
    done = dev(machine, "run")
    assert done.returncode == 1
    assert done.stderr.startswith("dev: no Python 3.11 or newer found: please install one")
    assert done.stderr.count("\n") == 1


def test_without_apt_all_missing_packages_are_named_in_one_sentence(machine: Path) -> None:
    program(machine, "python3", NEW_PYTHON_WITHOUT_VENV)
    both = "python3.12-venv rabbitmq-server"
    done = dev(machine, "run")
    assert done.returncode == 1
    assert done.stderr == f"dev: please install {both} (as root: apt-get install {both}), then run this again\n"


def test_style_and_types_need_no_rabbitmq(machine: Path) -> None:
    program(machine, "python3", NEW_PYTHON_WITHOUT_VENV)
    assert "please install python3.12-venv (as root" in dev(machine, "lint").stderr


def test_an_ordinary_user_without_sudo_is_told_what_to_ask_for(machine: Path) -> None:
    program(machine, "python3", NEW_PYTHON_WITHOUT_VENV)
    program(machine, "apt-get", "#!/bin/sh\nexit 99\n")
    program(machine, "id", "#!/bin/sh\necho 1000\n")
    done = dev(machine, "lint")
    assert done.returncode == 1
    assert "please install python3.12-venv (as root: apt-get install python3.12-venv)" in done.stderr


def test_what_an_installation_printed_is_shown_when_it_fails(machine: Path) -> None:
    program(machine, "python3", NEW_PYTHON_WITHOUT_VENV)
    program(machine, "apt-get", "#!/bin/sh\nexit 0\n")
    program(machine, "id", "#!/bin/sh\necho 0\n")
    program(machine, "sh", "#!/bin/bash\necho no space left on the disk; exit 100\n")
    done = dev(machine, "lint")
    assert done.returncode == 1
    assert "no space left on the disk" in done.stderr
    assert done.stderr.endswith("dev: failed: installing python3.12-venv with apt-get\n")


def test_the_shell_scripts_are_valid(machine: Path) -> None:
    for script in ("dev", ".ci/run", "deploy/local/apt-install.sh"):
        assert subprocess.run(["bash", "-n", script], cwd=ROOT, capture_output=True).stderr == b""
    assert os.access(ROOT / "dev", os.X_OK)
    assert os.access(ROOT / ".ci/run", os.X_OK)
