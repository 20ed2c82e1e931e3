"""One HTTP connection, as aiohttp (3.14.5) makes it, but for its errors and its end (see `_internals.py`).

aiohttp answers what its parser refuses, and what a handler raises, in words of its own, and logs a traceback with a
piece of the request. Here each is answered with a problem document. `test_malformed.py` and `test_half_closed.py` of
tests/edges/http must notice if aiohttp changes there.
"""

from collections.abc import Callable, Mapping

from aiohttp import web

from bridge.core.event.inbound_message import NO_HEADERS
from bridge.core.webhook import problem
from bridge.core.webhook.problem import Problem
from bridge.edges.http._internals import RequestProtocol

KEEPALIVE_S = 75.0
LINGER_S = 1.0
"""How long a body that nobody wants is read on, so that the sender gets to see its answer."""
SERVER = "amigo-bridge"

Malformed = Callable[[Problem, str], None]


class Connection(RequestProtocol):
    """The protocol of one connection. `malformed` is told what was no HTTP, and from which address it came."""

    __slots__ = ("_malformed",)

    def __init__(self, server: web.Server, malformed: Malformed) -> None:
        super().__init__(server, KEEPALIVE_S, LINGER_S)
        self._malformed = malformed

    def answer_to_error(self, status: int, *, too_long: bool, peer: str) -> web.Response:
        """A problem document."""
        if status >= 500:
            return document(problem.of_status(status))
        refusal = problem.malformed(too_long=too_long)
        self._malformed(refusal, peer)
        return document(refusal)


def response(
    body: bytes, content_type: str, status: int = 200, headers: Mapping[str, str] = NO_HEADERS
) -> web.Response:
    """Every answer is made here, so that none tells aiohttp's version."""
    return web.Response(body=body, status=status, headers={"Content-Type": content_type, "Server": SERVER, **headers})


def document(refusal: Problem) -> web.Response:
    """The problem document as a response."""
    return response(refusal.document, problem.CONTENT_TYPE, refusal.status, refusal.headers)
