"""The row that an operation's path names, and the operation that deletes it."""

from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

from aiohttp import web

from bridge.sandbox.http.call import Call
from bridge.sandbox.http.query import Query
from bridge.sandbox.http.refusal import Refusal


class _Row(Protocol):
    @property
    def id(self) -> str: ...


R = TypeVar("R")
N = TypeVar("N", bound=_Row)


def named(call: Call, name: str, rows: Iterable[N], absent: str) -> N:
    """The row with the id that stands in the path under this name; 404 where there is none."""
    wanted = call.request.match_info[name]
    row = next((row for row in rows if row.id == wanted), None)
    if row is None:
        raise Refusal(404, absent)
    return row


def delete(call: Call, find: Callable[[Call], R], permission: str, drop: Callable[[R], None]) -> web.Response:
    """204 once the row is gone: looked for first, then the permission, as the API does."""
    Query(call.request).settle()
    row = find(call)
    call.require(permission)
    drop(row)
    return web.Response(status=204)
