"""A sender that ends its own direction once it has asked: it is answered, and then the connection is closed."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from bridge.edges.http.connection_limit import ConnectionBounds
from tests.support.hooks import GITHUB, FakeConfirmedPublisher, Hooks, signed
from tests.support.waiting import until

BODY = b'{"a":1}'
BOUND_S = 20.0


def asked(id_: str, *more: str, body: bytes = BODY) -> bytes:
    headers = {"Host": "x", "Content-Length": str(len(body)), **signed(GITHUB, body, id_)}
    lines = ("POST /webhooks/git HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), *more, "", "")
    return "\r\n".join(lines).encode() + body


def chunked(id_: str, *chunks: bytes) -> bytes:
    head = asked(id_, "Transfer-Encoding: chunked", body=b"".join(chunks)).partition(b"\r\n\r\n")[0]
    head = b"\r\n".join(line for line in head.split(b"\r\n") if not line.startswith(b"Content-Length"))
    return head + b"\r\n\r\n" + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)


def statuses(answer: bytes) -> list[bytes]:
    return re.findall(rb"HTTP/1\.[01] ([0-9]{3}) ", answer)


@pytest.fixture
def confirmed_publisher() -> FakeConfirmedPublisher:
    return FakeConfirmedPublisher()


@pytest.fixture
async def hooks(confirmed_publisher: FakeConfirmedPublisher) -> AsyncIterator[Hooks]:
    async with Hooks(confirmed_publisher, GITHUB, bounds=ConnectionBounds(sweep_s=0.1)) as made:
        yield made


async def ended(hooks: Hooks, *pieces: bytes, arrived: Sequence[Callable[[], object]] = ()) -> bytes:
    """What is answered until the connection is closed, where the sender ends its direction after the last piece.

    Before each further piece (and the end) the next of `arrived` is waited for.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", hooks.server.port)
    waits = list(arrived)
    for piece in pieces:
        writer.write(piece)
        if waits:
            await until(waits.pop(0), "the piece has arrived")
    writer.write_eof()
    async with asyncio.timeout(BOUND_S):
        answer = await reader.read()
    writer.close()
    return answer


async def test_it_is_answered_and_then_the_connection_is_closed(
    hooks: Hooks, confirmed_publisher: FakeConfirmedPublisher
) -> None:
    answer = await ended(hooks, asked("h-1"))
    assert statuses(answer) == [b"202"]
    assert answer.endswith(b'{"id":"git:h-1"}')
    assert [message.message_id for message in confirmed_publisher.messages] == ["git:h-1"]


async def test_the_end_may_come_with_the_last_byte_of_the_body_or_long_after(
    hooks: Hooks, confirmed_publisher: FakeConfirmedPublisher
) -> None:
    request = asked("h-2")
    assert statuses(await ended(hooks, request[:-3], request[-3:], arrived=[lambda: hooks.held.size])) == [b"202"]
    reader, writer = await asyncio.open_connection("127.0.0.1", hooks.server.port)
    confirmed_publisher.gate.clear()
    writer.write(asked("h-3"))
    await until(lambda: hooks.held.size == len(BODY), "it waits for its confirm")
    writer.write_eof()
    await asyncio.sleep(0)
    confirmed_publisher.gate.set()
    async with asyncio.timeout(BOUND_S):
        assert statuses(await reader.read()) == [b"202"]
    writer.close()


