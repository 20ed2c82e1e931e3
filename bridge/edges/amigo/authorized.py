"""Calls in a user's name: the token, one sign-in more after a 401, resends, and pages of rows.

See docs/api-contract.md, 6.2.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from types import TracebackType
from typing import TypeVar

import aiohttp

from bridge.core.delivery.resend import resend_wait_s
from bridge.core.delivery.retry import RetryPolicy
from bridge.core.errors import ApiError, Lost, Refused, SignInRefused
from bridge.edges.amigo.client import Call, Chunks, Credentials, HttpClient
from bridge.edges.amigo.pages import Row, pages
from bridge.edges.amigo.tokens import MAX_USERS, Tokens
from bridge.flow.ports.runtime import Clock, Dice, Log

ONE_ATTEMPT = RetryPolicy(attempts=1)
"""For callers who try again by themselves: two layers of retries would multiply."""
MAX_PAGES = 1000

Answer = TypeVar("Answer")
SignedCall = Callable[[Call, Mapping[str, str]], Awaitable[Answer]]


class SignedClient:
    """Sends calls as their users. `policy` is about requests that may be sent again at once; the rest is raised."""

    def __init__(
        self,
        client: HttpClient,
        credentials: Credentials,
        policy: RetryPolicy,
        dice: Dice,
        *,
        clock: Clock = time.time,
        log: Log | None = None,
        max_users: int = MAX_USERS,
    ) -> None:
        """`max_users`: of so many users the tokens are kept."""
        self._client = client
        self._clock = clock
        self.tokens = Tokens(client, credentials, clock=clock, log=log, max_users=max_users)
        self._issuer = credentials.token_organization_id
        self._policy = policy
        self._dice = dice

    async def send(self, call: Call) -> object:
        """The decoded JSON of a 2xx answer, None for an empty one. Raises what `core.errors` names."""
        return await self._resent(call, self._client.send)

    async def send_unsigned(self, call: Call) -> object:
        """As `send`, for the one operation that needs no token."""
        return await self._client.send(call)

    async def now_s(self, user_id: str) -> float:
        """The time at the API (Unix seconds), told by the answer to a sign-in; where it tells none, this machine's."""
        if self.tokens.ahead_s is None:
            await self.tokens.of(user_id)
        return self._clock() - (self.tokens.ahead_s or 0.0)

    def stream(self, call: Call) -> "Streamed":
        """Inside the context, chunks of the body until the server's clean end; what was opened is never sent again."""
        return Streamed(call, lambda: self._resent(call, self._client.open))

    async def rows(self, call: Call, name: str, limit: int) -> AsyncIterator[Row]:
        """Every row of every page, once though it moved to the next page meanwhile. Raises Lost for what is no page."""
        paged = replace(call, params={**(call.params or {}), "limit": str(limit), "continuation_token": "0"})
        count = 0
        async for page in pages(self.send, paged, name):
            for row in page.rows:
                yield row
            count += 1
            if count == MAX_PAGES and page.more:
                raise Lost(f"{call.operation}: more than {MAX_PAGES} pages")

    async def _resent(self, call: Call, ask: SignedCall[Answer]) -> Answer:
        attempt = 0
        while True:
            attempt += 1
            try:
                return await self._signed(call, ask)
            except ApiError as error:
                wait_s = resend_wait_s(call.operation, error, attempt, self._policy, self._dice())
                if wait_s is None:
                    raise
            await asyncio.sleep(wait_s)

    async def _signed(self, call: Call, ask: SignedCall[Answer]) -> Answer:
        """A 401 precedes any processing, so the same request may be sent once more with a fresh token."""
        is_fresh = False
        while True:
            token = await self.tokens.of(call.user_id)
            try:
                return await ask(call, self._headers(call, token))
            except Refused as error:
                if error.status != 401:
                    raise
                if is_fresh:
                    raise SignInRefused(f"a fresh token was refused: {error}") from None
            self.tokens.drop(call.user_id, token)
            is_fresh = True

    def _headers(self, call: Call, token: str) -> Mapping[str, str]:
        headers = {**(call.headers or {}), "Authorization": f"Bearer {token}"}
        if self._issuer is not None:
            headers["X-ORG-ID"] = self._issuer
        return headers


class Streamed:
    """An answer that is read as it comes: entering sends the request, leaving lets the connection go."""

    __slots__ = ("_call", "_open", "_response")

    def __init__(self, call: Call, open_: Callable[[], Awaitable[aiohttp.ClientResponse]]) -> None:
        self._call = call
        self._open = open_

    async def __aenter__(self) -> Chunks:
        self._response = await self._open()
        return Chunks(self._call, self._response)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._response.__aexit__(kind, error, trace)
