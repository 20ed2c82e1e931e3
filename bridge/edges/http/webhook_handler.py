"""`POST /webhooks/{name}`: reads what comes within limits of size and time, and answers as the receiver says."""

import asyncio
from collections.abc import Sequence

from aiohttp import HttpVersion11, web

from bridge.core.webhook import problem
from bridge.core.webhook.client_address import Network, client_address
from bridge.core.webhook.problem import HttpAnswer, Problem
from bridge.core.webhook.signature import HttpRequest
from bridge.edges.http._internals import HttpProcessingError, encourage
from bridge.edges.http.protocol import document, response
from bridge.flow.ports.webhook import WebhookReceiver

BODY_S = 10.0
"""How long a body may take from its first byte to its last."""
MAX_HELD_BYTES = 64 * 1024 * 1024
"""The size of all bodies that are being read or wait for their confirms."""
BROKEN_OFF = (web.RequestPayloadError, HttpProcessingError, ConnectionError, asyncio.IncompleteReadError)


class WebhookHandler:
    """Handles webhooks for the HTTP server."""

    def __init__(
        self,
        receiver: WebhookReceiver,
        trusted_proxies: Sequence[Network] = (),
        *,
        body_s: float = BODY_S,
        held: "HeldBytes | None" = None,
    ) -> None:
        self._held = held or HeldBytes()
        self._receiver = receiver
        self._trusted = trusted_proxies
        self._body_s = body_s

    def malformed(self, refusal: Problem, peer: str) -> None:
        """Something came that is no HTTP."""
        self._receiver.refused("", refusal, peer)

    async def handle(self, name: str, request: web.BaseRequest) -> web.Response:
        """The answer to a request for the webhook of this name."""
        try:
            return _answered(await self._taken(name, request))
        except Problem as refusal:
            self._receiver.refused(name, refusal, self._client(request))
            return _refused(refusal, unread=not request.content.at_eof())

    async def _taken(self, name: str, request: web.BaseRequest) -> HttpAnswer:
        headers: dict[str, list[str]] = {}
        for header, value in request.headers.items():
            headers.setdefault(header.lower(), []).append(value)
        query = request.raw_path.partition("?")[2]
        hook = HttpRequest(headers, query=query)
        source = self._receiver.admit(name, request.method, hook)
        if (request.content_length or 0) > source.max_bytes:
            raise problem.too_large(source.max_bytes)
        if "expect" in headers:
            await _encourage(request, headers["expect"])
        held = HeldShare(self._held)
        try:
            hook.body = await _body(request, source.max_bytes, self._body_s, held)
            return await self._receiver.take(source, hook)
        finally:
            held.give_back()

    def _client(self, request: web.BaseRequest) -> str:
        return client_address(request.remote or "", request.headers.getall("X-Forwarded-For", ()), self._trusted)


class HeldBytes:
    """Bytes that requests hold together, at most `most`."""

    __slots__ = ("_most", "size")

    def __init__(self, most: int = MAX_HELD_BYTES) -> None:
        self.size = 0
        self._most = most

    def add(self, size: int) -> None:
        """Hold so many more. Raises Problem (503) where that is too much."""
        self.size += size
        if self.size > self._most:
            raise problem.too_busy()

    def give_back(self, size: int) -> None:
        """Hold so many no longer."""
        self.size -= size


class HeldShare:
    """One request's share of the bytes that all hold together. Give it back, whatever becomes of the request."""

    __slots__ = ("_all", "size")

    def __init__(self, all_held: HeldBytes) -> None:
        self.size = 0
        self._all = all_held

    def more(self, size: int) -> None:
        """The request holds so many more. Raises Problem (503) where all together hold too much."""
        self.size += size
        self._all.add(size)

    def give_back(self) -> None:
        """The request is over."""
        self._all.give_back(self.size)


async def _encourage(request: web.BaseRequest, wishes: Sequence[str]) -> None:
    """Tell a sender that waits for a word before it sends the body. Raises Problem (417) for any other wish."""
    if any(wish.lower() != "100-continue" for wish in wishes):
        raise problem.of_status(417)
    if request.version >= HttpVersion11:
        await encourage(request)


async def _body(request: web.BaseRequest, most: int, limit_s: float, held: HeldShare) -> bytes:
    """The whole body. Raises Problem for one that is too large, too slow, or breaks off."""
    body = bytearray()  # and not a list of pieces: a sender chooses how small they are
    try:
        if request.content.is_eof():  # it came with the headers
            held.more(len(whole := request.content.read_nowait()))
            if held.size > most:
                raise problem.too_large(most)
            return whole
        async with asyncio.timeout(limit_s):
            while part := await request.content.readany():
                held.more(len(part))
                if held.size > most:
                    raise problem.too_large(most)
                body += part
    except TimeoutError:
        raise problem.too_slow(limit_s) from None
    except BROKEN_OFF:
        raise problem.broken_off() from None
    return bytes(body)


def _answered(answer: HttpAnswer) -> web.Response:
    return response(answer.body, answer.content_type, answer.status, answer.headers)


def _refused(refusal: Problem, *, unread: bool) -> web.Response:
    """The problem document. A connection whose body was not read to its end can carry no further request."""
    answer = document(refusal)
    if unread:
        answer.force_close()
    return answer
