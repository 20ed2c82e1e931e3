"""Values in words: JSON's for what is no text, Python's for formats, and a bound on each."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.template.budget import MIB, Budget, TooMuch
from bridge.core.template.formatting import (
    MAX_DEPTH,
    MAX_MAGNITUDE,
    MAX_WIDTH,
    NotFormatted,
    formatted,
    measure,
    percent,
    plain,
)


def strict() -> Budget:
    budget = Budget()
    budget.begin(MIB, strict=True)
    return budget


def nested(deep: int) -> list[Any]:
    made: list[Any] = []
    for _ in range(deep - 1):
        made = [made]
    return made


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("text", "text"),
        (None, "null"),
        (True, "true"),
        (False, "false"),
        (12, "12"),
        (1.5, "1.5"),
        (Decimal("1.30"), "1.30"),
        (date(2026, 1, 31), "2026-01-31"),
        ("é".encode(), "é"),
        ({"a": [1, None]}, '{"a":[1,null]}'),
        ((1, "b"), '[1,"b"]'),
    ],
)
def test_a_value_is_told_as_json_has_it(value: object, text: str) -> None:
    assert plain(value, Budget()) == text


@pytest.mark.parametrize("value", [None, True, {"a": 1}, [1], ()])
def test_where_a_name_belongs_only_text_and_numbers_are_taken(value: object) -> None:
    with pytest.raises(NotFormatted, match="came where a text or a number belongs"):
        plain(value, strict())
    assert [plain(taken, strict()) for taken in ("a", 1, 1.5, Decimal(2))] == ["a", "1", "1.5", "2"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), Decimal("NaN"), Decimal("-Infinity")])
def test_what_is_no_finite_number_is_not_told(value: object) -> None:
    with pytest.raises(ValueError, match="no finite number"):
        plain(value, Budget())


def test_a_method_that_nobody_called_is_not_told() -> None:
    with pytest.raises(TypeError, match="where a method is meant, call it"):
        plain("text".upper, Budget())


def test_a_value_is_paid_for_each_time_that_it_is_there() -> None:
    once, twice = Budget(), Budget()
    part = ["x"] * 100
    measure([part], once)
    measure([part, part], twice)
    spent = [Budget().left - budget.left for budget in (once, twice)]
    assert spent[1] > 1.9 * spent[0]


def test_a_value_is_nested_no_deeper_than_it_can_be_written() -> None:
    measure(nested(MAX_DEPTH), Budget())
    with pytest.raises(TooMuch, match="nested"):
        measure(nested(MAX_DEPTH + 1), Budget())


def test_a_value_is_no_longer_than_the_bound() -> None:
    budget = Budget()
    budget.begin(10)
    with pytest.raises(TooMuch):
        measure(["x" * 11], budget)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("%s and %d", ("a", 3)),
        ("%5.2f|%-8s|%+d", (1.234, "ab", 5)),
        ("%(a)s %(b)05d", {"a": "x", "b": 42}),
        ("%d%%", 50),
        ("%*d", (6, 42)),
        ("%x %X %o", (255, 255, 8)),
        ("none", {}),
        ("%.3e", 12345.678),
        ("%c", "a"),
    ],
)
def test_a_format_is_pythons(text: str, values: Any) -> None:
    assert percent(text, values, Budget()) == text % values


@given(st.integers(-(2**53), 2**53), st.sampled_from(["%d", "%5d", "%-5d|", "%05d", "%+d", "% d", "%x", "%.2f", "%e"]))
def test_a_number_in_a_format_is_pythons(number: int, text: str) -> None:
    assert percent(text, number, Budget()) == text % number


def test_a_format_tells_values_as_templates_do_and_keeps_every_digit() -> None:
    assert percent("%s %s", (None, True), Budget()) == "null true"
    assert percent("%.2f", 2**60 + 1, Budget()) == f"{2**60 + 1}.00"
    assert percent("%.3f", Decimal("0.1"), Budget()) == "0.100"


@pytest.mark.parametrize(
    ("text", "values", "error"),
    [
        ("%s %s", ("a",), TypeError),
        ("%s", ("a", "b"), TypeError),
        ("50%", (), ValueError),
        ("%(a)s", {}, KeyError),
        (f"%{MAX_WIDTH + 1}d", 1, TooMuch),
        ("%*d", (MAX_WIDTH + 1, 1), TooMuch),
        (f"%.{MAX_WIDTH + 1}f", 1.0, TooMuch),
    ],
)
def test_a_format_that_cannot_be_followed_is_an_error(text: str, values: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        percent(text, values, Budget())


def test_a_format_makes_nothing_beyond_the_bound() -> None:
    budget = Budget()
    budget.begin(10)
    assert percent("%10d", 1, budget) == f"{1:10d}"
    with pytest.raises(TooMuch):
        percent("%10dx", 1, budget)
    with pytest.raises(TooMuch):
        percent("%(a)s%(a)s", {"a": "x" * 6}, budget)


@pytest.mark.parametrize(
    ("value", "spec"),
    [(3, "05d"), (3.14159, ".2f"), (12345678, ","), ("ab", ">6"), (0.25, ".0%"), (date(2026, 1, 31), "%d.%m.%Y")],
)
def test_a_specification_is_pythons(value: Any, spec: str) -> None:
    assert formatted(value, spec, Budget()) == format(value, spec)


def test_a_specification_for_fractions_keeps_the_digits_of_a_whole_number() -> None:
    assert formatted(2**60 + 1, ".2f", Budget()) == f"{2**60 + 1}.00"
    assert formatted(2**60 + 1, "f", Budget()) == f"{2**60 + 1}.000000"


def test_a_specification_for_text_takes_what_templates_tell() -> None:
    assert formatted(None, ">6", Budget()) == "  null"
    assert formatted(True, "", Budget()) == "true"


@pytest.mark.parametrize(
    ("value", "spec"), [(1, f"{MAX_WIDTH + 1}d"), ("a", f">{10**9}"), (Decimal(f"1e{MAX_MAGNITUDE + 1}"), "f")]
)
def test_a_specification_asks_for_no_more_than_the_bound(value: object, spec: str) -> None:
    with pytest.raises(TooMuch):
        formatted(value, spec, Budget())
