"""HTTP towards the API: one session, errors translated at the door, nothing sent twice that may not be.

No redirects, no proxies from the environment, no compression, and no cookies, for each call is in some user's name. No
total time limit on streams, an idle limit instead.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Self

import aiohttp
import orjson
from aiohttp.abc import AbstractResolver
from yarl import URL

from bridge.core import numbers
from bridge.core.delivery.rate_limits import NO_FIGURES, WINDOW_S, CallUnderWay
from bridge.core.errors import ApiError, Lost, NotSent, Refused, TooEarly, Unavailable, Unreadable
from bridge.core.value import value
from bridge.edges.amigo._internals import Connector, HttpProcessingError, StreamHandler, handler_of, read_available
from bridge.edges.amigo.outgoing import Params, address, check_headers, part
from bridge.edges.amigo.own_limits import OwnLimits
from bridge.edges.amigo.response import dated_s, error_text, limit_headers, retry_after_s
from bridge.flow.ports.limits import CallLimiter

KEEPALIVE_S = 10.0
MAX_ERROR_BYTES = 65_536
READ_BYTES = 262_144
ARRIVAL_S = 0.005
"""How long what the operating system has may take to us."""
BROKEN = (aiohttp.ClientError, HttpProcessingError, OSError)
"""Errors of reading a stream that is cut."""
FOREIGN = (*BROKEN, TimeoutError, ValueError, TypeError, LookupError, RuntimeError)
"""Errors of aiohttp, yarl, the event loops and the resolver around a request; none goes past this door."""
UNREACHED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL, UnicodeError)
"""Before there is a connection. UnicodeError is the resolver's for a name that cannot be one."""
ERROR_S = 2.0
"""How long the words of an error may take to come; the status is enough."""
JSON = {"Content-Type": "application/json"}
UNFINISHED = "unfinished"
"""A word of the 400 for a user with another conversation; the API gives no code for it (docs/api-contract.md, 1.2)."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """The API's address, and who the bridge is there. The key never shows in a repr.

    `token_organization_id` is the organization that issues the tokens where that is another one (`X-ORG-ID`),
    `mongo_cluster` the name of a dedicated cluster (docs/api-contract.md, 1).
    """

    base_url: str
    organization_id: str
    api_key_id: str
    api_key: str
    user_id: str | None = None
    token_organization_id: str | None = None
    mongo_cluster: str | None = None

    def __repr__(self) -> str:
        return f"Credentials({self.base_url!r}, {self.organization_id!r}, user_id={self.user_id!r})"


@value(frozen=True, slots=True)
class Call:
    """One request. `operation` names it in errors and for the rate limits; `user_id` is whose limits it counts on.

    `path` follows `/v1/{organization}`; without `organization_id` it is the organization of the credentials. `exact`
    leaves the numbers of the answer as they were written (see `core.numbers`). `probe`: whoever asks wants to know soon
    that nobody answers.
    """

    operation: str
    method: str
    path: str
    user_id: str
    params: Params | None = None
    headers: Mapping[str, str] | None = field(default=None, repr=False)
    body: bytes | None = field(default=None, repr=False)
    stream: bool = False
    organization_id: str | None = None
    exact: bool = False
    probe: bool = False


@dataclass(frozen=True, slots=True)
class CallLimits:
    """Seconds that a call may take: `control_s` for all of one that is no stream.

    `connect_s` is for one try at a name's addresses, which race, each starting a quarter of a second after the one
    before it. `reach_s` is from the name to a connection, looking the name up included. `probe_reach_s` and `probe_s`
    are the same, and all, for a probe.
    """

    connect_s: float = 10.0
    reach_s: float = 25.0
    control_s: float = 30.0
    probe_reach_s: float = 3.0
    probe_s: float = 10.0


USUAL_LIMITS = CallLimits()


class HttpClient:
    """Makes calls and translates what comes of them. Use as an async context manager."""

    def __init__(
        self,
        credentials: Credentials,
        idle_s: float,
        resolver: AbstractResolver | None = None,
        limits: CallLimits = USUAL_LIMITS,
        limiter: CallLimiter | None = None,
    ) -> None:
        """`idle_s`: how long a stream may be silent. Without a `limiter` calls wait only where the API said so."""
        self._credentials = credentials
        self._resolver = resolver
        self._headers = {"Accept-Encoding": "identity", "User-Agent": "amigo-bridge"}
        if credentials.mongo_cluster is not None:
            self._headers["x-mongo-cluster-name"] = credentials.mongo_cluster
        self._secrets = tuple(secret for secret in (credentials.api_key,) if secret)
        self._limiter = OwnLimits(NO_FIGURES) if limiter is None else limiter
        self._stream_timeout = _timeout(limits, total_s=None, silent_s=idle_s)
        self._control_timeout = _timeout(limits, total_s=limits.control_s, silent_s=None)
        self._probe_timeout = _timeout(
            replace(limits, connect_s=limits.probe_reach_s, reach_s=limits.probe_reach_s),
            total_s=limits.probe_s,
            silent_s=None,
        )
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "HttpClient":
        self._session = aiohttp.ClientSession(
            connector=Connector(KEEPALIVE_S, self._resolver),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=self._headers,
            trust_env=False,
            read_bufsize=READ_BYTES,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def send(self, call: Call, headers: Mapping[str, str] | None = None) -> object:
        """The decoded JSON of a 2xx answer, None for an empty one; see `open`."""
        return (await self.send_dated(call, headers))[0]

    async def send_dated(self, call: Call, headers: Mapping[str, str] | None = None) -> tuple[object, float | None]:
        """The same, and when it was answered by the API's own clock (Unix seconds), where it says so."""
        async with await self.open(call, headers) as response:
            body = await self._read(call, response)
        try:
            read = numbers.loads if call.exact else orjson.loads
            return (read(body) if body else None), dated_s(response.headers)
        except ValueError:
            raise Unreadable(f"{call.operation}: the answer is not JSON") from None

    async def open(self, call: Call, headers: Mapping[str, str] | None = None) -> aiohttp.ClientResponse:
        """The answer to a call, once it is known to be a 2xx one; a context manager that lets its connection go.

        `headers` are sent in place of the call's own. Raises what `core.errors` names.
        """
        if self._session is None:
            raise NotSent(f"{call.operation}: the client is closed")
        headers = call.headers if headers is None else headers
        url = self._url(call)
        check_headers(call.operation, headers)
        admitted = await self._limiter.admit(call.user_id, call.operation)
        response = await self._requested(self._session, call, admitted, url, headers)
        wait_s, status = retry_after_s(response.headers), response.status
        if status == 429 and wait_s is None:
            wait_s = WINDOW_S * (1 + secrets.randbelow(100) / 1000)
        refused_s = wait_s if status == 429 else None
        self._limiter.answered(admitted, limit_headers(response.headers), refused_s=refused_s)
        if not 200 <= status < 300:
            async with response:
                words = error_text(await _error_body(response), (*self._secrets, *_secrets_in(headers)))
                raise _refusal(call, status, words, wait_s)
        return response

    async def _requested(
        self,
        session: aiohttp.ClientSession,
        call: Call,
        admitted: CallUnderWay,
        url: URL,
        headers: Mapping[str, str] | None,
    ) -> aiohttp.ClientResponse:
        try:
            return await session.request(
                call.method,
                url,
                headers=headers,
                data=call.body,
                timeout=self._timeout_of(call),
                allow_redirects=False,
            )
        except FOREIGN as error:
            failure = _translated(call, error, sent=False)
            if isinstance(failure, NotSent):
                self._limiter.unmade(admitted)
            else:
                self._limiter.lost(admitted)
            raise failure from None
        except BaseException:
            self._limiter.lost(admitted)
            raise

    def _timeout_of(self, call: Call) -> aiohttp.ClientTimeout:
        if call.stream:
            return self._stream_timeout
        return self._probe_timeout if call.probe else self._control_timeout

    def _url(self, call: Call) -> URL:
        organization_id = call.organization_id or self._credentials.organization_id
        path = f"/v1/{part(organization_id)}{call.path}"
        return address(call.operation, self._credentials.base_url, path, call.params)

    @staticmethod
    async def _read(call: Call, response: aiohttp.ClientResponse) -> bytes:
        try:
            return await response.read()
        except FOREIGN as error:
            raise _translated(call, error, sent=True) from None


