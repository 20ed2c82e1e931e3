"""A library as another version might be: one member fewer."""

from collections.abc import Callable
from importlib import import_module
from types import ModuleType, SimpleNamespace

import pytest

from bridge.core.library import Library, LibraryChanged, ensure


def message_without(library: Library, place: str, member: str) -> str:
    """What is said at the import when the library's module or class at this place lacks the member."""
    assert member in library.members[place]
    module, _, class_ = place.partition(":")

    def load(asked: str) -> object:
        return _lacking(import_module(module), class_, member) if asked == module else import_module(asked)

    return _message(library, load)


def _message(library: Library, load: Callable[[str], object]) -> str:
    with pytest.raises(LibraryChanged) as raised:
        ensure(library, load, lambda _: "99.0")
    return str(raised.value)


def _lacking(module: ModuleType, class_: str, member: str) -> object:
    members = dict(vars(module))
    if not class_:
        del members[member]
        return SimpleNamespace(**members)
    kept = {name: None for base in vars(module)[class_].__mro__ for name in dir(base) if not name.startswith("__")}
    kept.pop(member, None)
    return SimpleNamespace(**{**members, class_: type(class_, (), kept)})
