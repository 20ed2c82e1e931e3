"""A TCP proxy in front of a server, which stops passing anything on, is slow, or resets, when it is told to."""

import asyncio
import socket
import struct
from contextlib import suppress
from typing import Self


class Link:
    """One connection through the proxy; bytes pass while `flowing` is set, from the client only while `sending` is."""

    def __init__(self, *writers: asyncio.StreamWriter) -> None:
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.sending = asyncio.Event()
        self.sending.set()
        self.writers = writers

    def reset(self) -> None:
        for writer in self.writers:
            link: socket.socket | None = writer.get_extra_info("socket")
            with suppress(OSError, ValueError):
                if link is not None:
                    link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


class Proxy:
    """Use as an async context manager; `url` replaces the broker's own."""

    def __init__(self, port: int, delay_s: float = 0.0) -> None:
        """`delay_s` is how long each piece is held up on its way; it may be changed."""
        self.links: list[Link] = []
        self.delay_s = delay_s
        self.port = 0
        self._target = port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def url(self, vhost: str) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}/{vhost}"

    def freeze(self) -> None:
        """What is connected now is neither read nor written any more; new connections pass."""
        for link in self.links:
            link.flowing.clear()

    def thaw(self) -> None:
        """What was frozen goes on."""
        for link in self.links:
            link.flowing.set()

    def hold(self) -> None:
        """What the clients that are connected now send stays here; what the server sends passes."""
        for link in self.links:
            link.sending.clear()

    def release(self) -> None:
        """What was held goes on its way."""
        for link in self.links:
            link.sending.set()

    def reset(self) -> None:
        """RST to both sides of everything."""
        for link in self.links:
            link.reset()
        self.links.clear()

    def bury(self) -> None:
        """RST to what was frozen: the broker learns only now that the other side has gone."""
        for link in self.links:
            if not link.flowing.is_set():
                link.reset()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._linked, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.reset()
        await self._server.wait_closed()

    async def _linked(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        link = Link(writer, far_writer)
        self.links.append(link)
        pumps = [
            asyncio.create_task(self._pump(link, reader, far_writer, link.sending)),
            asyncio.create_task(self._pump(link, far_reader, writer, link.flowing)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            pass  # the test is over, and whoever started this asks no further
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            for side in (writer, far_writer):
                side.close()

    async def _pump(
        self, link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, passing: asyncio.Event
    ) -> None:
        with suppress(ConnectionError):
            while True:
                await link.flowing.wait()
                data = await reader.read(65_536)
                await asyncio.sleep(self.delay_s)
                await link.flowing.wait()
                await passing.wait()
                if not data:
                    return
                writer.write(data)
                await writer.drain()
