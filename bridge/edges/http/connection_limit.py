"""Who may stay connected to the HTTP server: so many at once, and nobody for long who says nothing.

aiohttp (3.14.5) closes a connection that has sent no request only after the keep-alive time, and takes any number.
"""

import asyncio
import resource
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import StreamReader, web

from bridge.edges.http._internals import notice_requests
from bridge.edges.http.protocol import Connection, Malformed

MAX_CONNECTIONS = 2_000
SHARE_OF_FILES = 4
"""One in so many of the files that the process may open may be a connection to this server."""


@dataclass(frozen=True, slots=True)
class ConnectionBounds:
    """How many connections there may be (None: as the process's files allow), and how long one may be silent.

    `silent_s`: until its first request is there, headers and all. `sweep_s`: from one look for silent ones to the next.
    """

    most: int | None = None
    silent_s: float = 15.0
    sweep_s: float = 1.0


USUAL_BOUNDS = ConnectionBounds()


class ConnectionLimit:
    """Makes the server's connections. Where too many have come, the one goes that was heard of least lately."""

    def __init__(self, malformed: Malformed = lambda _, __: None, bounds: ConnectionBounds = USUAL_BOUNDS) -> None:
        """`malformed` is told of what is no HTTP, and from which address it came."""
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        limited = files != resource.RLIM_INFINITY
        self._most = bounds.most or (min(MAX_CONNECTIONS, files // SHARE_OF_FILES) if limited else MAX_CONNECTIONS)
        self._bounds = bounds
        self._malformed = malformed
        self._server: web.Server | None = None
        self._silent_since_s: OrderedDict[Connection, float | None] = OrderedDict()
        self._sweeping: asyncio.TimerHandle | None = None

    def factory(self, server: web.Server | None) -> Callable[[], asyncio.Protocol]:
        """The protocol factory for the server's socket; call it in the loop that serves."""
        if server is None:
            raise RuntimeError("the server is not set up")
        self._server = server
        notice_requests(server, self._heard)
        self._sweep()
        return self._admitted

    def close(self) -> None:
        """Watch no longer."""
        if self._sweeping is not None:
            self._sweeping.cancel()

    def _heard(self, connection: object, body: StreamReader) -> None:
        """Notes that the connection has sent a request."""
        if not isinstance(connection, Connection):
            return
        if connection in self._silent_since_s:
            self._silent_since_s[connection] = None
            self._silent_since_s.move_to_end(connection)
        connection.heard(body)

    def _admitted(self) -> asyncio.Protocol:
        if len(self._silent_since_s) >= self._most:
            self._forget_gone()
        if len(self._silent_since_s) >= self._most:
            oldest, _ = self._silent_since_s.popitem(last=False)
            oldest.force_close()
        if self._server is None:
            raise RuntimeError("the server is not set up")
        connection = Connection(self._server, self._malformed)
        self._silent_since_s[connection] = asyncio.get_running_loop().time()
        return connection

    def _sweep(self) -> None:
        self._forget_gone()
        loop = asyncio.get_running_loop()
        for protocol, since_s in list(self._silent_since_s.items()):
            if since_s is not None and loop.time() - since_s > self._bounds.silent_s:
                del self._silent_since_s[protocol]
                protocol.force_close()
        self._sweeping = loop.call_later(self._bounds.sweep_s, self._sweep)

    def _forget_gone(self) -> None:
        connected = set(self._server.connections) if self._server is not None else set()
        for protocol in [one for one in self._silent_since_s if one not in connected]:
            del self._silent_since_s[protocol]
