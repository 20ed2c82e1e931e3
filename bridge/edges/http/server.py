"""`/livez`, `/readyz`, `/metrics` and `/version`, and the way to the webhooks.

Liveness never depends on broker or API: a restart mends neither. The server is aiohttp's low-level one: with its
application and router a request costs half as much again, and there are five addresses.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import orjson
from aiohttp import web

from bridge.core.answer.outbound_message import JSON
from bridge.core.webhook import problem
from bridge.edges.http.connection_limit import ConnectionLimit
from bridge.edges.http.listener import HttpListener
from bridge.edges.http.protocol import document, response

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
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


class HealthPages:
    """The answers to who looks. Without `metrics` there are none, and no reasons: both are at another listener."""

    def __init__(
        self, components: Callable[[], Sequence[Component]], metrics: Callable[[], bytes] | None, version: str
    ) -> None:
        self._components = components
        self._metrics = metrics
        self._version = version

    def response(self, path: str, method: str) -> web.Response:
        """The page at a path; a problem document where there is none, or for another method."""
        match path:
            case "/livez":
                page = self._livez
            case "/readyz":
                page = self._readyz
            case "/version":
                page = self._version_json
            case "/metrics" if self._metrics is not None:
                page = self._metrics_text
            case _:
                return document(problem.of_status(404))
        if method not in READING:
            return document(problem.of_status(405, {"Allow": ",".join(READING)}))
        return page()

    def _livez(self) -> web.Response:
        return json_response({"alive": True})

    def _readyz(self) -> web.Response:
        components = self._components()
        ready = all(row.ok or not row.needed for row in components)
        rows = [{"name": row.name, "ok": row.ok, "reason": row.reason} for row in components]
        if self._metrics is None:
            rows = [{"name": row.name, "ok": row.ok} for row in components]
        return json_response({"ready": ready, "components": rows}, status=200 if ready else 503)

    def _metrics_text(self) -> web.Response:
        return response(b"" if self._metrics is None else self._metrics(), PROMETHEUS)

    def _version_json(self) -> web.Response:
        return json_response({"name": "amigo-bridge", "version": self._version})


class HealthServer:
    """A small web server that starts first and stops last. Use as an async context manager."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        components: Callable[[], Sequence[Component]],
        metrics: Callable[[], bytes] | None,
        version: str,
        webhook: Webhook | None = None,
        connection_limit: ConnectionLimit | None = None,
    ) -> None:
        self._pages = HealthPages(components, metrics, version)
        self._webhook = webhook
        self._listener = HttpListener(host, port, self._handle, connection_limit or ConnectionLimit())

    @property
    def port(self) -> int:
        """The port that is listened on, once it is."""
        return self._listener.port

    async def __aenter__(self) -> "HealthServer":
        await self._listener.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._listener.close()

    async def _handle(self, request: web.BaseRequest) -> web.Response:
        path = request.path
        name = path.removeprefix(WEBHOOKS)
        if self._webhook is not None and name and name != path and "/" not in name:
            return await self._webhook(name, request)
        return self._pages.response(path, request.method)


def json_response(body: object, status: int = 200) -> web.Response:
    """The answer with a JSON body."""
    return response(orjson.dumps(body), JSON, status)
