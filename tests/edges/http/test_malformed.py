"""What is no HTTP, what has no address, and bugs: a problem document each, told once, and nothing of aiohttp's own."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from bridge.edges.http.server import HealthServer
from tests.support.hooks import GITHUB, FakeConfirmedPublisher, Hooks

HEAD = b"POST /webhooks/git HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
LONG = b"a" * 20_000
MALFORMED = {
    "no request line": b"POST nonsense\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01",
    "another version": b"GET / HTTP/9.9\r\n\r\n",
    "a long path": b"POST /" + LONG + b" HTTP/1.1\r\n\r\n",
    "a long header": HEAD + b"X: " + LONG + b"\r\n\r\n",
    "a long trailer": HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX: " + LONG + b"\r\n\r\n",
    "many headers": HEAD + b"".join(b"X-%d: 1\r\n" % number for number in range(1_000)) + b"\r\n",
    "a null": HEAD + b"X: a\0b\r\n\r\n",
    "no chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nxx\r\n0\r\n\r\n",
    "another encoding": HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a negative length": HEAD + b"Content-Length: -5\r\n\r\nhello",
    "two lengths": HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello1",
    "length and chunks": HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
}


@pytest.fixture
async def hooks() -> AsyncIterator[Hooks]:
    async with Hooks(FakeConfirmedPublisher(), GITHUB) as made:
        yield made


def problem_in(answer: bytes) -> dict[str, Any]:
    """The document of an answer, which must be one."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"\r\nContent-Type: application/problem+json\r\n" in head + b"\r\n"
    assert b"aiohttp" not in head
    found: dict[str, Any] = json.loads(body)
    assert found.keys() == {"type", "title", "status", "detail"}
    assert head.split(b" ")[1] == b"%d" % found["status"]
    return found


@pytest.mark.parametrize("sent", MALFORMED.values(), ids=MALFORMED)
async def test_what_is_no_http_is_a_problem_and_one_line(
    hooks: Hooks, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    found = problem_in(await hooks.raw(sent))
    assert (found["status"], found["title"]) == (400, "Bad Request")
    assert found["detail"] in ("A line of the request is too long.", "The request is not well-formed HTTP/1.1.")
    (line,) = hooks.log.of("webhook.refused")
    assert (line["source"], line["reason"], line["client"]) == ("", "malformed", "127.0.0.1")
    assert hooks.counters.webhooks["", "malformed"] == 1
    assert not caplog.records


async def test_a_chunk_that_is_malformed_only_later_is_a_body_that_does_not_come() -> None:
    """aiohttp's parser does not tell a handler that reads already, so that the limit of time ends it."""
    start = HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"
    async with Hooks(FakeConfirmedPublisher(), GITHUB, body_s=3.0) as hooks:
        answer = await hooks.in_turn(start, lambda: hooks.held.size == 2, b"zz\r\nxx\r\n0\r\n\r\n")
    assert problem_in(answer)["status"] == 408
    assert hooks.held.size == 0


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (b"POST /webhooks/ HTTP/1.1", 404),
        (b"POST /webhooks/git/more HTTP/1.1", 404),
        (b"POST /webhooks/%FF HTTP/1.1", 404),
        (b"GET /favicon.ico HTTP/1.1", 404),
        (b"DELETE /livez HTTP/1.1", 405),
        (b"POST /webhooks/git HTTP/1.1\r\nContent-Type: application/json\r\nExpect: miracles", 417),
    ],
)
async def test_what_is_not_offered_is_refused_with_problems_too(hooks: Hooks, asked: bytes, status: int) -> None:
    answer = await hooks.raw(asked + b"\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    assert problem_in(answer)["status"] == status
    assert (b"\r\nAllow: GET,HEAD\r\n" in answer) is (status == 405)


async def test_a_bug_is_a_problem_and_stands_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(_: str, __: web.BaseRequest) -> web.Response:
        raise LookupError("canary-inside")

    hooks = Hooks(FakeConfirmedPublisher(), GITHUB)
    hooks.server = HealthServer("127.0.0.1", 0, components=list, metrics=bytes, version="1", webhook=broken)
    async with hooks:
        answer = await hooks.raw(b"GET /webhooks/git HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert problem_in(answer) == {
        "type": "about:blank",
        "title": "Internal Server Error",
        "status": 500,
        "detail": "Internal Server Error",
    }
    (record,) = caplog.records
    assert record.exc_info is not None
    assert record.exc_info[0] is LookupError
