"""Values of which several are made for every event: dataclasses that nobody changes.

A frozen dataclass checks that at run time, and pays for it with one more call for each field of each new object. Here
mypy alone checks it, which reads all of bridge/ and tests/: a value is made like any other object, compared and hashed
like a frozen one.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dataclasses import dataclass as value
else:
    from dataclasses import dataclass

    def value(*, frozen, slots=False):
        """Give the decorator. `frozen` is mypy's."""
        return dataclass(slots=slots, unsafe_hash=frozen)


__all__ = ["value"]
