"""The connection of one request: writing to it, noticing that it is gone, and cutting it."""

import asyncio
import os
import socket
import struct
from collections.abc import Mapping

from aiohttp import web

from bridge.sandbox.script.script_steps import Say

_LOOK_EVERY_S = 0.02  # how soon a vanished client is noticed while nothing is written


class ClientConnection:
    """An NDJSON answer on its way. Nothing is sent before the first line or the end."""

    def __init__(self, request: web.Request, status: int, headers: Mapping[str, str]) -> None:
        self._request = request
        self._muted = False
        self.cut_by_us = False
        self.response = web.StreamResponse(status=status, headers=dict(headers))
        self.response.content_type = "application/x-ndjson"
        self.response.enable_chunked_encoding()

    @property
    def client_left(self) -> bool:
        transport = self._request.transport
        return not self.cut_by_us and (transport is None or transport.is_closing())

    def mute(self) -> None:
        self._muted = True

    async def say(self, line: Say) -> None:
        """Writes a line, in as many TCP chunks as it has cuts; silently nothing when nobody listens."""
        if self._muted or self.cut_by_us or self.client_left:
            return
        try:
            if not self.response.prepared:
                await self.response.prepare(self._request)
            for start, end in zip((0, *line.cuts), (*line.cuts, len(line.data)), strict=True):
                await self.response.write(line.data[start:end])
        except ConnectionError:
            return

    async def rest(self, seconds: float, *, even_alone: bool) -> None:
        """Waits, but (unless ``even_alone``) no longer than the client is there."""
        loop = asyncio.get_running_loop()
        due = loop.time() + seconds
        # The transport tells nobody that it is gone, so it is looked at now and then.
        while (left := due - loop.time()) > 0 and (even_alone or not self.client_left):  # noqa: ASYNC110
            await asyncio.sleep(min(left, _LOOK_EVERY_S))

    def cut(self) -> None:
        self.cut_by_us = True
        reset(self._request)

    async def end(self) -> None:
        """The chunk that ends the stream."""
        try:
            if not self.response.prepared:
                await self.response.prepare(self._request)
            await self.response.write_eof()
        except ConnectionError:
            return


def reset(request: web.Request) -> None:
    """Resets the connection (TCP RST): the client gets an error, not an end of file."""
    transport = request.transport
    if transport is None:
        return
    connection = transport.get_extra_info("socket")
    if connection is not None:
        # A second handle on the same connection, because not every event loop lets its own be configured.
        with socket.socket(fileno=os.dup(connection.fileno())) as twin:
            twin.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
