"""The project's own files, read as text and as syntax trees."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BRIDGE = ROOT / "bridge"


@cache
def committed() -> tuple[Path, ...]:
    """Every file that is committed or about to be: tracked, or new and not ignored."""
    command = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=30).stdout
    names = sorted(name for name in listed.decode().split("\0") if name)
    return tuple(path for name in names if (path := ROOT / name).is_file())


def python(*folders: str) -> list[Path]:
    """The Python files below the folders; of the whole project where none is named."""
    roots = [ROOT / folder for folder in folders] or [ROOT]
    return [path for path in committed() if path.suffix == ".py" and any(path.is_relative_to(root) for root in roots)]


def name(path: Path) -> str:
    """The path as it stands in the repository."""
    return path.relative_to(ROOT).as_posix()


def module(path: Path) -> str:
    """The dotted name under which the file is imported."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@cache
def tree(path: Path) -> ast.Module:
    """The file's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=name(path))


def imports(parsed: ast.AST, of: str, *, package: bool = False) -> Iterator[tuple[int, str]]:
    """Line and full name of everything that the module `of` imports, also inside functions.

    `from bridge import app` counts as `bridge.app`, and a relative import as what it stands for.
    """
    for node in ast.walk(parsed):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = _start(node, of, package)
            for alias in node.names:
                longer = f"{start}.{alias.name}"
                yield node.lineno, longer if _is_module(longer) else start


def imports_of(path: Path) -> list[tuple[int, str]]:
    """The same for a file."""
    return list(imports(tree(path), module(path), package=path.name == "__init__.py"))


def is_stdlib(imported: str) -> bool:
    """Whether the name belongs to Python itself."""
    return imported.split(".")[0] in sys.stdlib_module_names


def below(imported: str, *packages: str) -> bool:
    """Whether the name is one of the packages or inside one."""
    return any(imported == package or imported.startswith(f"{package}.") for package in packages)


def _start(node: ast.ImportFrom, of: str, package: bool) -> str:
    if not node.level:
        return node.module or ""
    parts = of.split(".")
    up = node.level - 1 if package else node.level
    return ".".join([*parts[: len(parts) - up], *([node.module] if node.module else [])])


def _is_module(dotted: str) -> bool:
    path = ROOT.joinpath(*dotted.split("."))
    return path.with_suffix(".py").is_file() or (path.is_dir() and dotted.startswith(("bridge", "tests", "deploy")))
