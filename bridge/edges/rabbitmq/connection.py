"""A connection to the broker that can be cut: closing in good order waits for a peer that may read no more.

What aiormq leaves out of opening one is here as well: the broker's own words where it refuses, a name's other
addresses, and a virtual host whose name is decoded once.
"""

import asyncio
import ssl
from contextlib import suppress
from typing import Any
from urllib.parse import unquote, urlsplit

import aio_pika
import aiormq
from aio_pika.abc import UnderlayConnection
from aiormq.connection import FrameReceiver, ReceivedFrame, TransportFactory, exception_by_code
from aiormq.exceptions import ProbableAuthenticationError
from pamqp import commands
from yarl import URL

from bridge.edges.rabbitmq.addresses import Address, Addresses
from bridge.edges.rabbitmq.generation import BrokerTrouble, limited

CONNECT_S = 10.0
CLOSE_S = 5.0
HEARTBEAT_S = 10
ACCESS_REFUSED = 403


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


class Answers(FrameReceiver):
    """The broker's answers while a connection is opened. aiormq takes a refusal for a frame that it does not know."""

    def __init__(self, frames: FrameReceiver) -> None:
        self._frames = frames

    async def get_frame(self) -> ReceivedFrame:
        """The next frame. Raises AMQPError, with the broker's words, where it closes the connection instead."""
        received = await self._frames.get_frame()
        answer = received[2]
        if isinstance(answer, commands.Connection.Close):
            if answer.reply_code == ACCESS_REFUSED:
                raise ProbableAuthenticationError(answer.reply_text)
            raise exception_by_code(answer)
        return received


class Opening(aiormq.Connection):
    """aiormq's connection, which tells why the broker does not open it."""

    @staticmethod
    async def _rpc(
        request: Any, writer: asyncio.StreamWriter, frame_receiver: FrameReceiver, wait_response: bool = True
    ) -> Any:
        return await aiormq.Connection._rpc(request, writer, Answers(frame_receiver), wait_response)


class Underlay(UnderlayConnection):
    """The connection of aiormq that aio-pika builds on."""

    @classmethod
    async def make_connection(cls, url: URL, timeout: float | None = None, **kwargs: Any) -> Opening:
        """Connect to the virtual host given beside the URL: aiormq decodes what is in the URL twice (7.2.4)."""
        virtual_host = kwargs.pop("virtual_host")
        connection = Opening(url, **kwargs)
        connection.vhost = virtual_host
        async with asyncio.timeout(timeout):
            await connection.connect()
            await connection.ready()
        return connection


class SeverableConnection(aio_pika.Connection):
    """aio-pika's plain connection, with a hold on its socket."""

    def __init__(self, url: URL, virtual_host: str, addresses: Addresses) -> None:
        super().__init__(url)
        self.socket = Socket(addresses)
        self.kwargs |= {"transport_factory": self.socket, "virtual_host": virtual_host}

    def __del__(self) -> None:
        """Leave a connection that was never opened alone.

        aio-pika would begin to close it whenever it is collected, which without a running loop is a coroutine that
        nobody awaits (10.2.1). Whoever opens one here closes it.
        """

    async def connect(self, timeout: float | None = None) -> None:
        """See aio-pika."""
        opened = await Underlay.connect(self.url, self._on_connection_close, timeout=timeout, **self.kwargs)
        self.transport = opened
        await self._on_connected()

    def cut(self) -> None:
        """Break it off: what waits for the broker fails."""
        self.socket.cut()

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


def virtual_host_of(url: str) -> str:
    """The virtual host that a broker's URL names, decoded once; the default one where it names none."""
    return unquote(urlsplit(url).path[1:]) or "/"


async def connection_to(
    url: str, name: str, heartbeat_s: int = HEARTBEAT_S, addresses: Addresses | None = None
) -> SeverableConnection:
    """Connect; the URL's own query wins over the bridge's. Raises BrokerTrouble.

    What fails, is late or is cancelled is cut: aiormq would take its time to close it in good order (TLS, 30 s), and
    what was connected in the same instant would stay open. `addresses` remembers, for the next time, which was silent.
    """
    target, addresses = URL(url), addresses or Addresses()
    query = {"heartbeat": str(heartbeat_s), "name": name, **target.query}
    connection = SeverableConnection(target.with_query(query), virtual_host_of(url), addresses)
    what = f"connecting to {target.host}:{target.port}"
    connecting = asyncio.ensure_future(limited(connection.connect(), what, None))
    try:
        await limited(asyncio.wait((connecting,)), what, CONNECT_S)
        await connecting
    except BaseException as error:
        connection.cut()
        connecting.cancel()
        await asyncio.wait((asyncio.gather(connecting, return_exceptions=True),), timeout=CLOSE_S)
        if connection.socket.peer is not None and isinstance(error, BrokerTrouble) and not error.permanent:
            addresses.fell_silent(connection.socket.peer)
        raise
    if connection.socket.peer is not None:
        addresses.spoke(connection.socket.peer)
    return connection
