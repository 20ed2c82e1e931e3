"""The health server, asked by a real client."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from bridge.edges.http.server import Component, HealthServer
from tests.support.waiting import slowness


class Asked:
    """A server, a client, and what the server shall say."""

    def __init__(self, server: HealthServer, session: aiohttp.ClientSession, rows: list[Component]) -> None:
        self.rows = rows
        self._session = session
        self.root = f"http://127.0.0.1:{server.port}"

    async def get(self, path: str, method: str = "GET") -> tuple[int, str, bytes]:
        async with self._session.request(method, self.root + path) as response:
            return response.status, response.headers["Content-Type"], await response.read()

    async def json(self, path: str) -> tuple[int, Any]:
        async with self._session.get(self.root + path) as response:
            return response.status, await response.json()


@pytest.fixture
async def asked() -> AsyncIterator[Asked]:
    rows: list[Component] = []
    server = HealthServer("127.0.0.1", 0, components=lambda: rows, metrics=lambda: b"bridge_x 1\n", version="1.2.3")
    async with server, aiohttp.ClientSession() as session:
        assert server.port
        yield Asked(server, session, rows)


async def test_readiness_has_a_row_for_each_component(asked: Asked) -> None:
    asked.rows[:] = [Component("broker", True), Component("api", True)]
    assert await asked.json("/readyz") == (
        200,
        {
            "ready": True,
            "components": [
                {"name": "broker", "ok": True, "reason": None},
                {"name": "api", "ok": True, "reason": None},
            ],
        },
    )
    asked.rows[1] = Component("api", False, "no connection")
    status, body = await asked.json("/readyz")
    assert (status, body["ready"]) == (503, False)
    assert body["components"][1] == {"name": "api", "ok": False, "reason": "no connection"}


async def test_liveness_depends_on_nothing(asked: Asked) -> None:
    asked.rows[:] = [Component("broker", False, "down")]
    assert (await asked.json("/livez"))[0] == 200


async def test_metrics_and_version(asked: Asked) -> None:
    status, content_type, body = await asked.get("/metrics")
    assert (status, body) == (200, b"bridge_x 1\n")
    assert content_type.startswith("text/plain; version=0.0.4")
    assert await asked.json("/version") == (200, {"name": "amigo-bridge", "version": "1.2.3"})


async def test_whatever_else_is_not_there(asked: Asked) -> None:
    assert (await asked.get("/"))[0] == 404
    assert (await asked.get("/admin"))[0] == 404
    assert (await asked.get("/readyz", "POST"))[0] == 405
    assert (await asked.get("/livez", "HEAD"))[0] == 200


async def test_it_answers_until_it_is_closed_and_leaves_promptly(asked: Asked) -> None:
    assert (await asked.get("/livez"))[0] == 200
    server = HealthServer("127.0.0.1", 0, components=list, metrics=bytes, version="1")
    async with server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)  # an idle one must not delay the end
        started_s = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - started_s < 2 * slowness()
    assert await reader.read() == b""
    writer.close()


async def test_a_port_that_is_taken_is_an_os_error(asked: Asked) -> None:
    port = int(asked.root.rpartition(":")[2])
    with pytest.raises(OSError, match="address already in use"):
        async with HealthServer("127.0.0.1", port, components=list, metrics=bytes, version="1"):
            pass
