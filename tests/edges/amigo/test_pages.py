"""Lists, page by page: every row once, in flat memory, whatever the offsets look like."""

import gc
import weakref
from typing import Any

import pytest

from bridge.core.errors import Lost
from bridge.edges.amigo.calls import MessageFilter, Slice, messages_call
from bridge.edges.amigo.client import Call
from bridge.edges.amigo.pages import MAX_RECENT, pages, read_page

CALL = messages_call("user-1", "6a0000000000000000000001", MessageFilter(), Slice(2))


class Row(dict[str, Any]):
    """A row that can be watched: a weak set asks for a hash, and a dict has none."""

    __hash__ = object.__hash__  # type: ignore[assignment]


class Server:
    """Answers with the pages that it is given, whatever is asked for; `asked` are the offsets."""

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    async def send(self, call: Call) -> Any:
        assert call.params is not None
        self.asked.append(str(call.params["continuation_token"]))
        return self._answers.pop(0)


def answer(ids: str, following: object = None, *, more: bool = True) -> dict[str, Any]:
    return {"messages": [{"id": one} for one in ids], "has_more": more, "continuation_token": following}


async def ids(server: Server) -> str:
    return "".join([row["id"] async for page in pages(server.send, CALL, "messages") for row in page.rows])


@pytest.mark.parametrize("following", [2, "2", None])
async def test_pages_go_on_at_the_offset_that_the_api_names_or_at_the_next_row(following: object) -> None:
    server = Server(answer("ab", following), answer("c", more=False))
    assert await ids(server) == "abc"
    assert server.asked == ["0", "2"]


async def test_a_row_that_moved_to_the_next_page_is_told_once() -> None:
    assert await ids(Server(answer("ab", 2), answer("bc", 4), answer("cd", more=False))) == "abcd"


async def test_an_empty_page_is_not_the_end() -> None:
    assert await ids(Server(answer("", 2), answer("a", more=False))) == "a"


async def test_rows_without_an_id_are_all_told_and_users_have_another() -> None:
    first = {"messages": [{}, {}, {"user_id": "u"}], "has_more": True, "continuation_token": 3}
    last = {"messages": [{"user_id": "u"}, {"user_id": "v"}]}
    found = [row async for page in pages(Server(first, last).send, CALL, "messages") for row in page.rows]
    assert found == [{}, {}, {"user_id": "u"}, {"user_id": "v"}]


@pytest.mark.parametrize("following", [0, -1, True, "next", [], 1.5])
async def test_an_offset_that_leads_nowhere_ends_the_list_with_an_error_after_its_rows(following: object) -> None:
    listing = pages(Server(answer("ab", following)).send, CALL, "messages")
    assert len((await anext(listing)).rows) == 2
    with pytest.raises(Lost, match="nowhere"):
        await anext(listing)
    alone = read_page(CALL, answer("ab", following), "messages")
    assert (len(alone.rows), alone.more, alone.following) == (2, True, None)


@pytest.mark.parametrize("content", [None, [], {}, {"messages": None}, {"messages": {}}, "messages"])
async def test_an_answer_that_is_no_page_is_an_error(content: object) -> None:
    with pytest.raises(Lost, match="no messages"):
        await ids(Server(content))


async def test_pages_are_let_go_and_ids_forgotten() -> None:
    living: weakref.WeakSet[Row] = weakref.WeakSet()
    size = 500
    count = 4 * MAX_RECENT // size

    async def send(call: Call) -> Any:
        assert call.params is not None
        gc.collect()
        assert len(living) <= 2 * size, "rows of earlier pages are kept"
        offset = int(str(call.params["continuation_token"]))
        rows = [Row(id=str(offset + number)) for number in range(size)]
        living.update(rows)
        return {"messages": rows, "has_more": offset + size < count * size, "continuation_token": offset + size}

    total = 0
    async for page in pages(send, CALL, "messages"):
        total += len(page.rows)
    assert total == count * size
