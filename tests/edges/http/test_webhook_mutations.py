"""Requests that are almost good, sent over HTTP: none is taken, and none makes the server fail.

tests/core/webhook/test_signature_mutations.py has a hundred thousand of them without HTTP.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace

import pytest
from multidict import CIMultiDict

from bridge.core.webhook.signature import HttpRequest
from bridge.edges.http.connection_limit import ConnectionBounds
from tests.support.hooks import GITHUB, FakeConfirmedPublisher, Hooks, signed
from tests.support.mutations import Dice, mutated
from tests.support.webhooks import NOW_S, Sample, samples

SAMPLES = samples()
EACH = 200
AT_ONCE = 20
RAW = 1_000
BODY = b'{"who":"somebody","what":"something"}'


async def status_of(hooks: Hooks, sample: Sample, request: HttpRequest) -> int:
    """The request as a sender would send it."""
    name = sample.source.name + (f"?{request.query}" if request.query else "")
    headers = CIMultiDict((name, value) for name, values in request.headers.items() for value in values)
    return (await hooks.send(name, request.body, headers)).status


@pytest.mark.parametrize("name", SAMPLES)
async def test_no_mutated_request_is_taken_over_http(name: str) -> None:
    sample = SAMPLES[name]
    source = replace(sample.source, rate=1e9)
    confirmed_publisher = FakeConfirmedPublisher()
    requests = [request for number in range(EACH) if (request := mutated(sample, number)) != sample.request]
    async with Hooks(confirmed_publisher, source, secrets=(sample.secret,), clock=lambda: NOW_S) as hooks:
        for first in range(0, len(requests), AT_ONCE):
            asked = (status_of(hooks, sample, request) for request in requests[first : first + AT_ONCE])
            assert set(await asyncio.gather(*asked)) == {401}
        assert confirmed_publisher.messages == []
        assert await status_of(hooks, sample, sample.request) == (200 if source.scheme in ("slack", "twilio") else 202)


def damaged(good: bytes, number: int) -> bytes:
    """A byte of the request flipped, left out, put in, or a piece of it sent twice: anywhere, the first line too."""
    dice = Dice(f"damaged {number}")
    at = dice.below(len(good))
    match dice.below(4):
        case 0:
            return good[:at] + bytes((good[at] ^ (1 << dice.below(8)),)) + good[at + 1 :]
        case 1:
            return good[:at] + good[at + 1 :]
        case 2:
            return good[:at] + bytes((dice.below(256),)) + good[at:]
    return good[:at] + good[at // 2 :]


@pytest.fixture
def confirmed_publisher() -> FakeConfirmedPublisher:
    return FakeConfirmedPublisher()


@pytest.fixture
async def hasty(confirmed_publisher: FakeConfirmedPublisher) -> AsyncIterator[Hooks]:
    """A door that waits only a moment for what does not come."""
    bounds = ConnectionBounds(silent_s=0.1, sweep_s=0.1)
    async with Hooks(confirmed_publisher, GITHUB, body_s=0.1, bounds=bounds) as hooks:
        yield hooks


async def test_no_damaged_bytes_make_the_server_fail(
    hasty: Hooks, confirmed_publisher: FakeConfirmedPublisher, caplog: pytest.LogCaptureFixture
) -> None:
    head = "".join(f"{name}: {value}\r\n" for name, value in signed(GITHUB, BODY).items())
    good = f"POST /webhooks/git HTTP/1.1\r\nHost: x\r\n{head}Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY

    async def answer(number: int) -> bytes:
        """The first line; nothing where the connection was closed without an answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", hasty.server.port)
        writer.write(damaged(good, number))
        line = b""
        async with asyncio.timeout(60):
            with suppress(ConnectionResetError):  # it was closed before all that was sent had been read
                line = await reader.readline()
        writer.transport.abort()
        return line[9:12]

    found: set[bytes] = set()
    for first in range(0, RAW, 4 * AT_ONCE):
        found.update(await asyncio.gather(*(answer(number) for number in range(first, first + 4 * AT_ONCE))))
    assert found >= {b"202", b"400", b"401", b"404", b"408"}
    assert not [status for status in found if status.startswith(b"5")]
    assert {message.body for message in confirmed_publisher.messages} == {BODY}
    assert not caplog.records
