"""Bodies of the type `application/x-www-form-urlencoded` (url.spec.whatwg.org, section 5.1)."""

import json
import re
from collections.abc import Sequence

import orjson

from bridge.core import numbers

CONTENT_TYPE = "application/x-www-form-urlencoded"
MAX_FIELDS = 1000
BLANK = "\ufeff \t\r\n"
"""A byte order mark, which JSON must not begin with (RFC 8259, section 8.1) and some write, and JSON's blanks."""
_BEGINS_AS_JSON = re.compile(r'\{|\[[ \t\r\n]*(?:["{\[\]0-9-]|(?:true|false|null)\b|$)')
_ESCAPED = re.compile(rb"%([0-9A-Fa-f]{2})")


def fields(body: bytes) -> list[tuple[str, str]]:
    """Names and values in their order. Raises ValueError for too many, or for bytes that are not UTF-8."""
    pairs = [pair for pair in body.split(b"&", MAX_FIELDS) if pair]
    if len(pairs) > MAX_FIELDS:
        raise ValueError(f"more than {MAX_FIELDS} fields")
    return [(_decoded(name), _decoded(value)) for name, _, value in (pair.partition(b"=") for pair in pairs)]


def as_json(body: bytes) -> tuple[bytes, object]:
    """The form as JSON, in bytes and as a value: an object of its fields.

    A lone `payload` that is JSON is taken for the whole, as it was written. Raises ValueError as `fields` does, and for
    a payload that is meant as JSON and cannot be read.
    """
    texts_of: dict[str, list[str]] = {}
    for name, text in fields(body):
        texts_of.setdefault(name, []).append(text)
    payload = texts_of["payload"][0] if texts_of.keys() == {"payload"} and len(texts_of["payload"]) == 1 else None
    if payload is not None:
        try:
            return payload.encode(), numbers.loads(payload.encode())
        except ValueError:
            if _is_meant_as_json(payload):
                raise
    value = {name: _one_or_all(texts) for name, texts in texts_of.items()}
    return orjson.dumps(value), value


def _is_meant_as_json(text: str) -> bool:
    """A text that begins as an object or an array does, or that only a stricter reader refuses.

    Such are half a surrogate pair, NaN, and a byte order mark before all else.
    """
    text = text.lstrip(BLANK)
    if _BEGINS_AS_JSON.match(text):
        return True
    try:
        json.loads(text, parse_int=str)
    except ValueError:
        return False
    except RecursionError:
        pass
    return True


def _one_or_all(texts: Sequence[str]) -> object:
    return texts[0] if len(texts) == 1 else list(texts)


def _decoded(text: bytes) -> str:
    return _ESCAPED.sub(lambda match: bytes((int(match[1], 16),)), text.replace(b"+", b" ")).decode("utf-8")
