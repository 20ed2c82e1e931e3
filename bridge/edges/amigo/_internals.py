"""All that the bridge uses of aiohttp's client beyond its documentation.

Connections resume reading only where they were paused, and can be held. aiohttp 3.14 resumes a connection after every
chunk that somebody reads, and each time has the parser look for what it has left over. That is half of what a chunk
costs, and nothing is left over where nothing was paused.

A body is read in one piece. aiohttp hands out all that has come, too, but goes through it chunk by chunk, and an answer
has a chunk a line.
"""

import asyncio
from functools import partial
from importlib import import_module, metadata
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver

from bridge.core.library import Library, ensure

AIOHTTP = Library(
    "aiohttp",
    "3.14.5",
    {
        "aiohttp.client_proto:ResponseHandler": (
            "_drop_timeout",
            "_reading_paused",
            "pause_reading",
            "resume_reading",
            "set_response_params",
            "start_timeout",
            "transport",
        ),
        "aiohttp:TCPConnector": ("_factory", "_loop"),
        "aiohttp:ClientResponse": ("connection",),
        "aiohttp.connector:Connection": ("protocol",),
        "aiohttp.streams:StreamReader": (
            "_buffer",
            "_buffer_offset",
            "_cursor",
            "_eof",
            "_exception",
            "_http_chunk_splits",
            "_protocol",
            "_size",
            "_timer",
            "_wait",
        ),
        "aiohttp.http_exceptions": ("HttpProcessingError",),
    },
)
ensure(AIOHTTP, import_module, metadata.version)

from aiohttp.client_proto import ResponseHandler  # noqa: E402 - once it is known to be there
from aiohttp.http_exceptions import HttpProcessingError  # noqa: E402

__all__ = ["AIOHTTP", "Connector", "HttpProcessingError", "StreamHandler", "handler_of", "read_available"]

NEXT_ADDRESS_S = 0.25
"""How long an address of the name may keep silent before the next one is tried beside it (RFC 8305)."""


class StreamHandler(ResponseHandler):
    """One connection."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._was_paused = False
        """Since the request was sent: then the parser may have something left over."""

    def set_response_params(self, **params: Any) -> None:
        """A request is about to be sent: its answer gets a parser of its own."""
        self._was_paused = False
        super().set_response_params(**params)

    def pause_reading(self) -> None:
        """Too much is unread."""
        self._was_paused = True
        super().pause_reading()

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Something was read."""
        if self._was_paused:
            super().resume_reading(resume_parser)

    def hold(self) -> None:
        """Take nothing from the connection for now. Meanwhile the server cannot be too silent."""
        if self.transport is not None:
            self.transport.pause_reading()
            self._drop_timeout()

    def let_go(self) -> None:
        """End the hold."""
        if self.transport is not None and not self._reading_paused:
            self.transport.resume_reading()
            self.start_timeout()


class Connector(aiohttp.TCPConnector):
    """Makes such connections, as many as are wanted."""

    def __init__(self, keepalive_s: float, resolver: AbstractResolver | None = None) -> None:
        # No limit: deliveries in hand bound them, and a stream must never keep a sign-in waiting.
        super().__init__(limit=0, keepalive_timeout=keepalive_s, resolver=resolver, happy_eyeballs_delay=NEXT_ADDRESS_S)
        self._factory = partial(_handler, self._loop)


def handler_of(response: aiohttp.ClientResponse) -> StreamHandler | None:
    """The connection that an answer is read from; None once it has given all of the answer."""
    connection = response.connection
    handler = connection.protocol if connection is not None else None
    return handler if isinstance(handler, StreamHandler) else None


async def read_available(content: aiohttp.StreamReader) -> bytes:
    """All that has come of a body, once something has; empty at its end. Raises what `readany` raises."""
    if type(content) is not aiohttp.StreamReader:
        return await content.readany()  # an answer without a body
    while not content._buffer and not content._eof and content._exception is None:
        await content._wait("readany")
    chunks = content._buffer
    if len(chunks) < 2 or content._buffer_offset or content._exception is not None:
        return await content.readany()
    content._timer.assert_timeout()
    data = b"".join(chunks)
    chunks.clear()
    content._size = 0
    content._cursor += len(data)
    splits = content._http_chunk_splits
    if splits:  # the ends of HTTP chunks, ascending; the last one may be where the next chunk begins
        last = splits.pop()
        splits.clear()
        if last >= content._cursor:
            splits.append(last)
    content._protocol.resume_reading()
    return data


def _handler(loop: asyncio.AbstractEventLoop) -> ResponseHandler:
    return StreamHandler(loop)
