"""This checkout, and copies of what is committed of it or about to be."""

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STAYS = frozenset({".venv", ".local"})
"""What a copy keeps from one row to the next: its installed packages."""


def copy_to(folder: Path) -> None:
    """Make the folder such a copy, a repository of its own, in which the tests can ask git for the files."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        if old.name in STAYS:
            continue
        if old.is_dir() and not old.is_symlink():
            shutil.rmtree(old)
        else:
            old.unlink()
    for name in _listed():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    _git(folder, "init", "--quiet")
    _git(folder, "add", "--all")


def commit() -> str:
    """The commit that is checked out, with a + where files differ from it."""
    head = _git(ROOT, "rev-parse", "--short", "HEAD").strip()
    return head + ("+" if _git(ROOT, "status", "--porcelain").strip() else "")


def _listed() -> list[str]:
    listed = _git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    return [name for name in listed.split("\0") if name]


def _git(folder: Path, *arguments: str) -> str:
    trusting = ("-c", f"safe.directory={folder}")
    done = subprocess.run(["git", *trusting, "-C", str(folder), *arguments], capture_output=True, text=True, check=True)
    return done.stdout
