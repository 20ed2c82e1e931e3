"""Bodies of the type `application/x-www-form-urlencoded` (url.spec.whatwg.org, section 5.1)."""

import re
from collections.abc import Sequence
from typing import Any

import orjson

CONTENT_TYPE = "application/x-www-form-urlencoded"
MOST_FIELDS = 1000
_ESCAPED = re.compile(rb"%([0-9A-Fa-f]{2})")


def fields(body: bytes) -> list[tuple[str, str]]:
    """Names and values in their order. Raises ValueError for too many, or for bytes that are not UTF-8."""
    pairs = [pair for pair in body.split(b"&", MOST_FIELDS) if pair]
    if len(pairs) > MOST_FIELDS:
        raise ValueError(f"more than {MOST_FIELDS} fields")
    return [(_decoded(name), _decoded(value)) for name, _, value in (pair.partition(b"=") for pair in pairs)]


def value(body: bytes) -> Any:
    """The form as a JSON value: an object of its fields; a lone `payload` that is JSON is taken for the whole."""
    found: dict[str, list[str]] = {}
    for name, text in fields(body):
        found.setdefault(name, []).append(text)
    if found.keys() == {"payload"} and len(found["payload"]) == 1:
        try:
            return orjson.loads(found["payload"][0])
        except orjson.JSONDecodeError:
            pass
    return {name: _one_or_all(texts) for name, texts in found.items()}


def _one_or_all(texts: Sequence[str]) -> Any:
    return texts[0] if len(texts) == 1 else list(texts)


def _decoded(text: bytes) -> str:
    return _ESCAPED.sub(lambda found: bytes((int(found[1], 16),)), text.replace(b"+", b" ")).decode("utf-8")
