"""One address that is listened on, with aiohttp's low-level server behind it."""

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

from bridge.edges.http.connection_limit import ConnectionLimit

MAX_WAITING = 1024

Handle = Callable[[web.BaseRequest], Awaitable[web.Response]]


class HttpListener:
    """Listens from `open` to `close`. Until then `port` is the one that was asked for, 0 for any."""

    def __init__(self, host: str, port: int, handle: Handle, connection_limit: ConnectionLimit) -> None:
        self.port = port
        self._host = host
        self._handle = handle
        self._connection_limit = connection_limit
        self._runner: web.ServerRunner | None = None
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen. Raises OSError and ValueError where the address cannot be had."""
        self._runner = web.ServerRunner(web.Server(self._handle), shutdown_timeout=1.0)
        await self._runner.setup()
        factory = self._connection_limit.factory(self._runner.server)
        listening = asyncio.get_running_loop().create_server(factory, self._host, self.port, backlog=MAX_WAITING)
        self._server = await listening
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Listen no more, and let go of who is connected."""
        self._connection_limit.close()
        if self._server is not None:
            self._server.close()
        if self._runner is not None:
            await self._runner.cleanup()
