"""A connection to the broker that can be cut: closing in good order waits for a peer that may read no more."""

import asyncio
from typing import Any

import aio_pika
from aiormq.connection import TCPTransportFactory, TLSTransportFactory, TransportFactory
from yarl import URL

from bridge.edges.rabbitmq.generation import BrokerTrouble, limited

CONNECT_S = 10.0
CLOSE_S = 5.0
HEARTBEAT_S = 10


class Socket(TransportFactory):
    """Opens the socket as aiormq would, and keeps hold of it."""

    def __init__(self, scheme: str) -> None:
        self._inner = TLSTransportFactory() if scheme == "amqps" else TCPTransportFactory()
        self._writer: asyncio.StreamWriter | None = None

    async def create(self, url: URL, **kwargs: object) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, self._writer = await self._inner.create(url, **kwargs)
        return reader, self._writer

    def cut(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()


class SeverableConnection(aio_pika.Connection):
    """aio-pika's plain connection, with a hold on its socket."""

    def __init__(self, url: URL, **kwargs: Any) -> None:
        super().__init__(url, **kwargs)
        self._socket = Socket(self.url.scheme)
        self.kwargs["transport_factory"] = self._socket

    def cut(self) -> None:
        """Break it off: what waits for the broker fails."""
        self._socket.cut()

    async def closed_in_order(self) -> bool:
        """Close it, and cut it where the broker does not answer within CLOSE_S; whether it did.

        A task that is cancelled meanwhile cuts it as well, and sees it closed: aio-pika's `close`, where that is
        cancelled, waits forever for what nobody will tell it, and with it the loop that is to end (10.2.1).
        """
        closing = asyncio.gather(self.close(), return_exceptions=True)
        in_order = False
        try:
            in_order = bool((await asyncio.wait((closing,), timeout=CLOSE_S))[0])
        finally:
            if not in_order:
                self.cut()
                await asyncio.wait((closing,), timeout=CLOSE_S)
        return in_order


async def connection_to(url: str, name: str, heartbeat_s: int = HEARTBEAT_S) -> SeverableConnection:
    """Connect; the URL's own query wins over the bridge's. Raises BrokerTrouble.

    What fails, is late or is cancelled is cut: aiormq would take its time to close it in good order (TLS, 30 s), and
    what was connected in the same instant would stay open.
    """
    target = URL(url)
    query = {"heartbeat": str(heartbeat_s), "name": name, **target.query}
    connection = SeverableConnection(target.with_query(query))
    what = f"connecting to {target.host}:{target.port}"
    connecting = asyncio.ensure_future(limited(connection.connect(), what, None))
    try:
        await limited(asyncio.wait((connecting,)), what, CONNECT_S)
        await connecting
    except BaseException as error:
        connection.cut()
        connecting.cancel()
        await asyncio.wait((asyncio.gather(connecting, return_exceptions=True),), timeout=CLOSE_S)
        if isinstance(error, BrokerTrouble) and "Connection.OpenOk" in str(error):
            # Of a virtual host that is refused (530) aiormq says only that it got another frame than it expected.
            why = "the broker refuses the virtual host: does it exist, and may the user use it?"
            raise BrokerTrouble(f"{what}: {why}", permanent=True) from None
        raise
    return connection
