"""A connection to the broker that can be cut: closing in good order waits for a peer that may read no more.

What aiormq leaves out of opening one: a name's other addresses are here, the broker's own words where it refuses and a
virtual host whose name is decoded once in `_internals.py`.
"""

import asyncio
import ssl
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from yarl import URL

from bridge.edges.rabbitmq._internals import OpenedConnection, TransportFactory
from bridge.edges.rabbitmq.addresses import Address, Addresses
from bridge.edges.rabbitmq.generation import BrokerTrouble, limited

HEARTBEAT_S = 10


@dataclass(frozen=True, slots=True)
class ConnectLimits:
    """Seconds that connecting may take, and closing in good order."""

    connect_s: float = 10.0
    close_s: float = 5.0


USUAL_CONNECT_LIMITS = ConnectLimits()


class Socket(TransportFactory):
    """Opens the socket to one of the host's addresses, and keeps hold of it. `peer` is that address, once connected."""

    def __init__(self, addresses: Addresses) -> None:
        self.peer: Address | None = None
        self._addresses = addresses
        self._writer: asyncio.StreamWriter | None = None

    async def create(self, url: URL, **kwargs: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """See aiormq. Raises OSError."""
        context = await kwargs["ssl_context_provider"].get_context() if url.scheme == "amqps" else None
        host, port = url.host, url.port
        if host is None or port is None:
            raise OSError("the URL names no host")
        reader, self._writer = await self._opened(host, port, context)
        return reader, self._writer

    async def _opened(
        self, host: str, port: int, context: ssl.SSLContext | None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        connected = await self._addresses.connected(host, port)
        try:
            self.peer = tuple(connected.getpeername()[:2])
            server = host if context is not None else None
            return await asyncio.open_connection(sock=connected, ssl=context, server_hostname=server)
        except BaseException:
            with suppress(OSError):
                connected.close()
            raise

    def cut(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()


class SeverableConnection(OpenedConnection):
    """aio-pika's plain connection, with a hold on its socket."""

    def __init__(
        self, url: URL, virtual_host: str, addresses: Addresses, limits: ConnectLimits = USUAL_CONNECT_LIMITS
    ) -> None:
        self.socket = Socket(addresses)
        self._close_s = limits.close_s
        super().__init__(url, virtual_host, self.socket)

    def cut(self) -> None:
        """Break it off: what waits for the broker fails."""
        self.socket.cut()

    async def closed_in_order(self) -> bool:
        """Close it, and cut it where the broker does not answer within `close_s`; whether it did.

        A task that is cancelled meanwhile cuts it as well, and sees it closed: aio-pika's `close`, where that is
        cancelled, waits forever for what nobody will tell it, and with it the loop that is to end (10.2.1).
        """
        closing = asyncio.gather(self.close(), return_exceptions=True)
        in_order = False
        try:
            in_order = bool((await asyncio.wait((closing,), timeout=self._close_s))[0])
        finally:
            if not in_order:
                self.cut()
                await asyncio.wait((closing,), timeout=self._close_s)
        return in_order


def virtual_host_of(url: str) -> str:
    """The virtual host that a broker's URL names, decoded once; the default one where it names none."""
    return unquote(urlsplit(url).path[1:]) or "/"


async def connection_to(
    url: str,
    name: str,
    heartbeat_s: int = HEARTBEAT_S,
    addresses: Addresses | None = None,
    limits: ConnectLimits = USUAL_CONNECT_LIMITS,
) -> SeverableConnection:
    """Connect; the URL's own query wins over the bridge's. Raises BrokerTrouble.

    What fails, is late or is cancelled is cut: aiormq would take its time to close it in good order (TLS, 30 s), and
    what was connected in the same instant would stay open. `addresses` remembers, for the next time, which was silent.
    """
    target, addresses = URL(url), addresses or Addresses()
    query = {"heartbeat": str(heartbeat_s), "name": name, **target.query}
    connection = SeverableConnection(target.with_query(query), virtual_host_of(url), addresses, limits)
    what = f"connecting to {target.host}:{target.port}"
    connecting = asyncio.ensure_future(limited(connection.connect(), what, None))
    try:
        await limited(asyncio.wait((connecting,)), what, limits.connect_s)
        await connecting
    except BaseException as error:
        connection.cut()
        connecting.cancel()
        await asyncio.wait((asyncio.gather(connecting, return_exceptions=True),), timeout=limits.close_s)
        if connection.socket.peer is not None and isinstance(error, BrokerTrouble) and not error.permanent:
            addresses.fell_silent(connection.socket.peer)
        raise
    if connection.socket.peer is not None:
        addresses.spoke(connection.socket.peer)
    return connection
