"""A gateway as it stands before many an API: where the server says nothing at all, it answers 5xx in its place.

With the sandbox's `lost-response` that is a 500, 502, 503 or 504 after the interaction was committed.
"""

import asyncio
import itertools
from contextlib import suppress
from typing import Self

STATUSES = (500, 502, 503, 504)
PAGE = b"<html><body><h1>Something went wrong</h1></body></html>"


class Gateway:
    """Use as an async context manager; `url` replaces the API's own."""

    def __init__(self, port: int) -> None:
        self.answered = 0
        self._target = port
        self._statuses = itertools.cycle(STATUSES)
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._linked, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()

    async def _linked(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
            asked = asyncio.Event()
            asking = asyncio.create_task(_asking(reader, far_writer, asked))
            with suppress(ConnectionError):
                while piece := await far_reader.read(65_536):
                    asked.clear()
                    writer.write(piece)
                    await writer.drain()
            if asked.is_set():
                writer.write(_page(next(self._statuses)))
                self.answered += 1
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            far_writer.close()
        writer.close()


async def _asking(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: asyncio.Event) -> None:
    """`asked` is set from a request's first bytes to the answer's."""
    with suppress(ConnectionError):
        while piece := await reader.read(65_536):
            asked.set()
            writer.write(piece)
            await writer.drain()
        writer.write_eof()


def _page(status: int) -> bytes:
    head = f"HTTP/1.1 {status} Trouble\r\nContent-Type: text/html\r\nContent-Length: {len(PAGE)}\r\n"
    return head.encode() + b"Connection: close\r\n\r\n" + PAGE
