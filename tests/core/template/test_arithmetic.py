"""The operators of templates: as Python's, exact where those are not, and bounded where those are not."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.numbers import MAX_INT_DIGITS
from bridge.core.template.arithmetic import (
    MAX_DIGITS,
    OPERATION,
    PYTHONS,
    calculated,
    decimal_of,
    int_of,
    negated,
    rounded,
)
from bridge.core.template.budget import Budget, TooMuch

HUGE = 10**4000
INTS = st.integers(-(10**6), 10**6)


def calculate(sign: str, left: object, right: object) -> object:
    return calculated(sign, left, right, Budget())


@given(st.sampled_from(["+", "-", "*", "//", "%"]), INTS, INTS.filter(bool))
def test_whole_numbers_are_worked_with_as_python_does(sign: str, left: int, right: int) -> None:
    assert calculate(sign, left, right) == PYTHONS[sign](left, right)


@given(st.sampled_from(["//", "%"]), INTS, INTS.filter(bool))
def test_the_remainder_of_a_decimal_has_the_sign_of_the_divisor_as_that_of_an_int(
    sign: str, left: int, right: int
) -> None:
    assert calculate(sign, Decimal(left), Decimal(right)) == PYTHONS[sign](left, right)


@pytest.mark.parametrize(
    ("sign", "left", "right", "result"),
    [
        ("*", 1.1, 1.19, "1.309"),
        ("+", 0.1, 0.2, "0.3"),
        ("-", Decimal("1.30"), 1, "0.30"),
        ("/", Decimal(1), Decimal(8), "0.125"),
        ("/", Decimal(1), Decimal(3), "0.3333333333333333333333333333"),
        ("/", 2**53 + 1, 1, "9007199254740993"),
        ("**", Decimal(2), Decimal("0.5"), "1.414213562373095048801688724"),
    ],
)
def test_decimals_are_exact_and_what_has_no_end_is_rounded(sign: str, left: Any, right: Any, result: str) -> None:
    assert str(calculate(sign, left, right)) == result


@pytest.mark.parametrize(("left", "right"), [("ab", "c"), ([1], [2]), ((1,), (2,)), (b"a", b"b")])
def test_sequences_are_joined(left: Any, right: Any) -> None:
    assert calculate("+", left, right) == left + right


@pytest.mark.parametrize(("left", "right"), [("ab", 3), (3, "ab"), ([1], 2), ("ab", 0), ("ab", -1)])
def test_sequences_are_repeated(left: Any, right: Any) -> None:
    assert calculate("*", left, right) == left * right


@pytest.mark.parametrize(
    ("sign", "left", "right"),
    [
        ("*", "x" * 1000, 10**6),
        ("*", 10**9, [1]),
        ("+", "x" * 2**20, "x"),
        ("*", HUGE, HUGE),
        ("**", 10, 10**9),
        ("**", HUGE, 2),
        ("+", Decimal("1e5001"), Decimal("1e-1")),
    ],
)
def test_nothing_is_made_without_bound(sign: str, left: object, right: object) -> None:
    with pytest.raises(TooMuch):
        calculate(sign, left, right)


def test_every_operator_costs_something() -> None:
    budget = Budget()
    whole = budget.left
    calculated("+", 1, 1, budget)
    assert budget.left == whole - OPERATION


@pytest.mark.parametrize("zero", [0, Decimal(0), 0.0])
@pytest.mark.parametrize("sign", ["/", "//", "%"])
def test_a_division_by_nothing_is_pythons_error_or_has_no_result(sign: str, zero: object) -> None:
    with pytest.raises((ZeroDivisionError, ValueError)):
        calculate(sign, 1, zero)


@pytest.mark.parametrize(("sign", "left", "right"), [("+", 1, "a"), ("-", "a", "b"), ("%", b"%d", 1), ("+", None, 1)])
def test_what_does_not_go_together_is_pythons_error(sign: str, left: object, right: object) -> None:
    with pytest.raises(TypeError):
        calculate(sign, left, right)


def test_a_negated_number_keeps_every_digit() -> None:
    digits = "1." + "3" * 100
    assert negated(Decimal(digits)) == Decimal(f"-{digits}")
    assert (negated(3), negated(0.5)) == (-3, -0.5)


def test_a_float_is_the_decimal_that_it_is_written_as() -> None:
    assert decimal_of(0.1) == Decimal("0.1")
    assert decimal_of(3) == Decimal(3)


def test_a_decimal_loses_its_fraction_toward_nothing() -> None:
    assert [int_of(Decimal(text)) for text in ("2.9", "-2.9", "1e3")] == [2, -2, 1000]


@pytest.mark.parametrize("text", ["NaN", "Infinity"])
def test_what_is_no_number_is_no_whole_one(text: str) -> None:
    with pytest.raises(ValueError, match="finite"):
        int_of(Decimal(text))


def test_a_whole_number_has_no_more_digits_than_any_may_have() -> None:
    assert int_of(Decimal(f"1e{MAX_INT_DIGITS - 1}")) == 10 ** (MAX_INT_DIGITS - 1)
    with pytest.raises(TooMuch):
        int_of(Decimal(f"1e{MAX_INT_DIGITS}"))


@pytest.mark.parametrize(
    ("text", "places", "method", "result"),
    [
        ("2.5", 0, "common", "2"),
        ("3.5", 0, "common", "4"),
        ("2.345", 2, "common", "2.34"),
        ("2.1", 0, "ceil", "3"),
        ("-2.1", 0, "ceil", "-2"),
        ("2.9", 0, "floor", "2"),
        ("-2.1", 0, "floor", "-3"),
        ("1.5", 3, "common", "1.500"),
    ],
)
def test_a_number_is_rounded_to_its_places(text: str, places: int, method: str, result: str) -> None:
    assert str(rounded(Decimal(text), places, method)) == result


def test_a_number_is_rounded_to_no_more_places_than_digits() -> None:
    with pytest.raises(ValueError, match="cannot be worked out"):
        rounded(Decimal(1), MAX_DIGITS, "common")
