"""A library's private and undocumented members stand in the `_internals.py` of an edge, and nowhere else.

`x._y` is a library's unless `x` is the method's own object. Of a class with a foreign base also that object's `_y` is
one where a foreign base has it. What is undocumented has no mark in its name, so the known ones are listed here.
"""

import ast
import asyncio
import importlib
from collections.abc import Iterator, Mapping
from inspect import getsource
from pathlib import Path

import pytest

from tests.house.source import below, imports_of, module, name, python, tree

INTERNALS = "_internals.py"
UNDOCUMENTED_MODULES = (
    "aiohttp.base_protocol",
    "aiohttp.client_proto",
    "aiohttp.connector",
    "aiohttp.http",
    "aiohttp.http_exceptions",
    "aiohttp.web_protocol",
    "aiormq.base",
    "aiormq.channel",
    "aiormq.connection",
    "jinja2.parser",
    "jinja2.utils",
)
UNDOCUMENTED_NAMES = frozenset(
    {"ChannelFrame", "FILTERS", "METHODS", "UnderlayConnection", "connection_tune", "finish_response"}
    | {"handle_error", "make_attrgetter", "make_connection", "on_consumer_cancel_callbacks", "output_size"}
    | {"request_factory", "vhost", "wrap_str_format", "write_queue"}
)
FROM_LIBRARIES = ("aio_pika", "aiormq", "aiohttp", "jinja2", "pamqp")


DOCUMENTED = frozenset({"os._exit"})


def is_private(member: str) -> bool:
    """Names that begin with an underscore, but for Python's own forms `__x__` and (of enums) `_x_`."""
    return member.startswith("_") and not member.endswith("_")


def private_uses(parsed: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and name of each private member of something that is not the method's own object, and of each import."""
    own: dict[ast.AST, str] = {}
    for function in ast.walk(parsed):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) and function.args.args:
            first = function.args.args[0].arg
            own |= {node: first for node in ast.walk(function) if node not in own or first in ("self", "cls", "__self")}
    for node in ast.walk(parsed):
        match node:
            case ast.Attribute(value=ast.Name(id=object_), attr=member) if is_private(member):
                is_own = object_ in ("self", "cls", "__self") and own.get(node) == object_
                if not is_own and f"{object_}.{member}" not in DOCUMENTED:
                    yield node.lineno, f"{object_}.{member}"
            case ast.Attribute(attr=member) if is_private(member):
                yield node.lineno, member
            case ast.Call(
                func=ast.Name(id="getattr" | "setattr" | "hasattr"), args=[_, ast.Constant(value=str() as member), *_]
            ):
                if is_private(member):
                    yield node.lineno, member
            case ast.Call(func=ast.Attribute(attr="attrgetter") | ast.Name(id="attrgetter"), args=arguments):
                for argument in arguments:
                    if isinstance(argument, ast.Constant) and is_private(str(argument.value).split(".")[-1]):
                        yield node.lineno, str(argument.value)
            case ast.ImportFrom(names=names, module=str() as start) if not start.startswith("bridge"):
                yield from ((node.lineno, alias.name) for alias in names if is_private(alias.name))
                if any(is_private(part) for part in start.split(".")) and start != "__future__":
                    yield node.lineno, start


def inherited_uses(class_: ast.ClassDef, foreign: Mapping[str, frozenset[str]]) -> Iterator[tuple[int, str]]:
    """Line and name of each private member of a foreign base that the class uses or replaces."""
    known = frozenset[str]().union(*foreign.values())
    for node in ast.walk(class_):
        match node:
            case ast.Attribute(attr=member) | ast.FunctionDef(name=member) | ast.AsyncFunctionDef(name=member):
                if is_private(member) and member in known:
                    yield node.lineno, member


def members_of(base: type) -> frozenset[str]:
    """Private members of a class: in it, declared by it, or assigned by its methods."""
    found = {*vars(base), *vars(base).get("__annotations__", {})}
    try:
        parsed = ast.parse(getsource(importlib.import_module(base.__module__)))
    except (OSError, TypeError):  # without a source in Python
        return frozenset(filter(is_private, found))
    for node in ast.walk(parsed):
        if isinstance(node, ast.ClassDef) and node.name == base.__name__:
            found |= {
                part.attr
                for part in ast.walk(node)
                if isinstance(part, ast.Attribute)
                and isinstance(part.value, ast.Name)
                and part.value.id == "self"
                and isinstance(part.ctx, ast.Store)
            }
    return frozenset(filter(is_private, found))


def foreign_bases(class_: type) -> dict[str, frozenset[str]]:
    """What the bases have that are neither ours nor Python's own way to build classes."""
    builders = ("abc", "builtins", "enum", "typing", "_typeshed")
    return {
        f"{base.__module__}.{base.__qualname__}": members_of(base)
        for base in class_.__mro__
        if base.__module__ not in builders and not below(base.__module__, "bridge", "tests")
    }


