"""All that the bridge uses of aiohttp's server beyond its documentation.

aiohttp closes a connection whose sender has ended its own direction, answered or not. Ending one direction is no
disconnect (RFC 9112, section 9.6): here the sender is answered all that it has asked, and then it is closed.
"""

import asyncio
from abc import abstractmethod
from collections.abc import Callable
from importlib import import_module, metadata

from aiohttp import StreamReader, web

from bridge.core.library import Library, ensure

AIOHTTP = Library(
    "aiohttp",
    "3.14.5",
    {
        "aiohttp.web:RequestHandler": (
            "_close",
            "_lingering_time",
            "_messages",
            "_waiter",
            "eof_received",
            "finish_response",
            "force_close",
            "handle_error",
        ),
        "aiohttp.web:Server": ("connections", "request_factory"),
        "aiohttp.abc:AbstractStreamWriter": ("output_size",),
        "aiohttp.web:BaseRequest": ("writer",),
        "aiohttp.http_exceptions": ("HttpProcessingError", "LineTooLong"),
    },
)
ensure(AIOHTTP, import_module, metadata.version)

from aiohttp.http_exceptions import HttpProcessingError, LineTooLong  # noqa: E402 - once it is known to be there

__all__ = ["AIOHTTP", "HttpProcessingError", "RequestProtocol", "encourage", "notice_requests"]


class RequestProtocol(web.RequestHandler):
    """The protocol of one connection, for a class that says how errors are answered."""

    __slots__ = ("_body_on_its_way", "_ended")

    def __init__(self, server: web.Server, keepalive_s: float, linger_s: float) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]
            keepalive_timeout=keepalive_s,
            lingering_time=linger_s,
            auto_decompress=False,
        )
        self._body_on_its_way: StreamReader | None = None
        self._ended = False

    @abstractmethod
    def answer_to_error(self, status: int, *, too_long: bool, peer: str) -> web.Response:
        """The answer to what the parser refused (400), or to a bug (500)."""

    def heard(self, body: StreamReader) -> None:
        """A request is about to be handled. `body` may be on its way still."""
        self._body_on_its_way = body

    def eof_received(self) -> bool:  # type: ignore[override]
        """The sender sends no more: true keeps the other direction open, for what has been asked and not answered."""
        if not self._messages:
            if self._waiter is not None:
                return False
            self._close = True  # after the request that is being handled
        self._ended = True
        last = self._messages[-1][1] if self._messages else self._body_on_its_way
        if last is not None and not last.is_eof():
            last.set_exception(web.RequestPayloadError("the sender ended before its body did"))
            self._lingering_time = 0.0  # there is nothing to be read on
        return True

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Sends the answer; the last one to a sender that sends no more says that it is the last."""
        self._body_on_its_way = None
        if self._ended and not self._messages:
            resp.force_close()
        return await super().finish_response(request, resp, start_time)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answers an error, and closes the connection then; a bug is logged by aiohttp."""
        if status >= 500:
            super().handle_error(request, status, exc, message)
        answer = self.answer_to_error(status, too_long=isinstance(exc, LineTooLong), peer=request.remote or "")
        answer.force_close()
        return answer


def notice_requests(server: web.Server, noticed: Callable[[object, StreamReader], None]) -> None:
    """Tell `noticed` of each request before it is handled: its connection, and its body."""
    make = server.request_factory

    def make_request(message: object, payload: StreamReader, protocol: object, *more: object) -> web.BaseRequest:
        noticed(protocol, payload)
        return make(message, payload, protocol, *more)  # type: ignore[arg-type]

    server.request_factory = make_request


async def encourage(request: web.BaseRequest) -> None:
    """Tell a sender that waits for a word before it sends the body to go on."""
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0  # or the answer would count as begun
