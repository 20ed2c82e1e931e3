"""Who may import what (docs/architecture.md, The laws), and what the pure core may not touch."""

import ast
from collections.abc import Iterator

import pytest

from tests.house.source import below, imports, imports_of, is_stdlib, module, name, python, tree

IMPURE = frozenset(
    {"asyncio", "concurrent", "contextvars", "fcntl", "getpass", "glob", "http", "io", "locale", "logging", "os"}
    | {"multiprocessing", "pathlib", "platform", "queue", "random", "sched", "secrets", "select", "selectors", "shutil"}
    | {"signal", "smtplib", "socket", "socketserver", "sqlite3", "ssl", "subprocess", "sys", "tempfile", "threading"}
    | {"time", "urllib", "uuid", "warnings"}
)
CLOCKS = frozenset({"now", "utcnow", "today"})
DOORS = frozenset({"open", "print", "input", "exec", "eval", "__import__", "breakpoint"})
ROOMS = ("core", "flow", "edges", "sandbox", "settings", "cli")


def allowed(importer: str, imported: str) -> bool:
    """The import table."""
    if not below(imported, "bridge"):
        return _foreign_allowed(importer, imported)
    if below(imported, "bridge.process_status"):
        return below(importer, "bridge.app", "bridge.service", "tests")
    if below(imported, "bridge.app", "bridge.service"):
        return below(importer, "bridge.cli", "bridge.service", "tests")
    if below(importer, "bridge.core"):
        return below(imported, "bridge.core")
    if below(importer, "bridge.flow"):
        return below(imported, "bridge.core", "bridge.flow")
    if below(importer, "bridge.edges"):
        return below(imported, "bridge.core", "bridge.flow.ports", _edge(importer))
    if below(importer, "bridge.sandbox"):
        return below(imported, "bridge.core", "bridge.sandbox")
    if below(importer, "bridge.settings"):
        return below(imported, "bridge.core", "bridge.flow.ports", "bridge.edges", "bridge.settings")
    return True


def _foreign_allowed(importer: str, imported: str) -> bool:
    if below(imported, "tests", "deploy"):
        return below(importer, "tests", "deploy")
    if below(importer, "bridge.core"):
        return is_stdlib(imported) or below(imported, "orjson")
    return is_stdlib(imported) or not below(importer, "bridge.flow")


def _edge(importer: str) -> str:
    """An edge is one folder, or one file, directly in `bridge/edges`."""
    return ".".join(importer.split(".")[:3])


def test_every_import_is_in_the_table() -> None:
    wrong = [
        f"{name(path)}:{line} imports {imported}"
        for path in python()
        for line, imported in imports_of(path)
        if not allowed(module(path), imported)
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("importer", "statement"),
    [
        ("bridge.core.event.event", "import aiohttp"),
        ("bridge.core.event.event", "import pydantic"),
        ("bridge.core.event.event", "from bridge.flow import ports"),
        ("bridge.core.event.event", "from bridge import settings"),
        ("bridge.core.event.event", "from ...flow.ports import Log"),
        ("bridge.core.event.event", "def f():\n    import bridge.edges.jinja"),
        ("bridge.flow.lanes.lanes", "import aiohttp"),
        ("bridge.flow.lanes.lanes", "import orjson"),
        ("bridge.flow.lanes.lanes", "from bridge.edges.rabbitmq.supervisor import Session"),
        ("bridge.flow.lanes.lanes", "from bridge.settings.model import Settings"),
        ("bridge.edges.amigo.client", "from bridge.edges.rabbitmq import supervisor"),
        ("bridge.edges.amigo.client", "from bridge.flow.lanes.lanes import Lanes"),
        ("bridge.edges.amigo.client", "from bridge.flow import lanes"),
        ("bridge.edges.amigo.client", "from bridge.settings.model import Settings"),
        ("bridge.edges.jinja", "from bridge.edges import webhook_secrets"),
        ("bridge.edges.amigo.client", "from bridge import app"),
        ("bridge.sandbox.http.server", "from bridge.flow.ports import Log"),
        ("bridge.sandbox.http.server", "from bridge.edges.amigo import client"),
        ("bridge.settings.model", "from bridge.app import serve"),
        ("bridge.settings.model", "from bridge.flow import lanes"),
        ("bridge.settings.model", "from bridge.cli.screen import Screen"),
        ("bridge.app", "from bridge.service import serve"),
        ("bridge.edges.amigo.client", "from tests.support import making"),
        ("deploy.local.demo", "import bridge.app"),
    ],
)
def test_a_violation_would_be_seen(importer: str, statement: str) -> None:
    found = [imported for _, imported in imports(ast.parse(statement), importer)]
    assert found
    assert not all(allowed(importer, imported) for imported in found)


