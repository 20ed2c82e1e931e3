"""The webhook door as the composition root wires it, over a broker side of its own; and senders of webhooks."""

import asyncio
import io
import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import aiohttp

from bridge.core.answer.outbound_message import MessageFactory, Outbound
from bridge.core.counters import Counters
from bridge.core.webhook.client_address import networks
from bridge.core.webhook.schemes import SCHEMES, Signing, key_of
from bridge.core.webhook.signature import Source
from bridge.edges.http.connection_limit import USUAL_BOUNDS, ConnectionBounds, ConnectionLimit
from bridge.edges.http.server import HealthServer
from bridge.edges.http.webhook_handler import BODY_S, MAX_HELD_BYTES, HeldBytes, WebhookHandler
from bridge.edges.webhook_secrets import Ring, WebhookKeyring
from bridge.flow.ports.runtime import Clock
from bridge.flow.ports.webhook import ConfirmedPublisher
from bridge.flow.webhook_ingest import MAX_OPEN, IngestConfig, WebhookIngest
from tests.support.logbook import Logbook
from tests.support.rig import inbound
from tests.support.waiting import until

SECRET = "canary-secret"
GITHUB = Source("git", "github", rate=1e9)


@dataclass(frozen=True)
class Answered:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def signed(
    source: Source, body: bytes, id_: str = "1", secret: str = SECRET, at_s: float | None = None
) -> dict[str, str]:
    """The headers of a good request, now."""
    key = key_of(source.scheme, secret)
    now_s = int(time.time() if at_s is None else at_s)
    return {"Content-Type": "application/json", **SCHEMES[source.scheme].sign(source, Signing(key, body, id_, now_s))}


class Hooks:
    """Server and client. Use as an async context manager."""

    def __init__(
        self,
        confirmed_publisher: ConfirmedPublisher,
        *sources: Source,
        outbounds: Sequence[Outbound] = (),
        proxies: Sequence[str] = (),
        secrets: Sequence[str] = (SECRET,),
        clock: Clock = time.time,
        body_s: float = BODY_S,
        max_held_bytes: int = MAX_HELD_BYTES,
        max_open: int = MAX_OPEN,
        bounds: ConnectionBounds = USUAL_BOUNDS,
    ) -> None:
        self.log = Logbook()
        self.counters = Counters()
        rings = {
            source.name: Ring(secrets, None, partial(key_of, source.scheme), time.time)
            for source in sources or (GITHUB,)
        }
        self.webhook_ingest = WebhookIngest(
            IngestConfig({source.name: source for source in sources or (GITHUB,)}, inbound(), max_open),
            WebhookKeyring(rings),
            confirmed_publisher,
            MessageFactory(tuple(outbounds), clock),
            self.counters,
            self.log,
        )
        self.held = HeldBytes(max_held_bytes)
        self.door = WebhookHandler(self.webhook_ingest, networks(proxies), body_s=body_s, held=self.held)
        self.server = HealthServer(
            "127.0.0.1",
            0,
            components=list,
            metrics=bytes,
            version="1",
            webhook=self.door.handle,
            connection_limit=ConnectionLimit(self.door.malformed, bounds),
        )
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self.server)
        self.session = await self._stack.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}/webhooks/"

    async def send(self, name: str, body: bytes, headers: Mapping[str, str], method: str = "POST") -> Answered:
        async with self.session.request(method, self.url + name, data=io.BytesIO(body), headers=headers) as response:
            return Answered(response.status, dict(response.headers), await response.read())

    async def good(self, source: Source = GITHUB, body: bytes = b'{"a":1}', id_: str = "1") -> Answered:
        """A request that verifies."""
        return await self.send(source.name, body, signed(source, body, id_))

    async def raw(self, *pieces: bytes, bound_s: float = 60.0) -> bytes:
        """What a connection answers that gets these bytes, until it is closed."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        for piece in pieces:
            writer.write(piece)
        async with asyncio.timeout(bound_s):
            answer = await reader.read()
        writer.close()
        return answer

    async def in_turn(self, first: bytes, arrived: Callable[[], object], second: bytes) -> bytes:
        """As `raw`, the second piece being sent only when the first has arrived."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        writer.write(first)
        await until(arrived, "the first piece has arrived")
        writer.write(second)
        async with asyncio.timeout(60):
            answer = await reader.read()
        writer.close()
        return answer


class FakeConfirmedPublisher:
    """The entrance port over a list; `trouble` is raised where there is one, and `gate` waited for."""

    def __init__(self) -> None:
        self.messages: list[Any] = []
        self.trouble: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def enqueue(self, message: Any) -> None:
        await self.gate.wait()
        if self.trouble is not None:
            raise self.trouble
        self.messages.append(message)
