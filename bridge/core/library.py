"""Members of a library that it does not promise, and the sentence that is said where one of them is missing.

An edge names them, with the version that they were read in, and calls `ensure` while it is imported: what the library
has changed shows at the start, by name, and not as an odd error in the middle of a night.
"""

import dis
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import FunctionType

from bridge.core.errors import BridgeError


class LibraryChanged(BridgeError, ImportError):
    """A library is installed that has not what the bridge uses of it."""


@dataclass(frozen=True, slots=True)
class Library:
    """A library by the name of its distribution. `members` are those of its modules (`a.b`) and classes (`a.b:C`)."""

    name: str
    read_in: str
    members: Mapping[str, Sequence[str]]


def ensure(library: Library, load: Callable[[str], object], version: Callable[[str], str]) -> None:
    """Raise LibraryChanged, with every member that is missing.

    `load` imports a module by its name, `version` tells that of an installed distribution.
    """
    missing = sorted(_missing(library, load))
    if missing:
        raise LibraryChanged(
            f"{library.name} {version(library.name)} is installed, which has no {', no '.join(missing)}; "
            f"this version of the bridge works with {library.name} {library.read_in}: install that one"
        )


def _missing(library: Library, load: Callable[[str], object]) -> Iterator[str]:
    for place, names in library.members.items():
        module, _, class_ = place.partition(":")
        try:
            owner = load(module)
        except ImportError:
            yield module
            continue
        if class_ and not hasattr(owner, class_):
            yield f"{module}.{class_}"
            continue
        owner = getattr(owner, class_) if class_ else owner
        yield from (f"{place.replace(':', '.')}.{name}" for name in names if not _has(owner, name))


def _has(owner: object, name: str) -> bool:
    """True where the owner has the member, or is a class that declares it or assigns it to its instances."""
    if hasattr(owner, name):
        return True
    return isinstance(owner, type) and any(
        name in vars(base).get("__annotations__", {}) or _assigns(base, name) for base in owner.__mro__
    )


def _assigns(class_: type, name: str) -> bool:
    functions = [member for member in vars(class_).values() if isinstance(member, FunctionType)]
    return any(
        step.opname == "STORE_ATTR" and step.argval == name
        for function in functions
        for step in dis.get_instructions(function)
    )
