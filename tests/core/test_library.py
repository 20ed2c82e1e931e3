"""What a library must have, and what is said where it has not."""

from types import SimpleNamespace

import pytest

from bridge.core.errors import BridgeError
from bridge.core.library import Library, LibraryChanged, ensure


class Parent:
    declared: int

    def __init__(self) -> None:
        self.assigned = 1

    def method(self) -> None:
        """For the lookup."""


class Child(Parent):
    __slots__ = ("slot",)


def load(module: str) -> object:
    if module != "library.part":
        raise ModuleNotFoundError(module)
    return SimpleNamespace(Child=Child, function=len)


def check(members: dict[str, tuple[str, ...]]) -> None:
    ensure(Library("some-library", "1.2.3", members), load, {"some-library": "2.0.0"}.__getitem__)


def test_members_that_are_there_are_found_however_a_class_has_them() -> None:
    check({"library.part": ("function",), "library.part:Child": ("declared", "assigned", "method", "slot")})


@pytest.mark.parametrize(
    ("members", "missing"),
    [
        ({"library.part": ("_gone",)}, "library.part._gone"),
        ({"library.part:Child": ("_gone", "method")}, "library.part.Child._gone"),
        ({"library.part:Gone": ("method",)}, "library.part.Gone"),
        ({"library.gone:Child": ("method",)}, "library.gone"),
        ({"library.part:Child": ("_b", "_a")}, "library.part.Child._a, no library.part.Child._b"),
    ],
)
def test_what_is_missing_is_named_with_the_versions(members: dict[str, tuple[str, ...]], missing: str) -> None:
    with pytest.raises(LibraryChanged) as raised:
        check(members)
    assert str(raised.value) == (
        f"some-library 2.0.0 is installed, which has no {missing}; "
        "this version of the bridge works with some-library 1.2.3: install that one"
    )
    assert isinstance(raised.value, ImportError)
    assert isinstance(raised.value, BridgeError)
