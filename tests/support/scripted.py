"""An HTTP server written byte by byte: it says exactly what a script says, and breaks off where the script does."""

import asyncio
import json
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

SIGN_IN = "/user/signin_with_api_key"
TOKEN_LIFE = "2999-01-01T00:00:00Z"


@dataclass(frozen=True)
class Request:
    """One request as it came over the wire; header names in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path.removeprefix("/v1/acme")

    @property
    def raw_query(self) -> str:
        return urlsplit(self.target).query

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(self.raw_query, keep_blank_values=True))

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Talk:
    """One request being answered: what is written is sent at once."""

    def __init__(self, request: Request, writer: asyncio.StreamWriter) -> None:
        self.request = request
        self.keep_alive = False
        self._writer = writer

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def answer(self, status: int, body: bytes | Any = b"", /, **headers: str) -> None:
        """A whole answer with a Content-Length; what is not bytes is written as JSON."""
        await self.send(whole(status, body, **headers))
        self.keep_alive = True

    def reset(self) -> None:
        """RST instead of FIN."""
        link: socket.socket = self._writer.get_extra_info("socket")
        link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def hang(self) -> None:
        """Say nothing more until the other side has had enough."""
        await asyncio.Event().wait()


Script = Callable[[Talk], Awaitable[None]]


class ScriptedServer:
    """Listens on a free port. `requests` are all that came, `links` the connections that are open.

    What a script raises is raised again when the server is closed.
    """

    def __init__(self, script: Script) -> None:
        self.requests: list[Request] = []
        self.links: set[asyncio.StreamWriter] = set()
        self.connections = 0
        self._failures: list[Exception] = []
        self.script = script
        self._server: asyncio.Server | None = None
        self.tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def of(self, path: str) -> list[Request]:
        """The requests for this path."""
        return [request for request in self.requests if request.path == path]

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._linked, "127.0.0.1", self.port, backlog=2048)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        for writer in list(self.links):
            writer.transport.abort()
        await self._server.wait_closed()
        for failure in self._failures:
            raise failure

    async def _linked(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        self.links.add(writer)
        self.connections += 1
        try:
            await self._serve(reader, writer)
        except (ConnectionError, asyncio.CancelledError, asyncio.IncompleteReadError):
            pass  # the client has gone, or the test is over
        except Exception as error:
            self._failures.append(error)
        finally:
            self.tasks.discard(task)
            self.links.discard(writer)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (request := await _read(reader)) is not None:
            self.requests.append(request)
            talk = Talk(request, writer)
            await self._or_gone(self.script(talk), reader, writer)
            if not talk.keep_alive:
                return

    @staticmethod
    async def _or_gone(answering: Awaitable[None], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Run the script, and stop it when the client closes the connection."""
        running = asyncio.ensure_future(answering)
        gone = asyncio.ensure_future(_gone(reader, writer))
        try:
            await asyncio.wait((running, gone), return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                raise ConnectionResetError
            running.result()
        finally:
            for task in (running, gone):
                task.cancel()
            await asyncio.gather(running, gone, return_exceptions=True)


async def _gone(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Return when the connection is closed; what the client sends meanwhile stays in the reader."""
    while not reader.at_eof() and not writer.transport.is_closing():  # noqa: ASYNC110 - a reader has no event for it
        await asyncio.sleep(0.01)


async def _read(reader: asyncio.StreamReader) -> Request | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, target, headers, body)


def head(status: int, **headers: str) -> bytes:
    """Status line and headers; underscores in names become hyphens."""
    lines = [f"HTTP/1.1 {status} Said", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def whole(status: int, body: bytes | Any = b"", /, **headers: str) -> bytes:
    """An answer with a Content-Length."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    length = {} if status in (204, 304) else {"Content_Length": str(len(data))}
    return head(status, **{"Content_Type": "application/json", **headers, **length}) + data


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


CHUNKED = head(201, Content_Type="application/x-ndjson", Transfer_Encoding="chunked")
LAST_CHUNK = b"0\r\n\r\n"


def token(text: str = "token", expires_at: str = TOKEN_LIFE) -> dict[str, str]:
    """What a sign-in is answered."""
    return {"id_token": text, "expires_at": expires_at}


def signing_in(script: Script) -> Script:
    """Signs everybody in, and leaves the rest to the script."""

    async def both(talk: Talk) -> None:
        if talk.request.path == SIGN_IN:
            await talk.answer(200, token(f"token of {talk.request.headers['x-user-id']}"))
        else:
            await script(talk)

    return both
