"""Calls that docs/reliability.md and CONTRIBUTING.md forbid: each has cost somebody messages or a night."""

import ast
from collections.abc import Iterator

import pytest

from tests.house.source import name, python, tree

QUEUES = frozenset({"Queue", "LifoQueue", "PriorityQueue", "SimpleQueue"})
UNBOUNDED = "a queue without maxsize grows without a limit (S5)"
IN_BRIDGE = {
    "iterator": "a queue iterator hides prefetch and loses its place (C8)",
    "return_callbacks": "return callbacks are gone after a reconnect (P3)",
    "connect_robust": "reconnects quietly, and re-creates what was deleted (F8)",
    "RobustConnection": "the same by another name",
    "wait_for": "asyncio.wait_for lets order and cancellation slip on Python 3.11; use asyncio.timeout (P5)",
}
LIMIT = "a limit that a test changes is a value passed in, not a constant set anew"
PATCHING = frozenset({"setattr", "delattr", "setitem", "delitem"})
COUNTS = frozenset({"counts", "counters"})
"""Parts that everybody counts in."""
SKIPPING = frozenset({"skip", "skipif", "xfail", "importorskip"})


def forbidden_in_bridge(parsed: ast.AST) -> Iterator[str]:
    """Line and reason of every forbidden name that is used or imported."""
    for node in ast.walk(parsed):
        match node:
            case ast.Attribute(attr=used) | ast.Name(id=used) if used in IN_BRIDGE:
                yield f"line {node.lineno}: {IN_BRIDGE[used]}"
            case ast.ImportFrom(names=names):
                for alias in names:
                    if alias.name in IN_BRIDGE:
                        yield f"line {node.lineno}: {IN_BRIDGE[alias.name]}"
            case ast.Call(func=called) if _called(called) in QUEUES and not _bounded(node):
                yield f"line {node.lineno}: {UNBOUNDED}"


def forbidden_in_tests(parsed: ast.AST) -> Iterator[str]:
    """Patching instead of a fake, and tests that may be left out."""
    for node in ast.walk(parsed):
        match node:
            case ast.Import(names=names) if any(alias.name.split(".")[-1] == "mock" for alias in names):
                yield f"line {node.lineno}: mock"
            case ast.ImportFrom(module=module, names=names) if _mocks(module, names):
                yield f"line {node.lineno}: mock"
            case ast.arg(arg="mocker"):
                yield f"line {node.lineno}: mocker"
            case ast.Call(func=ast.Attribute(value=patching, attr=used)) if used in PATCHING:
                yield f"line {node.lineno}: {ast.unparse(patching)}.{used}"
            case ast.Call(func=ast.Name(id="setattr"), args=[_, ast.Constant(value=str(set_)), _]) if set_.isupper():
                yield f"line {node.lineno}: {LIMIT}"
            case ast.Attribute(ctx=ast.Store() | ast.Del(), attr=set_) if set_.isupper():
                yield f"line {node.lineno}: {LIMIT}"
            case ast.Attribute(attr=used) if used in SKIPPING and _of_pytest(node.value):
                yield f"line {node.lineno}: {used}"


def assigned_from_outside(parsed: ast.AST) -> Iterator[str]:
    """Attributes of its parts that a class assigns: what a part needs is given to it at construction, or told it."""
    for node in ast.walk(parsed):
        match node:
            case ast.Attribute(
                ctx=ast.Store(), attr=set_, value=ast.Attribute(value=ast.Name(id="self"), attr=part)
            ) if part.lstrip("_") not in COUNTS:
                yield f"line {node.lineno}: self.{part}.{set_}"
            case ast.Attribute(ctx=ast.Store(), attr=set_, value=ast.Name(id=module)) if module in _modules(parsed):
                yield f"line {node.lineno}: {module}.{set_}"


def _modules(parsed: ast.AST) -> set[str]:
    """Names of what is imported, in lower case: modules, and not classes."""
    return {
        alias.asname or alias.name
        for node in ast.walk(parsed)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
        if (alias.asname or alias.name).islower()
    }


def _called(function: ast.expr) -> str | None:
    match function:
        case ast.Subscript(value=inner):
            return _called(inner)
        case ast.Attribute(attr=called) | ast.Name(id=called):
            return called
    return None


