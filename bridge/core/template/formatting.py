"""Values in words: as a template prints them, and printf's `%` over them.

null, true, false, objects and lists are told as JSON has them; where only a name or an id belongs (`strict`) they are
refused.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from decimal import Decimal
from itertools import chain
from typing import Any, NoReturn

from bridge.core import numbers
from bridge.core.errors import BridgeError
from bridge.core.template.budget import Budget, TooMuch

CONVERSION = 500
"""Units for one value in a format."""
ITEM = 250
"""Units for one value in an object or a list."""
MAX_WIDTH = 1000
MAX_DEPTH = 500
"""Levels of lists and objects in one value. orjson aborts the process over some thousand tuples in one another."""
MAX_MAGNITUDE = 5000
SPEC = re.compile(
    r"%(?:\((?P<key>[^()]*)\))?(?P<flags>[#0\- +]*)(?P<width>\*|\d+)?(?:\.(?P<precision>\*|\d*))?[hlL]?(?P<kind>.)",
    re.DOTALL,
)


class NotFormatted(BridgeError):
    """A value came where a name or an id belongs, and is neither text nor a number."""


def plain(value: object, budget: Budget) -> str:
    """A value as text. Raises NotFormatted, TooMuch, ValueError, TypeError."""
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, bool):
        return _json_word(value, budget)
    if isinstance(value, int):
        return _digits(value)
    if isinstance(value, Decimal):
        return numbers.written(value) if value.is_finite() else _no_number()
    if isinstance(value, float):
        return repr(value) if Decimal(value).is_finite() else _no_number()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes | bytearray):
        return value.decode("utf-8")
    if isinstance(value, dict | Iterable) and not callable(value):
        return _compact(value, budget)
    str(value)  # an undefined name says what it is
    raise TypeError(f"a {type(value).__name__} cannot be told: where a method is meant, call it")


def measure(value: object, budget: Budget) -> None:
    """Pay for a value with all that is in it, each time that it is there. Raises TooMuch, also where it is too deep."""
    level, length, depth = [value], 0, 0
    while level:
        inner: list[object] = []
        for one in level:
            budget.spend(ITEM)
            if isinstance(one, dict):
                inner.extend(chain(one, one.values()))
            elif isinstance(one, list | tuple):
                inner.extend(one)
            length += len(one) if isinstance(one, str | dict | list | tuple) else 1
            if length > budget.longest:
                budget.make(length)
        level, depth = inner, depth + 1
        if depth > MAX_DEPTH:
            raise TooMuch(f"a value that is nested more than {MAX_DEPTH} deep")
    budget.spend(length)


def percent(text: str, values: object, budget: Budget) -> str:
    """`text % values`. Raises TooMuch, and what Python raises."""
    positional = iter(values if isinstance(values, tuple) else (values,))
    made: list[str] = []
    length = at = 0
    keyed = False
    for match in SPEC.finditer(text):
        budget.spend(CONVERSION)
        piece = _literal(text[at : match.start()]) + _converted(match, values, positional, budget)
        keyed, at, length = keyed or match["key"] is not None, match.end(), length + len(piece)
        budget.within(length)
        budget.spend(len(piece))
        made.append(piece)
    made.append(_literal(text[at:]))
    if not keyed and not isinstance(values, Mapping) and next(positional, None) is not None:
        raise TypeError("not all arguments converted during string formatting")
    budget.within(length + len(made[-1]))
    return "".join(made)


def formatted(value: object, spec: str, budget: Budget) -> str:
    """`format(value, spec)`. Raises TooMuch, and what Python raises."""
    budget.spend(CONVERSION)
    if any(int(number) > MAX_WIDTH for number in re.findall(r"\d{1,9}", spec)):
        raise TooMuch(f"a width of more than {MAX_WIDTH}")
    if not spec or not isinstance(value, int | float | Decimal) or isinstance(value, bool):
        value = value if isinstance(value, date) and spec else plain(value, budget)
    elif isinstance(value, Decimal):
        _within_reach(value)
    elif isinstance(value, int) and spec[-1] in "eEfFgG%" and abs(value) > 2**53:  # as a float it would lose digits
        value, spec = Decimal(value), spec if "." in spec else f"{spec[:-1]}.6{spec[-1]}"
        _within_reach(value)
    made = format(value, spec)
    budget.make(len(made))
    return made


def _converted(match: re.Match[str], values: Any, positional: Iterator[object], budget: Budget) -> str:
    key, flags, kind = match["key"], match["flags"], match["kind"]
    width = _size(match["width"], positional)
    precision = "" if match["precision"] is None else f".{_size(match['precision'], positional)}"
    if kind == "%":
        return "%"
    value = values[key] if key is not None else _next(positional)
    if kind in "sra":
        value, kind = plain(value, budget), "s"
    elif isinstance(value, bool):
        raise TypeError(f"%{kind} takes a number: true and false are none")
    elif isinstance(value, Decimal) or (kind in "fFeEgG" and isinstance(value, int) and abs(value) > 2**53):
        value = Decimal(value)
        _within_reach(value)
        if kind in "fFeEgG":
            return formatted(value, _as_format(flags, width, precision or ".6") + kind, budget)
        value = int(value)
    return f"%{flags}{width}{precision}{kind}" % (value,)


def _as_format(flags: str, width: str, precision: str) -> str:
    """printf's flags in the language of `format`."""
    align = "<" if "-" in flags else "0=" if "0" in flags else ">"
    sign = "+" if "+" in flags else " " if " " in flags else ""
    return f"{align}{sign}{'#' if '#' in flags else ''}{width}{precision}"


def _size(text: str | None, positional: Iterator[object]) -> str:
    """A width or a precision; `*` takes it from the values."""
    number = _next(positional) if text == "*" else int((text or "0")[:9])
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= MAX_WIDTH:
        raise TooMuch(f"a width beyond 0 to {MAX_WIDTH}")
    return text if text != "*" and text is not None else "" if text is None else str(number)


def _next(positional: Iterator[object]) -> object:
    for value in positional:
        return value
    raise TypeError("not enough arguments for format string")


def _literal(text: str) -> str:
    if "%" in text:
        raise ValueError("incomplete format")
    return text


def _within_reach(value: Decimal) -> None:
    if not value.is_finite():
        _no_number()
    if value.adjusted() > MAX_MAGNITUDE:
        raise TooMuch(f"a number of more than {MAX_MAGNITUDE} digits")


def _json_word(value: bool | None, budget: Budget) -> str:
    word = "null" if value is None else "true" if value else "false"
    if budget.strict:
        raise NotFormatted(f"{word} came where a text or a number belongs")
    return word


def _digits(value: int) -> str:
    try:
        return str(value)
    except ValueError:
        raise TooMuch("a whole number of more digits than can be written") from None


def _compact(value: dict[object, object] | Iterable[object], budget: Budget) -> str:
    if budget.strict:
        kind = "an object" if isinstance(value, dict) else "a list"
        raise NotFormatted(f"{kind} came where a text or a number belongs")
    whole = value if isinstance(value, dict) else list(value)
    measure(whole, budget)
    text = numbers.dumps(whole).decode()
    budget.make(len(text))
    return text


def _no_number() -> NoReturn:
    raise ValueError("it comes to no finite number")
