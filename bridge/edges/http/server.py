"""`/livez`, `/readyz`, `/metrics` and `/version`, and the way to the webhooks.

Liveness never depends on broker or API: a restart mends neither. The server is aiohttp's low-level one: with its
application and router a request costs half as much again, and there are five addresses.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import orjson
from aiohttp import web

from bridge.core.answer.outbound_message import JSON
from bridge.core.webhook import problem
from bridge.edges.http.connection_limit import ConnectionLimit
from bridge.edges.http.protocol import document, response

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
MAX_WAITING = 1024
WEBHOOKS = "/webhooks/"
READING = ("GET", "HEAD")

Webhook = Callable[[str, web.BaseRequest], Awaitable[web.Response]]
"""Answers a request for the webhook of this name."""


@dataclass(frozen=True, slots=True)
class Component:
    """One row of `/readyz`; `reason` says what is wrong where it is not ok. What is not `needed` leaves it ready."""

    name: str
    ok: bool
    reason: str | None = None
    needed: bool = True


class HealthServer:
    """A small web server that starts first and stops last. Use as an async context manager."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        components: Callable[[], Sequence[Component]],
        metrics: Callable[[], bytes],
        version: str,
        webhook: Webhook | None = None,
        connection_limit: ConnectionLimit | None = None,
    ) -> None:
        self.port = port
        self._host = host
        self._components = components
        self._metrics = metrics
        self._version = version
        self._webhook = webhook
        self._pages: dict[str, Callable[[], web.Response]] = {
            "/livez": self._livez,
            "/readyz": self._readyz,
            "/metrics": self._metrics_text,
            "/version": self._version_json,
        }
        self._runner: web.ServerRunner | None = None
        self._server: asyncio.Server | None = None
        self._connection_limit = connection_limit or ConnectionLimit()

    async def __aenter__(self) -> "HealthServer":
        self._runner = web.ServerRunner(web.Server(self._handle), shutdown_timeout=1.0)
        await self._runner.setup()
        factory = self._connection_limit.factory(self._runner.server)
        listening = asyncio.get_running_loop().create_server(factory, self._host, self.port, backlog=MAX_WAITING)
        self._server = await listening
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._connection_limit.close()
        if self._server is not None:
            self._server.close()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.Response:
        path = request.path
        name = path.removeprefix(WEBHOOKS)
        if self._webhook is not None and name and name != path and "/" not in name:
            return await self._webhook(name, request)
        page = self._pages.get(path)
        if page is None:
            return document(problem.of_status(404))
        if request.method not in READING:
            return document(problem.of_status(405, {"Allow": ",".join(READING)}))
        return page()

    def _livez(self) -> web.Response:
        return _json({"alive": True})

    def _readyz(self) -> web.Response:
        components = self._components()
        ready = all(row.ok or not row.needed for row in components)
        rows = [{"name": row.name, "ok": row.ok, "reason": row.reason} for row in components]
        body = {"ready": ready, "components": rows}
        return _json(body, status=200 if ready else 503)

    def _metrics_text(self) -> web.Response:
        return response(self._metrics(), PROMETHEUS)

    def _version_json(self) -> web.Response:
        return _json({"name": "amigo-bridge", "version": self._version})


def _json(body: object, status: int = 200) -> web.Response:
    return response(orjson.dumps(body), JSON, status)