@pytest.mark.parametrize(
    ("importer", "statement"),
    [
        ("bridge.core.event.event", "import orjson, re\nfrom bridge.core import tags"),
        ("bridge.flow.lanes.lanes", "import asyncio\nfrom bridge.flow.ports import Log\nfrom bridge.core import tags"),
        ("bridge.edges.amigo.client", "import aiohttp\nfrom bridge.flow.ports import Log\nfrom . import tokens"),
        ("bridge.cli.main", "from bridge.app import serve\nfrom bridge import version"),
        ("tests.flow.lanes.test_lanes", "from bridge import app"),
    ],
)
def test_what_the_table_allows_is_not_reported(importer: str, statement: str) -> None:
    assert all(allowed(importer, imported) for _, imported in imports(ast.parse(statement), importer))


def test_every_file_of_the_house_stands_in_a_room_that_the_table_knows() -> None:
    loose = {"bridge", "bridge.__main__", "bridge.app", "bridge.process_status", "bridge.service"}
    known = {f"bridge.{room}" for room in ROOMS}
    for path in python("bridge"):
        assert module(path) in loose or below(module(path), *known), name(path)
    assert {room for room in ROOMS if python(f"bridge/{room}")} == set(ROOMS)


# --- the pure core


def impurities(parsed: ast.AST) -> Iterator[str]:
    """Whatever touches the world: async, clocks, dice, files, the process."""
    for _, imported in imports(parsed, "bridge.core.x"):
        if imported.split(".")[0] in IMPURE:
            yield f"imports {imported}"
    for node in ast.walk(parsed):
        match node:
            case ast.AsyncFunctionDef() | ast.Await() | ast.AsyncFor() | ast.AsyncWith():
                yield f"line {node.lineno}: async"
            case ast.Attribute(attr=attribute) if attribute in CLOCKS:
                yield f"line {node.lineno}: .{attribute}"
            case ast.Call(func=ast.Name(id=called)) if called in DOORS:
                yield f"line {node.lineno}: {called}"
            case ast.Global() | ast.Nonlocal():
                yield f"line {node.lineno}: global state"


def test_the_core_touches_nothing() -> None:
    assert [f"{name(path)}: {found}" for path in python("bridge/core") for found in impurities(tree(path))] == []
    assert len(python("bridge/core")) > 15


def test_neither_do_its_tests() -> None:
    assert [f"{name(path)}: {found}" for path in python("tests/core") for found in impurities(tree(path))] == []


@pytest.mark.parametrize(
    "statement",
    [
        "import time",
        "from time import monotonic",
        "import os.path",
        "import logging",
        "from random import random",
        "import socket",
        "import asyncio",
        "from pathlib import Path",
        "async def f(): ...",
        "datetime.now(UTC)",
        "datetime.datetime.utcnow()",
        "date.today()",
        "open('x')",
        "print('x')",
    ],
)
def test_an_impurity_would_be_seen(statement: str) -> None:
    assert list(impurities(ast.parse(statement)))


def test_formatting_a_given_time_is_no_impurity() -> None:
    given = "from datetime import UTC, datetime\ndatetime.fromtimestamp(now_s, UTC).strftime('%Y')"
    assert list(impurities(ast.parse(given))) == []
