"""One HTTP connection, as aiohttp (3.14.5) makes it, but for its errors and its end.

aiohttp answers what its parser refuses, and what a handler raises, in words of its own, and logs a traceback with a
piece of the request. `handle_error` is where it does so, and here each is answered with a problem document.

aiohttp closes a connection whose sender has ended its own direction, answered or not. Ending one direction is no
disconnect (RFC 9112, section 9.6): here the sender is answered all that it has asked, and then it is closed.

aiohttp documents neither: `test_malformed.py` and `test_half_closed.py` of tests/edges/http must notice
if that changes.
"""

import asyncio
from collections.abc import Callable, Mapping

from aiohttp import StreamReader, web
from aiohttp.http_exceptions import LineTooLong

from bridge.core.event.inbound_message import NO_HEADERS
from bridge.core.webhook import problem
from bridge.core.webhook.problem import Problem

KEEPALIVE_S = 75.0
LINGER_S = 1.0
"""How long a body that nobody wants is read on, so that the sender gets to see its answer."""
SERVER = "amigo-bridge"

Malformed = Callable[[Problem, str], None]


class Connection(web.RequestHandler):
    """The protocol of one connection. `malformed` is told what was no HTTP, and from which address it came."""

    __slots__ = ("_ended", "_malformed", "_reading")

    def __init__(self, server: web.Server, malformed: Malformed) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]
            keepalive_timeout=KEEPALIVE_S,
            lingering_time=LINGER_S,
            auto_decompress=False,
        )
        self._malformed = malformed
        self._reading: StreamReader | None = None
        self._ended = False

    def heard(self, body: StreamReader) -> None:
        """A request is about to be handled. `body` may be on its way still."""
        self._reading = body

    def eof_received(self) -> bool:  # type: ignore[override]
        """The sender sends no more: true keeps the other direction open, for what has been asked and not answered."""
        if not self._messages:
            if self._waiter is not None:
                return False
            self._close = True  # after the request that is being handled
        self._ended = True
        last = self._messages[-1][1] if self._messages else self._reading
        if last is not None and not last.is_eof():
            last.set_exception(web.RequestPayloadError("the sender ended before its body did"))
            self._lingering_time = 0.0  # there is nothing to be read on
        return True

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Sends the answer; the last one to a sender that sends no more says that it is the last."""
        self._reading = None
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
        """The answer to what the parser refused (400), or to a bug (500), which aiohttp logs; then it is closed."""
        if status < 500:
            refusal = problem.malformed(too_long=isinstance(exc, LineTooLong))
            self._malformed(refusal, request.remote or "")
        else:
            super().handle_error(request, status, exc, message)
            refusal = problem.of_status(status)
        answer = document(refusal)
        answer.force_close()
        return answer


def response(
    body: bytes, content_type: str, status: int = 200, headers: Mapping[str, str] = NO_HEADERS
) -> web.Response:
    """Every answer is made here, so that none tells aiohttp's version."""
    return web.Response(body=body, status=status, headers={"Content-Type": content_type, "Server": SERVER, **headers})


def document(refusal: Problem) -> web.Response:
    """The problem document as a response."""
    return response(refusal.document, problem.CONTENT_TYPE, refusal.status, refusal.headers)
