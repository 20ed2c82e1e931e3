"""Lists of the API, page by page, in flat memory (docs/api-contract.md, 1, 7.2)."""

from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from bridge.core.errors import Lost
from bridge.edges.amigo.client import Call

Row = dict[str, Any]
MAX_RECENT = 5000
"""Rows that a repeated one is looked for among: more than can move to a later page while a page is asked for."""


@dataclass(frozen=True, slots=True)
class Page:
    """Rows of a list. `more` follow, at the offset `following`; None where the API's own word leads nowhere."""

    rows: list[Row]
    more: bool = False
    following: int | None = None


def read_page(call: Call, content: object, name: str) -> Page:
    """The page in decoded JSON; its rows stand under `name`. Raises Lost for what is no page."""
    listed = content.get(name) if isinstance(content, dict) else None
    if not isinstance(content, dict) or not isinstance(listed, list):
        raise Lost(f"{call.operation}: the answer has no {name}")
    rows = [row for row in listed if isinstance(row, dict)]
    if not content.get("has_more"):
        return Page(rows)
    offset = int(str((call.params or {}).get("continuation_token", 0)))
    return Page(rows, more=True, following=_following(content.get("continuation_token"), offset, len(listed)))


async def pages(send: Callable[[Call], Awaitable[object]], call: Call, name: str) -> AsyncIterator[Page]:
    """Every page from the one that is asked for on, and each row once, though it moved to the next page meanwhile.

    A page is let go before the next one is asked for. Raises Lost for what is no page, or leads nowhere.
    """
    recent = _Recent()
    while True:
        page = read_page(call, await send(call), name)
        yield Page(recent.new(page.rows), page.more, page.following)
        if not page.more:
            return
        if page.following is None:
            raise Lost(f"{call.operation}: a continuation token that leads nowhere")
        call = replace(call, params={**(call.params or {}), "continuation_token": str(page.following)})
        del page


class _Recent:
    """The ids of the last rows."""

    def __init__(self) -> None:
        self._ids: OrderedDict[str, None] = OrderedDict()

    def new(self, rows: list[Row]) -> list[Row]:
        """Those that have not been seen; a row without an id never has."""
        fresh = []
        for row in rows:
            row_id = row.get("id", row.get("user_id"))
            if row_id is None:
                fresh.append(row)
            elif str(row_id) not in self._ids:
                self._ids[str(row_id)] = None
                fresh.append(row)
        while len(self._ids) > MAX_RECENT:
            self._ids.popitem(last=False)
        return fresh


def _following(token: object, offset: int, read: int) -> int | None:
    """The offset of the next page; a token is an offset, a number or text (docs/api-contract.md, 7.2)."""
    following = offset + read if token is None else token
    if isinstance(following, str) and following.isdecimal():
        following = int(following)
    if isinstance(following, bool) or not isinstance(following, int) or following <= offset:
        return None
    return following
