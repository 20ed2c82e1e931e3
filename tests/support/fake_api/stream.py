"""Sends one scripted stream, cut as the script says, and settles what the API keeps when the client goes away."""

import asyncio
import socket
import struct

from aiohttp import web

from tests.support.fake_api.script import Commit, Complete, Created, Error, Gate, Heard, Line, Reset, Step, Stream
from tests.support.fake_api.truth import Talk, Truth

HEAD = b"HTTP/1.1 %d OK\r\nContent-Type: application/x-ndjson\r\nConnection: close\r\n\r\n"


class Framed:
    """Chunked transfer encoding, the usual case."""

    def __init__(self, request: web.Request, status: int) -> None:
        self._request = request
        self.response = web.StreamResponse(status=status, headers={"Content-Type": "application/x-ndjson"})

    async def begin(self) -> None:
        await self.response.prepare(self._request)

    async def write(self, data: bytes) -> None:
        await self.response.write(data)

    async def end(self) -> None:
        await self.response.write_eof()


class Unframed:
    """No length and no chunks: only the closed connection ends the body."""

    def __init__(self, request: web.Request, status: int) -> None:
        assert request.transport is not None
        self._transport = request.transport
        self._status = status
        self.response = web.Response()

    async def begin(self) -> None:
        self._transport.write(HEAD % self._status)

    async def write(self, data: bytes) -> None:
        if self._transport.is_closing():
            raise ConnectionResetError
        self._transport.write(data)
        await asyncio.sleep(0)

    async def end(self) -> None:
        self._transport.close()


class Slicer:
    """Cuts the stream's bytes into chunks of a fixed size, or one chunk a line."""

    def __init__(self, pipe: Framed | Unframed, every: int | None) -> None:
        self._pipe = pipe
        self._every = every
        self._held = b""

    async def write(self, data: bytes) -> None:
        self._held += data
        if self._every is None:
            await self.flush()
        while self._every is not None and len(self._held) >= self._every:
            chunk, self._held = self._held[: self._every], self._held[self._every :]
            await self._pipe.write(chunk)
            await asyncio.sleep(0)

    async def flush(self) -> None:
        if self._held:
            held, self._held = self._held, b""
            await self._pipe.write(held)


def reset(request: web.Request) -> None:
    """Closes the connection with a RST, as a crashed server or a middlebox does."""
    transport = request.transport
    assert transport is not None
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def opening(stream: Stream, creates: bool) -> tuple[Step, ...]:
    if stream.bare:
        return stream.steps
    return (Created() if creates else Heard(), *stream.steps)


class Telling:
    """One stream being told; `run` returns the response or raises when the client has gone."""

    def __init__(self, truth: Truth, request: web.Request, talk: Talk) -> None:
        self._truth = truth
        self._request = request
        self._talk = talk
        status = 201 if talk.creates else 200
        self._pipe = Framed(request, status) if talk.stream.framed else Unframed(request, status)
        self._out = Slicer(self._pipe, talk.stream.cut_every)

    async def run(self) -> web.StreamResponse:
        steps = opening(self._talk.stream, self._talk.creates)
        await self._pipe.begin()
        for index, step in enumerate(steps):
            await self._take(step, last=index == len(steps) - 1)
        await self._out.flush()
        self._settle()
        await self._pipe.end()
        return self._pipe.response

    async def _take(self, step: Step, last: bool) -> None:
        match step:
            case Gate(event):
                await self._out.flush()
                await event.wait()
            case Commit():
                self._truth.commit(self._talk)
            case Reset():
                await self._out.flush()
                self._settle()
                reset(self._request)
                raise ConnectionResetError
            case _:
                await self._say(step, last)

    async def _say(self, step: Line, last: bool) -> None:
        if isinstance(step, Complete):
            self._truth.commit(self._talk)
        if isinstance(step, Error):
            self._truth.void(self._talk)
        data = step.line(self._talk)
        newline = getattr(step, "newline", True) and (not last or self._talk.stream.last_newline)
        self._talk.sent += [line for line in data.split(b"\n") if line.strip()]
        await self._out.write(data + b"\n" if newline else data)

    def _settle(self) -> None:
        """The stream is over: what was not committed is void, and the lock opens before the client can see the end."""
        self._talk.ended = True
        self._talk.conversation.locked = False
        if not self._talk.committed:
            self._truth.void(self._talk)
