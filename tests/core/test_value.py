"""Values are made like any object, and are frozen to mypy."""

from dataclasses import dataclass, replace

from bridge.core.value import value


@value(frozen=True, slots=True)
class Made:
    name: str
    count: int = 0


@dataclass(frozen=True, slots=True)
class Frozen:
    name: str
    count: int = 0


def test_values_compare_and_hash_as_frozen_dataclasses_do() -> None:
    assert Made("a", 1) == Made("a", 1) != Made("a", 2)
    assert replace(Made("a"), count=1) == Made("a", 1)
    assert hash(Made("a", 1)) == hash(Frozen("a", 1))
    assert len({Made("a"), Made("a"), Made("b")}) == 2


def test_values_have_slots() -> None:
    assert not hasattr(Made("a"), "__dict__")


def test_mypy_refuses_to_change_a_value() -> None:
    """Otherwise it would say that the comment below is of no use, which is an error too."""
    made = Made("a")
    made.count = 1  # type: ignore[misc]
    assert made.count == 1
