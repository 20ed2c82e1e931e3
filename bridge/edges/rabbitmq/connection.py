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

    async def closed_in_order(self) -> bool:
        """Close it, and cut it where the broker does not answer within CLOSE_S; whether it did."""
        closing = asyncio.ensure_future(self.close())
        in_order = bool((await asyncio.wait((closing,), timeout=CLOSE_S))[0])
        if not in_order:
            self._socket.cut()
        await asyncio.gather(closing, return_exceptions=True)
        return in_order


async def connection_to(url: str, name: str) -> SeverableConnection:
    """Connect; the URL's own query wins over the bridge's. Raises BrokerTrouble."""
    target = URL(url)
    query = {"heartbeat": str(HEARTBEAT_S), "name": name, **target.query}
    opening = aio_pika.connect(target.with_query(query), timeout=CONNECT_S, connection_class=SeverableConnection)
    what = f"connecting to {target.host}:{target.port}"
    try:
        connection = await limited(opening, what, CONNECT_S + 2)
    except BrokerTrouble as trouble:
        if "Connection.OpenOk" not in str(trouble):
            raise  # of a virtual host that is refused (530) aiormq says only that it got another frame than it expected
        why = "the broker refuses the virtual host: does it exist, and may the user use it?"
        raise BrokerTrouble(f"{what}: {why}", permanent=True) from None
    if not isinstance(connection, SeverableConnection):
        raise BrokerTrouble(f"{what}: a connection of an unknown kind", permanent=True)
    return connection
