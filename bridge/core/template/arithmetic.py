"""The operators of templates: exact, and bounded in what they make.

Whole numbers and decimals keep their digits. A float (of a division, or of the filter `float`) counts as the decimal
that it is written as, so 1.10 * 1.19 is 1.3090 and not what is nearest to it in binary.
"""

import operator
from collections.abc import Callable
from decimal import (
    MAX_EMAX,
    MIN_EMIN,
    ROUND_CEILING,
    ROUND_FLOOR,
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DecimalException,
    DivisionByZero,
    Inexact,
    InvalidOperation,
    Overflow,
)
from typing import Any, NoReturn, ParamSpec, TypeVar

from bridge.core.numbers import MAX_INT_DIGITS, Number
from bridge.core.template.budget import Budget, TooMuch
from bridge.core.template.formatting import percent

OPERATION = 300
"""Units for one operator."""
MAX_DIGITS = 5000
MAX_BITS = 13_280
"""The size of an `int` that is worked out; no more than MAX_INT_DIGITS digits."""
PLACES = 28
"""Significant digits of what has no end, beside those before the point."""
EXACT_IN_BINARY = 2**53

Sized = (str, bytes, bytearray, list, tuple)
Numeric = (int, float, Decimal)
WRONG = [InvalidOperation, DivisionByZero, Overflow]
EXACT = Context(prec=MAX_DIGITS, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[*WRONG, Inexact])
ROUNDED = Context(prec=MAX_DIGITS, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=WRONG)
POWER = Context(prec=PLACES, traps=WRONG)
ROUNDINGS = {"common": ROUND_HALF_EVEN, "ceil": ROUND_CEILING, "floor": ROUND_FLOOR}

P = ParamSpec("P")
T = TypeVar("T")

PYTHONS: dict[str, Callable[[object, object], object]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "**": operator.pow,
}


def calculated(sign: str, left: object, right: object, budget: Budget) -> object:
    """The result of an operator on two values. Raises TooMuch, and what Python raises."""
    budget.spend(OPERATION)
    if isinstance(left, int) and isinstance(right, int):
        return _of_ints(sign, left, right)
    if isinstance(left, Numeric) and isinstance(right, Numeric):
        return _translated(_of_decimals, sign, decimal_of(left), decimal_of(right))
    if sign == "%" and isinstance(left, str | bytes | bytearray):
        return percent(str(left), right, budget) if isinstance(left, str) else _no_bytes()
    if sign == "*" and isinstance(left, Sized) and isinstance(right, int):
        budget.make(len(left) * max(right, 0))
    elif sign == "*" and isinstance(right, Sized) and isinstance(left, int):
        budget.make(len(right) * max(left, 0))
    elif isinstance(left, Sized) and isinstance(right, Sized):
        budget.make(len(left) + len(right))
    return PYTHONS[sign](left, right)


def negated(value: Any) -> object:
    """`-value`, with every digit."""
    return value.copy_negate() if isinstance(value, Decimal) else -value


def decimal_of(value: float | Decimal) -> Decimal:
    """A number as the decimal that it is written as. Raises TooMuch."""
    if isinstance(value, Number) and len(value.token) > MAX_DIGITS:
        raise TooMuch(f"a number of {len(value.token)} digits cannot be worked with, only repeated")
    return Decimal(repr(value)) if isinstance(value, float) else Decimal(value)


def int_of(value: Decimal) -> int:
    """A decimal without its fraction. Raises TooMuch; ValueError where it is no number."""
    if not value.is_finite():
        raise ValueError("not a finite number")
    if value.adjusted() >= MAX_INT_DIGITS:
        raise TooMuch(f"a whole number of more than {MAX_INT_DIGITS} digits")
    return int(value)


def rounded(value: Decimal, places: int, method: str) -> Decimal:
    """A decimal with so many digits after the point. Raises TooMuch, ValueError."""
    return _translated(
        lambda: decimal_of(value).quantize(Decimal(1).scaleb(-places), ROUNDINGS[method], context=ROUNDED)
    )


def _of_ints(sign: str, left: int, right: int) -> object:
    if sign == "*" and left.bit_length() + right.bit_length() > MAX_BITS:
        raise TooMuch(f"a product of more than {MAX_INT_DIGITS} digits")
    if sign == "**" and right > 0 and abs(left) > 1 and left.bit_length() * right > MAX_BITS:
        raise TooMuch(f"a power of more than {MAX_INT_DIGITS} digits")
    if sign == "/" and max(abs(left), abs(right)) > EXACT_IN_BINARY:
        return _translated(_quotient, Decimal(left), Decimal(right))
    return PYTHONS[sign](left, right)


def _of_decimals(sign: str, left: Decimal, right: Decimal) -> Decimal:
    match sign:
        case "+":
            return EXACT.add(left, right)
        case "-":
            return EXACT.subtract(left, right)
        case "*":
            return EXACT.multiply(left, right)
        case "/":
            return _quotient(left, right)
        case "**":
            return POWER.power(POWER.plus(left), POWER.plus(right))  # of thousands of digits it would take for ever
        case _:
            return _floored(left, right)[0 if sign == "//" else 1]


def _quotient(left: Decimal, right: Decimal) -> Decimal:
    """Exact where it has an end, else rounded."""
    try:
        return EXACT.divide(left, right)
    except Inexact:
        before_the_point = max(0, left.adjusted() - right.adjusted())
        return _rounding(PLACES + before_the_point).divide(left, right)


def _rounding(digits: int) -> Context:
    return Context(prec=min(digits, MAX_DIGITS), Emax=MAX_EMAX, Emin=MIN_EMIN, traps=WRONG)


def _floored(left: Decimal, right: Decimal) -> tuple[Decimal, Decimal]:
    """Quotient and remainder as Python has them for `int` and `float`: the remainder has the divisor's sign."""
    quotient, remainder = EXACT.divmod(left, right)
    if remainder and (remainder < 0) != (right < 0):
        return EXACT.subtract(quotient, Decimal(1)), EXACT.add(remainder, right)
    return quotient, remainder


def _translated(work: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
    """Decimal's own errors say nothing but their class."""
    try:
        return work(*given, **named)
    except Inexact:
        raise TooMuch(f"a number of more than {MAX_DIGITS} digits, or beyond all range") from None
    except DivisionByZero:
        raise ZeroDivisionError("division by zero") from None
    except DecimalException as error:
        raise ValueError(f"it cannot be worked out ({type(error).__name__})") from None


def _no_bytes() -> NoReturn:
    raise TypeError("bytes are no format")