class Chunks:
    """The chunks of an answer's body; see the port `Stream`. Raises Lost at a cut."""

    __slots__ = ("_call", "_content", "_held", "_response")

    def __init__(self, call: Call, response: aiohttp.ClientResponse) -> None:
        self._call = call
        self._response = response
        self._content = response.content
        self._held: StreamHandler | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        self._let_go()
        try:
            chunk = await read_available(self._content)
        except BROKEN as error:
            raise _translated(self._call, error, sent=True) from None
        if not chunk:
            raise StopAsyncIteration
        return chunk

    async def gathered(self, until: Awaitable[object]) -> bytes:
        """See the port. What has failed by then is raised where the next chunk is asked for."""
        self._hold()
        await until
        self._let_go()
        try:
            async with asyncio.timeout(ARRIVAL_S):
                return await read_available(self._content)
        except (*BROKEN, TimeoutError):
            return b""

    def _hold(self) -> None:
        """A connection that has given all of the answer may be somebody else's already."""
        handler = handler_of(self._response)
        if handler is not None:
            handler.hold()
            self._held = handler

    def _let_go(self) -> None:
        if self._held is not None:
            self._held.let_go()
            self._held = None


def _refusal(call: Call, status: int, words: str, wait_s: float | None) -> ApiError:
    """The error that an answer other than 2xx means."""
    if status == 429 and wait_s is not None:
        return TooEarly(f"{call.operation} was answered 429: {words}", wait_s)
    if status == 503:
        return Unavailable(f"{call.operation} was answered 503: {words}")
    return Refused(call.operation, status, words, wait_s, unfinished=UNFINISHED in words)


def _timeout(limits: CallLimits, *, total_s: float | None, silent_s: float | None) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(
        total=total_s, connect=limits.reach_s, sock_connect=limits.connect_s, sock_read=silent_s
    )


async def _error_body(response: aiohttp.ClientResponse) -> bytes:
    parts: list[bytes] = []
    left = MAX_ERROR_BYTES
    with suppress(*FOREIGN):
        async with asyncio.timeout(ERROR_S):
            while left > 0 and (part := await response.content.read(left)):
                parts.append(part)
                left -= len(part)
    return b"".join(parts)


def _secrets_in(headers: Mapping[str, str] | None) -> tuple[str, ...]:
    token = (headers or {}).get("Authorization", "").removeprefix("Bearer ")
    return (token,) if token else ()


def _translated(call: Call, error: Exception, *, sent: bool) -> ApiError:
    """`sent`: part of an answer had come, so the request had been received."""
    kind = NotSent if isinstance(error, UNREACHED) and not sent else Lost
    if isinstance(error, aiohttp.SocketTimeoutError):
        return kind(f"{call.operation}: nothing was heard for longer than the idle limit")
    return kind(f"{call.operation}: {type(error).__name__}: {' '.join(str(error).split())[:200]}")
