"""JSON whose numbers stay as they were written: whole ones are `int`, those with a fraction or an exponent `Decimal`.

orjson decides what is JSON and reads whatever it reads without loss. Only where a number would lose digits (a fraction,
an exponent, more than 64 bits, `-0`) is the text read once more, by the standard library.
"""

import json
import re
from decimal import Context, Decimal
from typing import Any

import orjson

MAX_INT_DIGITS = 4000
"""Digits of an `int`; Python writes none of more than 4300 in decimal. A longer whole number is a `Number`."""
MAX_PLAIN_DIGITS = 1_000_000
TWO_TO_64 = 2**64

NUMBER = re.compile(rb"(?<![^:,\[\s])-?[0-9][0-9.eE+-]*")
ODD = re.compile(rb"[0-9][eE]|-0|(?<![0-9])[0-9]{%d}" % MAX_INT_DIGITS)
_CLASSES = bytes.maketrans(b"123456789eE", b"000000000..")


class Number(Decimal):
    """A number that is written otherwise than Python would write it: `1e3`, `-0`, thousands of digits."""

    __slots__ = ("token",)
    token: str

    def __new__(cls, token: str) -> "Number":
        made = super().__new__(cls, token)
        made.token = token
        return made

    def __str__(self) -> str:
        return self.token

    def __format__(self, spec: str, context: Context | None = None, /) -> str:
        return super().__format__(spec) if spec else self.token

    def __reduce__(self) -> tuple[type["Number"], tuple[str]]:
        return Number, (self.token,)


def loads(body: bytes) -> Any:
    """The value of a JSON text in UTF-8. Raises ValueError."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return _beyond_orjson(body, error)
    return _exact(body) if _may_lose(body) and _has_lost(value) else value


def dumps(value: object) -> bytes:
    """Compact JSON with every number as it was written. Raises ValueError for what JSON cannot say."""
    try:
        return orjson.dumps(value, default=_fragment)
    except TypeError:
        pass  # an integer of more than 64 bits, or really nothing that JSON knows
    try:
        return orjson.dumps(_with_fragments(value), default=_fragment)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    except TypeError as error:
        raise ValueError(str(error)) from None


def written(value: Decimal) -> str:
    """A decimal in digits: as it was published or, where it was worked out, without an exponent if that is no lie."""
    text = str(value)
    if "E" not in text or isinstance(value, Number):
        return text
    exponent = int(text.rpartition("E")[2])
    return format(value, "f") if -MAX_PLAIN_DIGITS < exponent <= 30 else text


def _may_lose(body: bytes) -> bool:
    """A quick look that errs on the safe side."""
    classes = body.translate(_CLASSES)
    return b"0." in classes or b"-0" in classes or b"0" * 19 in classes


def _has_lost(value: object) -> bool:
    left: list[Any] = [value]
    for one in left:
        kind = type(one)
        if kind is float or (kind is int and one == 0):
            return True
        if kind is dict:
            left.extend(one.values())
        elif kind is list:
            left.extend(one)
    return False


def _beyond_orjson(body: bytes, error: orjson.JSONDecodeError) -> object:
    """Read JSON that orjson refuses only over the size of a number: without its numbers it takes it."""
    try:
        orjson.loads(NUMBER.sub(b"0", body))
    except orjson.JSONDecodeError:
        raise error from None
    return _exact(body)


def _exact(body: bytes) -> object:
    decoder = _CAREFUL if ODD.search(body) else _PLAIN
    try:
        return decoder.decode(body.decode("utf-8"))
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    except ArithmeticError:
        raise ValueError("the exponent of a number is out of all range") from None


def _whole(text: str) -> int | Number:
    return Number(text) if text == "-0" or len(text) > MAX_INT_DIGITS else int(text)


def _decimal(text: str) -> Decimal:
    return Number(text) if "e" in text or "E" in text else Decimal(text)


_PLAIN = json.JSONDecoder(parse_float=Decimal)
_CAREFUL = json.JSONDecoder(parse_float=_decimal, parse_int=_whole)


def _fragment(value: object) -> orjson.Fragment:
    if isinstance(value, Decimal) and value.is_finite():
        return orjson.Fragment(written(value))
    raise TypeError(f"JSON has no {type(value).__name__}")


def _with_fragments(value: object) -> object:
    if isinstance(value, dict):
        return {key: _with_fragments(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_with_fragments(part) for part in value]
    if type(value) is int and abs(value) >= TWO_TO_64 // 2:
        return orjson.Fragment(str(value))
    return value