async def test_after_other_requests_on_the_same_connection(
    hooks: Hooks, confirmed_publisher: FakeConfirmedPublisher
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", hooks.server.port)
    for number in range(3):
        writer.write(asked(f"k-{number}"))
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 202")
        await reader.readexactly(len('{"id":"git:k-0"}'))
    writer.write(asked("k-3"))
    writer.write_eof()
    async with asyncio.timeout(BOUND_S):
        answer = await reader.read()  # to the end: whether the answer could say so depends on when the FIN came
    writer.close()
    assert statuses(answer) == [b"202"]
    assert len(confirmed_publisher.messages) == 4


async def test_all_that_was_asked_in_one_go_is_answered(
    hooks: Hooks, confirmed_publisher: FakeConfirmedPublisher
) -> None:
    answer = await ended(hooks, b"".join(asked(f"p-{number}") for number in range(20)))
    assert statuses(answer) == [b"202"] * 20
    assert len(confirmed_publisher.messages) == 20
    confirmed_publisher.gate.clear()
    going = asyncio.create_task(ended(hooks, asked("p-20") + asked("p-21") + asked("p-22", "Connection: close")))
    await until(lambda: hooks.held.size, "the first waits for its confirm")
    confirmed_publisher.gate.set()
    assert statuses(await going) == [b"202"] * 3


async def test_in_chunks_and_after_a_word_that_was_waited_for(hooks: Hooks) -> None:
    assert statuses(await ended(hooks, chunked("c-1", BODY[:3], BODY[3:]) + b"0\r\n\r\n")) == [b"202"]
    reader, writer = await asyncio.open_connection("127.0.0.1", hooks.server.port)
    writer.write(asked("c-2", "Expect: 100-continue").removesuffix(BODY))
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(BODY)
    writer.write_eof()
    async with asyncio.timeout(BOUND_S):
        assert statuses(await reader.read()) == [b"202"]
    writer.close()


async def test_a_large_body_is_read_to_its_end_first(hooks: Hooks) -> None:
    body = b'"' + b"x" * 900_000 + b'"'
    assert statuses(await ended(hooks, asked("l-1", body=body))) == [b"202"]


@pytest.mark.parametrize(
    "broken", [asked("b-1")[:-3], chunked("b-1", BODY), asked("b-1", "Expect: 100-continue").removesuffix(BODY)]
)
async def test_a_body_that_ends_too_early_is_400_at_once(
    hooks: Hooks, broken: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    for earlier in (b"", asked("b-0")):
        answer = await ended(hooks, earlier + broken)
        assert statuses(answer)[-1] == b"400"
        assert b"application/problem+json" in answer
    assert hooks.counters.webhooks["git", "broken-off"] == 2
    assert hooks.held.size == 0
    assert not caplog.records


async def test_what_is_refused_is_said_too(hooks: Hooks, caplog: pytest.LogCaptureFixture) -> None:
    for sent, status in (
        (b"POST nonsense\r\n\r\n", b"400"),
        (b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", b"200"),
        (b"GET /webhooks/git HTTP/1.1\r\nHost: x\r\n\r\n", b"405"),
        (asked("r-1").replace(b"sha256=", b"sha256=0"), b"401"),
        (asked("r-2", body=b'"' + b"x" * 3_000_000 + b'"'), b"413"),
        (b"POST /webhooks/git HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\nx", b"415"),
    ):
        assert statuses(await ended(hooks, sent)) == [status]
    assert not caplog.records


@pytest.mark.parametrize("sent", [b"", b"POST /webhooks/git HTTP/1.1\r\nHost: x\r\nX-Cut: "])
async def test_who_has_asked_nothing_is_only_closed(hooks: Hooks, sent: bytes) -> None:
    assert await ended(hooks, sent) == b""


async def test_an_idle_connection_is_closed_at_once_when_its_sender_ends(hooks: Hooks) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", hooks.server.port)
    writer.write(asked("i-1"))
    await reader.readuntil(b'{"id":"git:i-1"}')
    writer.write_eof()
    async with asyncio.timeout(BOUND_S):
        assert await reader.read() == b""
    writer.close()


async def test_who_is_gone_altogether_breaks_nothing(
    hooks: Hooks, confirmed_publisher: FakeConfirmedPublisher, caplog: pytest.LogCaptureFixture
) -> None:
    confirmed_publisher.gate.clear()
    for number, how in enumerate(("close", "abort", "linger")):
        _, writer = await asyncio.open_connection("127.0.0.1", hooks.server.port)
        writer.write(asked(f"g-{number}"))
        await until(lambda: hooks.held.size == (number + 1) * len(BODY), "it waits for its confirm")  # noqa: B023
        if how == "linger":
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        if how == "abort":
            writer.transport.abort()
        else:
            writer.close()
            await writer.wait_closed()
    confirmed_publisher.gate.set()
    await until(lambda: len(confirmed_publisher.messages) == 3, "all are on the queue")
    await until(lambda: hooks.held.size == 0, "all have been let go")
    assert hooks.server._listener._runner is not None
    server = hooks.server._listener._runner.server
    assert server is not None
    await until(lambda: not server.connections, "no connection is left")
    assert (await hooks.good(id_="g-9")).status == 202
    assert not caplog.records