def elsewhere() -> list[Path]:
    """The files of the bridge that may use nothing private."""
    return [path for path in python("bridge") if path.name not in (INTERNALS, "__main__.py")]


def test_private_members_of_libraries_are_used_in_internals_alone() -> None:
    found = [f"{name(path)}:{line} {used}" for path in elsewhere() for line, used in private_uses(tree(path))]
    assert found == []


def test_so_are_those_that_a_class_inherits() -> None:
    found, looked_at = [], 0
    for path in elsewhere():
        loaded = importlib.import_module(module(path))
        for node in tree(path).body:
            if isinstance(node, ast.ClassDef):
                looked_at += 1
                uses = inherited_uses(node, foreign_bases(getattr(loaded, node.name)))
                found += [f"{name(path)}:{line} {node.name}.{used}" for line, used in uses]
    assert found == []
    assert looked_at > 200


def test_undocumented_modules_and_members_are_used_in_internals_alone() -> None:
    found = []
    for path in elsewhere():
        found += [
            f"{name(path)}:{line} {used}" for line, used in imports_of(path) if below(used, *UNDOCUMENTED_MODULES)
        ]
        found += [f"{name(path)}:{line} {used}" for line, used in undocumented_uses(tree(path))]
    assert found == []


def undocumented_uses(parsed: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and name of members in UNDOCUMENTED_NAMES."""
    for node in ast.walk(parsed):
        match node:
            case ast.Attribute(attr=member) if member in UNDOCUMENTED_NAMES:
                yield node.lineno, member
            case ast.FunctionDef(name=member) | ast.AsyncFunctionDef(name=member) if member in UNDOCUMENTED_NAMES:
                yield node.lineno, member
            case ast.ImportFrom(names=names, module=str() as start) if below(start, *FROM_LIBRARIES):
                yield from ((node.lineno, alias.name) for alias in names if alias.name in UNDOCUMENTED_NAMES)


@pytest.mark.parametrize(
    "statement",
    [
        "channel._lock",
        "self.connection._writer",
        "def f(self):\n    return other._x",
        "def f(x):\n    return self._x",
        "getattr(x, '_y')",
        "operator.attrgetter('_y')",
        "attrgetter('a._y')",
        "super()._close()",
        "aiormq.Connection._rpc(1)",
        "from aiohttp import _http_parser",
        "from aiohttp._websocket import reader",
    ],
)
def test_a_private_member_would_be_seen(statement: str) -> None:
    assert list(private_uses(ast.parse(statement)))


@pytest.mark.parametrize(
    "statement",
    [
        "class A:\n    def f(self):\n        return self._x",
        "class A:\n    def f(self):\n        def g(one):\n            return self._x\n        return g",
        "class A:\n    def f(self):\n        return lambda: self._x",
        "class A:\n    def call(__self, x):\n        return __self._x",
        "x.__class__",
        "_y = 1\n_y.z",
        "from bridge.edges.http._internals import encourage",
    ],
)
def test_an_own_member_is_not_reported(statement: str) -> None:
    assert list(private_uses(ast.parse(statement))) == []


class Foreign(asyncio.Queue[int]):
    """For the test below."""


def test_an_inherited_private_member_would_be_seen() -> None:
    (class_,) = ast.parse("class Foreign(Queue):\n    def f(self):\n        self._unfinished_tasks = self._own").body
    assert isinstance(class_, ast.ClassDef)
    assert list(inherited_uses(class_, foreign_bases(Foreign))) == [(3, "_unfinished_tasks")]


@pytest.mark.parametrize(
    "statement",
    [
        "channel.write_queue.put(1)",
        "from aiormq.abc import ChannelFrame",
        "def finish_response(self): ...",
        "pamqp.decode.METHODS",
    ],
)
def test_an_undocumented_member_would_be_seen(statement: str) -> None:
    assert list(undocumented_uses(ast.parse(statement)))


def test_each_internals_names_the_members_and_checks_them() -> None:
    files = [path for path in python("bridge") if path.name == INTERNALS]
    assert len(files) >= 4
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert "ensure(" in text, name(path)
        named = {
            member.value
            for node in ast.walk(tree(path))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Library"
            for member in ast.walk(node)
            if isinstance(member, ast.Constant)
        }
        loaded = importlib.import_module(module(path))
        uses = {used.rpartition(".")[2] for _, used in private_uses(tree(path))}
        for node in tree(path).body:
            if isinstance(node, ast.ClassDef):
                uses |= {used for _, used in inherited_uses(node, foreign_bases(getattr(loaded, node.name)))}
        assert uses - named == set(), name(path)
