"""The webhook door, asked by real clients: what is taken, what is refused and how, and what limits hold."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace

import aiohttp
import pytest

from bridge.core.webhook.signature import Source
from bridge.edges.http.connection_limit import ConnectionBounds
from bridge.flow.ports.webhook import NotConfirmed
from tests.support.hooks import GITHUB, SECRET, FakeConfirmedPublisher, Hooks, signed
from tests.support.waiting import until

SLACK = Source("chat", "slack", rate=1e9)
AMIGO = Source("platform", "amigo", rate=1e9)
SLOW = Source("slow", "github", rate=0.5)
SMALL = Source("small", "github", max_bytes=1000, rate=1e9)
BODY = b'{"a":1}'


@pytest.fixture
def confirmed_publisher() -> FakeConfirmedPublisher:
    return FakeConfirmedPublisher()


@pytest.fixture
async def hooks(confirmed_publisher: FakeConfirmedPublisher) -> AsyncIterator[Hooks]:
    async with Hooks(confirmed_publisher, GITHUB, SLACK, AMIGO, SLOW, SMALL) as made:
        yield made


async def test_a_good_webhook_is_202_with_the_event_id(
    hooks: Hooks, confirmed_publisher: FakeConfirmedPublisher
) -> None:
    found = await hooks.good(id_="d-1")
    assert (found.status, found.json, found.headers["Content-Type"]) == (202, {"id": "git:d-1"}, "application/json")
    (message,) = confirmed_publisher.messages
    assert (message.exchange, message.routing_key, message.message_id) == ("bridge.events", "webhook.git", "git:d-1")
    assert (message.body, message.mandatory, message.headers["x-bridge-source"]) == (BODY, True, "git")
    assert message.headers["x-github-event"] == "push"
    assert not any("signature" in name for name in message.headers)


async def test_a_repeat_is_202_with_the_same_id_and_no_second_event(
    hooks: Hooks, confirmed_publisher: FakeConfirmedPublisher
) -> None:
    for _ in range(3):
        assert (await hooks.good(id_="d-2")).json == {"id": "git:d-2"}
    assert len(confirmed_publisher.messages) == 1
    assert hooks.counters.webhooks["git", "repeat"] == 2


async def test_repeats_at_the_same_time_are_one_event(
    hooks: Hooks, confirmed_publisher: FakeConfirmedPublisher
) -> None:
    confirmed_publisher.gate.clear()
    sending = [asyncio.create_task(hooks.good(id_="d-3")) for _ in range(20)]
    await until(lambda: hooks.held.size == 20 * len(BODY), "all have arrived")
    confirmed_publisher.gate.set()
    assert {(await each).status for each in sending} == {202}
    assert len(confirmed_publisher.messages) == 1
    assert hooks.held.size == 0


async def test_without_an_id_the_bodys_digest_is_it(hooks: Hooks, confirmed_publisher: FakeConfirmedPublisher) -> None:
    body = b'{"type":"event_callback","event":{"text":"hi"}}'
    for _ in range(2):
        assert (await hooks.send("chat", body, signed(SLACK, body))).status == 200
    (message,) = confirmed_publisher.messages
    assert message.message_id == f"chat:{hashlib.sha256(body).hexdigest()}"


async def test_a_captured_request_under_another_unsigned_id_is_a_repeat(
    hooks: Hooks, confirmed_publisher: FakeConfirmedPublisher
) -> None:
    body = b'{"type":"t"}'
    headers = signed(AMIGO, body, "key-1")
    first = await hooks.send("platform", body, headers)
    second = await hooks.send("platform", body, {**headers, "x-amigo-idempotent-key": "key-2"})
    assert first.json == second.json == {"id": "platform:key-1"}


async def test_a_captured_request_is_a_repeat_where_another_id_is_configured_than_the_signed_one(
    confirmed_publisher: FakeConfirmedPublisher,
) -> None:
    stripe = Source("pay", "stripe", id_header="X-Request-Id", rate=1e9)
    body = b'{"id":"evt_1"}'
    headers = signed(stripe, body)
    async with Hooks(confirmed_publisher, stripe) as hooks:
        for own in ("a", "b"):
            assert (await hooks.send("pay", body, {**headers, "X-Request-Id": own})).json == {"id": "pay:a"}
    assert len(confirmed_publisher.messages) == 1


async def test_what_is_refused_is_not_counted_as_taken(
    hooks: Hooks, confirmed_publisher: FakeConfirmedPublisher
) -> None:
    confirmed_publisher.trouble = NotConfirmed("no connection")
    await hooks.good(id_="d-6")
    assert dict(hooks.counters.webhooks) == {("git", "not-taken"): 1}


async def test_it_is_remembered_only_after_the_confirm(
    hooks: Hooks, confirmed_publisher: FakeConfirmedPublisher
) -> None:
    confirmed_publisher.trouble = NotConfirmed("no connection")
    refused = await hooks.good(id_="d-4")
    assert (refused.status, refused.headers["Retry-After"]) == (503, "5")
    confirmed_publisher.trouble = None
    assert (await hooks.good(id_="d-4")).status == 202
    assert len(confirmed_publisher.messages) == 1


async def test_a_source_whose_events_reach_no_queue_says_so_until_one_does(
    hooks: Hooks, confirmed_publisher: FakeConfirmedPublisher
) -> None:
    confirmed_publisher.trouble = NotConfirmed("no queue takes it", unrouted=True)
    await hooks.good(id_="d-5")
    assert hooks.webhook_ingest.troubles()["git"] == "no queue takes it"
    confirmed_publisher.trouble = None
    await hooks.good(id_="d-5")
    assert set(hooks.webhook_ingest.troubles().values()) == {None}


# --- refusals


async def test_every_refusal_is_a_problem_document(hooks: Hooks) -> None:
    good = signed(GITHUB, BODY)
    asked = {
        404: hooks.send("nobody", BODY, good),
        405: hooks.send("git", b"", {}, "GET"),
        401: hooks.send("git", BODY, {**good, "X-Hub-Signature-256": "sha256=" + "0" * 64}),
        413: hooks.send("small", b"x" * 1001, good),
        415: hooks.send("git", BODY, {**good, "Content-Type": "text/plain"}),
        400: hooks.send("git", b"{", signed(GITHUB, b"{")),
        422: hooks.send("git", b'{"message": " "}', signed(GITHUB, b'{"message": " "}')),
    }
    for status, asking in asked.items():
        found = await asking
        assert found.headers["Content-Type"] == "application/problem+json"
        assert (found.status, found.json["status"], found.json["type"]) == (status, status, "about:blank")
        assert found.json["title"]
        assert found.json["detail"]
    assert hooks.log.of("webhook.refused")
    assert SECRET not in str(hooks.log.lines)


async def test_the_problem_is_the_same_whatever_is_wrong_with_the_signature(hooks: Hooks) -> None:
    good = signed(GITHUB, BODY)
    signature = good["X-Hub-Signature-256"]
    bad = [
        {**good, "X-Hub-Signature-256": signature[:-1]},
        {**good, "X-Hub-Signature-256": signed(GITHUB, BODY, secret="other")["X-Hub-Signature-256"]},
        {**good, "X-Hub-Signature-256": ""},
        {"Content-Type": "application/json"},
    ]
    found = [await hooks.send("git", BODY, headers) for headers in bad]
    assert {each.body for each in found} == {found[0].body}
    assert {each.status for each in found} == {401}
    assert {outcome for _, outcome in hooks.counters.webhooks} == {"mismatch", "missing"}


async def test_a_refused_method_names_the_right_one(hooks: Hooks) -> None:
    for method in ("GET", "PUT", "DELETE", "PATCH", "OPTIONS"):
        found = await hooks.send("git", b"", {}, method)
        assert (found.status, found.headers["Allow"]) == (405, "POST")


async def test_an_encoding_that_changes_nothing_is_taken(hooks: Hooks) -> None:
    for number, encoding in enumerate(("utf-8", "UTF-8", "identity", "utf8")):
        headers = {**signed(GITHUB, BODY, f"e-{number}"), "Content-Encoding": encoding}
        assert (await hooks.send("git", BODY, headers)).status == 202


async def test_a_payload_with_half_a_surrogate_pair_is_400_as_json_is(
    hooks: Hooks, confirmed_publisher: FakeConfirmedPublisher
) -> None:
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    for body in (b"payload=%22%5Cud800%22", b"payload=%7B%22a%22%3A%22%5Cudc00%22%7D"):
        assert (await hooks.send("git", body, {**signed(GITHUB, body), **kind})).status == 400
    assert confirmed_publisher.messages == []


async def test_compressed_bodies_are_not_taken(hooks: Hooks) -> None:
    for encoding in ("gzip", "br", "deflate, gzip"):
        found = await hooks.send("git", BODY, {**signed(GITHUB, BODY), "Content-Encoding": encoding})
        assert found.status == 415


async def test_unverified_bodies_are_not_looked_into(hooks: Hooks) -> None:
    for body in (b"{", b"\xff", b"[" * 5000, b'{"message": " "}', b""):
        assert (await hooks.send("git", body, signed(GITHUB, b"another"))).status == 401


@pytest.mark.parametrize("body", [b"{", b"", b"\xff\xfe", b"[" * 100_000, b'{"a": NaN}', b'"\\ud800"'])
async def test_verified_nonsense_is_400_and_never_500(hooks: Hooks, body: bytes) -> None:
    assert (await hooks.send("git", body, signed(GITHUB, body))).status == 400


async def test_more_than_the_rate_is_429_and_strangers_do_not_use_it_up(hooks: Hooks) -> None:
    for _ in range(5):
        assert (await hooks.send("slow", BODY, signed(SLOW, b"another"))).status == 401
    assert (await hooks.good(SLOW, id_="r-1")).status == 202
    found = await hooks.good(SLOW, id_="r-2")
    assert (found.status, found.headers["Retry-After"]) == (429, "2")


async def test_the_log_is_not_filled_by_strangers(hooks: Hooks) -> None:
    for _ in range(40):
        await hooks.send("git", BODY, {"Content-Type": "application/json"})
    assert len(hooks.log.of("webhook.refused")) < 20
    assert hooks.counters.webhooks["git", "missing"] == 40


# --- handshakes


async def test_slacks_and_githubs_handshakes_are_answered_and_start_nothing(
    hooks: Hooks, confirmed_publisher: FakeConfirmedPublisher
) -> None:
    body = b'{"type":"url_verification","challenge":"3eZbrw1a"}'
    found = await hooks.send("chat", body, signed(SLACK, body))
    assert (found.status, found.json) == (200, {"challenge": "3eZbrw1a"})
    assert (await hooks.send("chat", body, signed(SLACK, b"other"))).status == 401
    ping = {**signed(GITHUB, BODY), "X-GitHub-Event": "ping"}
    assert (await hooks.send("git", BODY, ping)).status == 200
    assert confirmed_publisher.messages == []


async def test_forms_become_objects(hooks: Hooks, confirmed_publisher: FakeConfirmedPublisher) -> None:
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    for body, expected in (
        (b"command=%2Fdo&text=a+b&text=c", {"command": "/do", "text": ["a b", "c"]}),
        (b"payload=%7B%22type%22%3A%22x%22%7D", {"type": "x"}),
    ):
        assert (await hooks.send("chat", body, {**signed(SLACK, body), **kind})).status == 200
        assert json.loads(confirmed_publisher.messages[-1].body) == expected


# --- proxies


async def test_the_clients_address_is_believed_only_of_trusted_proxies(
    confirmed_publisher: FakeConfirmedPublisher,
) -> None:
    forwarded = {"X-Forwarded-For": "6.6.6.6, 203.0.113.7, 10.1.2.3"}
    for proxies, client in (
        ((), "127.0.0.1"),
        (("127.0.0.0/8",), "10.1.2.3"),
        (("127.0.0.1", "10.0.0.0/8"), "203.0.113.7"),
    ):
        async with Hooks(confirmed_publisher, GITHUB, proxies=proxies) as hooks:
            await hooks.send("git", BODY, forwarded)
            (line,) = hooks.log.of("webhook.refused")
            assert line["client"] == client


# --- hostile senders


def head(name: str, *lines: str) -> bytes:
    return "\r\n".join(
        (f"POST /webhooks/{name} HTTP/1.1", "Host: x", "Content-Type: application/json", *lines, "", "")
    ).encode()


async def test_a_large_body_is_refused_before_it_is_read(hooks: Hooks) -> None:
    answer = await hooks.raw(head("small", "Content-Length: 1000000000"))
    assert answer.startswith(b"HTTP/1.1 413")


async def test_endless_chunks_are_cut(hooks: Hooks) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", hooks.server.port)
    answer = asyncio.create_task(reader.readline())
    writer.write(head("small", "Transfer-Encoding: chunked"))
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    sent = 0
    while not answer.done():
        writer.write(chunk)
        sent += len(chunk)
        await writer.drain()
        await asyncio.sleep(0)
    assert (await answer).startswith(b"HTTP/1.1 413")
    assert sent < 2**26
    assert hooks.held.size == 0
    async with asyncio.timeout(60):
        with suppress(ConnectionError):
            await reader.read()  # it is closed, although more would come
    writer.close()


async def test_a_slow_body_is_408(confirmed_publisher: FakeConfirmedPublisher) -> None:
    async with Hooks(confirmed_publisher, GITHUB, body_s=0.2) as hooks:
        answer = await hooks.raw(head("git", "Content-Length: 100"), b"{")
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"Connection: close" in answer


async def test_a_body_that_breaks_off_leaves_nothing_behind(hooks: Hooks) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", hooks.server.port)
    writer.write(head("git", "Content-Length: 100") + b"{")
    await until(lambda: hooks.held.size == 1, "it has been read")
    writer.transport.abort()
    await until(lambda: hooks.held.size == 0, "it has been let go")
    await until(lambda: hooks.counters.webhooks["git", "broken-off"] == 1, "it has been counted")


async def test_a_malformed_chunk_is_400(hooks: Hooks) -> None:
    answer = await hooks.raw(head("git", "Transfer-Encoding: chunked"), b"zz\r\nxx\r\n0\r\n\r\n")
    assert b" 400 Bad Request\r\n" in answer


async def test_what_all_bodies_hold_together_is_bounded(confirmed_publisher: FakeConfirmedPublisher) -> None:
    async with Hooks(confirmed_publisher, GITHUB, max_held_bytes=1000) as hooks:
        found = await hooks.send("git", b"x" * 1001, signed(GITHUB, b""))
    assert (found.status, found.json["title"]) == (503, "Service Unavailable")
    assert hooks.held.size == 0


async def test_a_sender_that_waits_for_a_word_before_it_sends_the_body_gets_it(hooks: Hooks) -> None:
    """As curl does with a body of more than a mebibyte (RFC 9110, 10.1.1)."""
    body = b'{"a":1}'
    headers = {**signed(GITHUB, body), "Host": "x", "Content-Length": str(len(body)), "Expect": "100-Continue"}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    reader, writer = await asyncio.open_connection("127.0.0.1", hooks.server.port)
    writer.write(f"POST /webhooks/git HTTP/1.1\r\n{head}\r\n".encode())
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(body)
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 202 Accepted\r\n")
    assert await reader.readexactly(14) == b'{"id":"git:1"}'
    writer.write(f"POST /webhooks/nobody HTTP/1.1\r\n{head}\r\n".encode())
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 404 Not Found\r\n"), "without the body"
    writer.close()
    large = head.replace(f"Content-Length: {len(body)}", f"Content-Length: {GITHUB.max_bytes + 1}")
    answer = await hooks.raw(f"POST /webhooks/git HTTP/1.1\r\n{large}\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 413 "), "no word before the refusal"


async def test_how_many_wait_for_their_confirms_is_bounded(confirmed_publisher: FakeConfirmedPublisher) -> None:
    confirmed_publisher.gate.clear()
    async with Hooks(confirmed_publisher, GITHUB, max_open=3) as hooks:
        waiting = [asyncio.create_task(hooks.good(id_=f"o-{number}")) for number in range(3)]
        await until(lambda: hooks.held.size == 3 * len(BODY), "three wait")
        found = await hooks.good(id_="o-4")
        assert (found.status, found.headers["Retry-After"]) == (503, "1")
        confirmed_publisher.gate.set()
        assert {(await each).status for each in waiting} == {202}
        assert (await hooks.good(id_="o-4")).status == 202
    assert len(confirmed_publisher.messages) == 4


async def test_connections_that_never_send_are_closed(confirmed_publisher: FakeConfirmedPublisher) -> None:
    async with Hooks(confirmed_publisher, GITHUB, bounds=ConnectionBounds(silent_s=0.1)) as hooks:
        for piece in (b"", b"POST /webhooks/git HTTP/1.1\r\nHost: x\r\nX-Slow: "):
            assert await hooks.raw(piece) == b""


async def test_of_too_many_connections_the_one_goes_that_was_heard_of_least_lately(
    confirmed_publisher: FakeConfirmedPublisher,
) -> None:
    hooks = Hooks(confirmed_publisher, GITHUB, bounds=ConnectionBounds(most=10))
    async with hooks, aiohttp.ClientSession() as busy:

        async def ask() -> int:
            async with busy.get(f"http://127.0.0.1:{hooks.server.port}/livez") as response:
                return response.status

        assert await ask() == 200
        idle = []
        for _ in range(50):
            idle.append(await asyncio.open_connection("127.0.0.1", hooks.server.port))
            assert await ask() == 200
        assert busy.connector is not None
        closed = [reader for reader, _ in idle[:40] if await _ends(reader)]
        assert len(closed) == 40
        for _, writer in idle:
            writer.close()


async def _ends(reader: asyncio.StreamReader) -> bool:
    return await asyncio.wait_for(reader.read(), 60) == b""


async def test_the_source_decides_how_large_a_body_may_be(confirmed_publisher: FakeConfirmedPublisher) -> None:
    large = replace(GITHUB, max_bytes=3_000_000)
    body = b'{"message":"' + b"x" * 1_048_576 + b'"}'
    async with Hooks(confirmed_publisher, large) as hooks:
        sent = [(await hooks.good(large, one)).status for one in (body, b'"' + b"x" * 1_000_000 + b'"')]
        assert sent == [422, 202]  # the inbound takes less
