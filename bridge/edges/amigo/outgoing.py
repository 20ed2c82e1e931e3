"""A call as HTTP will carry it, looked at before anything is sent: what cannot be sent harms its own event alone.

User ids, ids of conversations and texts come from events, templates and the API's own answers. What an HTTP library
raises for them names no cause, and leaves open whether the request was made.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

import orjson
from yarl import URL

from bridge.core.errors import Unsendable

Params = Mapping[str, str | Sequence[str]]
"""Query parameters; a list is sent as the same key several times (docs/api-contract.md, 1)."""
PART = re.compile(r"[A-Za-z0-9_~-][A-Za-z0-9_.~-]{0,199}")
VALUE = re.compile(r"[\t\x20-\x7e]*")
MAX_REMEMBERED = 1_024


def part(id_: str) -> str:
    """The id as a part of a path. Raises Unsendable: one that changes the path would make another call of it."""
    if PART.fullmatch(id_) is None:
        raise Unsendable("an id that goes into the address is none: no request is made")
    return id_


def address(operation: str, base_url: str, path: str, params: Params | None) -> URL:
    """The URL of a call. Raises Unsendable."""
    try:
        return _url(base_url.rstrip("/") + path, tuple(_pairs(params)))
    except (ValueError, TypeError) as error:
        raise Unsendable(f"{operation}: the address cannot be written ({type(error).__name__})") from None


def check_headers(operation: str, headers: Mapping[str, str] | None) -> None:
    """Raise Unsendable for a value that no header can carry."""
    for name, value in (headers or {}).items():
        if VALUE.fullmatch(value) is None:
            raise Unsendable(f"{operation}: the value of {name} cannot be sent in a header")


def json_body(operation: str, content: object) -> bytes:
    """The body of a call. Raises Unsendable: half a surrogate pair, say, is no character."""
    try:
        return orjson.dumps(content)
    except (TypeError, ValueError) as error:
        raise Unsendable(f"{operation}: the body cannot be written as JSON: {error}") from None


@lru_cache(maxsize=MAX_REMEMBERED)
def _url(address_: str, pairs: tuple[tuple[str, str], ...]) -> URL:
    """The URL with its query. Conversations are started at one address, most of them with the same parameters."""
    return URL(address_).extend_query(pairs)


def _pairs(params: Params | None) -> list[tuple[str, str]]:
    pairs = []
    for name, values in (params or {}).items():
        for value in [values] if isinstance(values, str) else values:
            value.encode()  # yarl leaves out what is no character
            pairs.append((name, value))
    return pairs