def _bounded(call: ast.Call) -> bool:
    if _called(call.func) == "SimpleQueue":
        return False
    given = [*call.args[:1], *(keyword.value for keyword in call.keywords if keyword.arg in ("maxsize", "name"))]
    return bool(given) and not (isinstance(given[0], ast.Constant) and given[0].value in (0, -1))


def _mocks(module: str | None, names: list[ast.alias]) -> bool:
    return (module or "").split(".")[-1] == "mock" or any(alias.name == "mock" for alias in names)


def _of_pytest(value: ast.expr) -> bool:
    return ast.unparse(value) in ("pytest", "pytest.mark", "unittest")


def test_nothing_forbidden_is_used_in_the_bridge() -> None:
    assert [f"{name(path)}, {found}" for path in python("bridge") for found in forbidden_in_bridge(tree(path))] == []


def test_tests_use_fakes_and_none_may_be_left_out() -> None:
    assert [f"{name(path)}, {found}" for path in python("tests") for found in forbidden_in_tests(tree(path))] == []


def test_nothing_is_set_on_a_part_after_its_construction() -> None:
    ours = [path for path in python("bridge") if not name(path).startswith("bridge/sandbox/")]
    assert [f"{name(path)}, {place}" for path in ours for place in assigned_from_outside(tree(path))] == []


@pytest.mark.parametrize(
    "code",
    [
        "self.consumer.receive = self.intake.receive",
        "self._publishers.outbound = 1\nself._publisher.blocked = True",
        "from bridge.flow import failpoints\nfailpoints.listener = f",
    ],
)
def test_what_is_set_from_outside_would_be_seen(code: str) -> None:
    assert list(assigned_from_outside(ast.parse(code)))


def test_counting_and_ones_own_attributes_are_no_such_thing() -> None:
    assert not list(assigned_from_outside(ast.parse("self._counters.lines += 1\nself.a = 1\nlane.works = 2")))


@pytest.mark.parametrize(
    "code",
    [
        "async for m in queue.iterator(): ...",
        "channel.return_callbacks.add(f)",
        "await asyncio.wait_for(x, 1)",
        "from asyncio import wait_for",
        "await aio_pika.connect_robust(url)",
        "from aio_pika import connect_robust as connect",
        "asyncio.Queue()",
        "asyncio.Queue[int]()",
        "q: asyncio.Queue[int] = asyncio.Queue(maxsize=0)",
        "Queue(0)",
        "queue.SimpleQueue()",
    ],
)
def test_a_forbidden_call_would_be_seen(code: str) -> None:
    assert list(forbidden_in_bridge(ast.parse(code)))


@pytest.mark.parametrize(
    "code", ["asyncio.Queue(100)", "asyncio.Queue(maxsize=LIMIT)", "Queue('bridge.events', {})", "asyncio.timeout(1)"]
)
def test_a_good_call_is_not_reported(code: str) -> None:
    assert not list(forbidden_in_bridge(ast.parse(code)))


@pytest.mark.parametrize(
    "code",
    [
        "import unittest.mock",
        "from unittest import mock",
        "from unittest.mock import patch",
        "def test(mocker): ...",
        "monkeypatch.setattr(a, 'b', 1)",
        "monkeypatch.setattr('a.b', 1)",
        "monkeypatch.setattr(module, 'BODY_S', 0.1)",
        "with monkeypatch.context() as hasty:\n    hasty.setattr(module, name, getattr(module, name) / 10)",
        "setattr(module, 'BODY_S', 0.1)",
        "module.BODY_S = 0.1",
        "module.BODY_S /= 10",
        "pytest.skip('no broker')",
        "@pytest.mark.xfail\ndef test(): ...",
        "pytest.importorskip('x')",
    ],
)
def test_a_patch_or_a_way_out_would_be_seen(code: str) -> None:
    assert list(forbidden_in_tests(ast.parse(code)))


def test_setting_a_variable_or_a_folder_is_no_patch() -> None:
    assert not list(forbidden_in_tests(ast.parse("monkeypatch.setenv('A', 'b')\nmonkeypatch.chdir(p)\nskip(1)")))
    assert not list(forbidden_in_tests(ast.parse("BODY_S = 0.1\nserver.body_s = module.BODY_S")))
