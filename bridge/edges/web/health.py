"""`/livez`, `/readyz`, `/metrics` and `/version`. Liveness never depends on broker or API: a restart mends neither."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import orjson
from aiohttp import web

from bridge.edges.web.connection import Malformed
from bridge.edges.web.doorkeeper import Doorkeeper

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
MOST_WAITING = 1024


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
        mount: Callable[[web.Application], None] = lambda _: None,
        malformed: Malformed = lambda _, __: None,
    ) -> None:
        """`mount` adds what else is served; `malformed` is told of what is no HTTP, and from which address it came."""
        self.port = port
        self._host = host
        self._components = components
        self._metrics = metrics
        self._version = version
        self._mount = mount
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None
        self._doorkeeper = Doorkeeper(malformed)

    async def __aenter__(self) -> "HealthServer":
        app = web.Application()
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics_text)
        app.router.add_get("/version", self._version_json)
        self._mount(app)
        self._runner = web.AppRunner(app, shutdown_timeout=1.0)
        await self._runner.setup()
        factory = self._doorkeeper.factory(self._runner.server)
        listening = asyncio.get_running_loop().create_server(factory, self._host, self.port, backlog=MOST_WAITING)
        self._server = await listening
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._doorkeeper.close()
        if self._server is not None:
            self._server.close()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _livez(self, _: web.Request) -> web.Response:
        return _json({"alive": True})

    async def _readyz(self, _: web.Request) -> web.Response:
        components = self._components()
        ready = all(row.ok or not row.needed for row in components)
        rows = [{"name": row.name, "ok": row.ok, "reason": row.reason} for row in components]
        body = {"ready": ready, "components": rows}
        return _json(body, status=200 if ready else 503)

    async def _metrics_text(self, _: web.Request) -> web.Response:
        return web.Response(body=self._metrics(), headers={"Content-Type": PROMETHEUS})

    async def _version_json(self, _: web.Request) -> web.Response:
        return _json({"name": "amigo-bridge", "version": self._version})


def _json(body: object, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")
