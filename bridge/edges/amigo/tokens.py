"""Signing in: a token for each user, kept until shortly before it expires, asked for once at a time."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf

from bridge.core.delivery.token_lifetime import ClockFault, clock_fault, span_s, use_for_s
from bridge.core.errors import ApiError, Lost, NotSent, Refused, SignInRefused, Unavailable, UnknownUser
from bridge.core.secret import bearer_token
from bridge.edges.amigo import response
from bridge.edges.amigo.client import Call, Credentials, HttpClient
from bridge.flow.ports.runtime import Clock, Log

MAX_USERS = 10_000


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token, and until when (monotonic seconds) it is used; it is never shown."""

    text: str
    use_until_s: float

    def __repr__(self) -> str:
        return "Token(***)"


class Tokens:
    """The tokens of up to `max_users` users, the least recently used forgotten first.

    `clock` is this machine's wall clock; it decides nothing. `ahead_s` is by how much it was ahead of the API's at the
    last sign-in, None while that is not known.
    """

    def __init__(
        self,
        client: HttpClient,
        credentials: Credentials,
        *,
        clock: Clock = time.time,
        monotonic: Clock = time.monotonic,
        log: Log | None = None,
        max_users: int = MAX_USERS,
    ) -> None:
        self.ahead_s: float | None = None
        self._dated: tuple[float, float] | None = None
        """The API's time at the last sign-in that told it, and the monotonic time then."""
        self._client = client
        self._credentials = credentials
        self._clock = clock
        self._monotonic = monotonic
        self._log = log
        self._max_users = max_users
        self._warned = False
        self._tokens: OrderedDict[str, Token] = OrderedDict()
        self._asking: dict[str, asyncio.Task[Token]] = {}

    async def of(self, user_id: str) -> str:
        """A token for the user. Raises SignInRefused, UnknownUser, TooEarly or NotSent: the call itself is not made."""
        token = self._tokens.get(user_id)
        if token is not None and self._monotonic() < token.use_until_s:
            self._tokens.move_to_end(user_id)
            return token.text
        task = self._asking.get(user_id)
        if task is None:
            task = self._asking[user_id] = asyncio.create_task(self._ask(user_id))
            task.add_done_callback(lambda done: self._asked(user_id, done))
        return (await asyncio.shield(task)).text

    def told_s(self) -> float | None:
        """The API's time now (Unix seconds) or a little less, whatever this machine's wall clock does meanwhile."""
        return None if self._dated is None else self._dated[0] + self._monotonic() - self._dated[1]

    def drop(self, user_id: str, text: str) -> None:
        """Forget a token that the API did not accept, unless a newer one has taken its place."""
        token = self._tokens.get(user_id)
        if token is not None and token.text == text:
            del self._tokens[user_id]

    async def verify(self) -> None:
        """Sign in anew as the bridge's own user, if it has one. Raises SignInRefused where that is refused."""
        user_id = self._credentials.user_id
        if user_id is not None:
            self._tokens.pop(user_id, None)
            await self.of(user_id)

    def _asked(self, user_id: str, task: asyncio.Task[Token]) -> None:
        del self._asking[user_id]
        if task.cancelled() or task.exception() is not None:
            return
        self._tokens[user_id] = task.result()
        self._tokens.move_to_end(user_id)
        if len(self._tokens) > self._max_users:
            self._tokens.popitem(last=False)

    async def _ask(self, user_id: str) -> Token:
        try:
            answer, dated_s = await self._client.send_dated(self._call(user_id))
        except Refused as error:
            raise await self._meaning(user_id, error) from None
        except (Lost, Unavailable) as error:
            raise NotSent(str(error)) from None
        return self._token(answer, dated_s)

    def _token(self, answer: object, dated_s: float | None) -> Token:
        if not isinstance(answer, dict) or not isinstance(answer.get("id_token"), str):
            raise NotSent("sign-in: the answer has no id_token")
        try:
            text = bearer_token(answer["id_token"])
        except ValueError as error:
            raise NotSent(f"sign-in: the id_token of the answer cannot be sent: {error}") from None
        expires_s, now_s = response.until(answer.get("expires_at")), self._clock()
        if dated_s is not None:
            self.ahead_s, self._dated = now_s - dated_s, (dated_s, self._monotonic())
        self._warn(clock_fault(now_s, dated_s, expires_s))
        lifetime_s = span_s(expires_s, dated_s)
        use_s = use_for_s(response.duration_s(answer.get("expires_in")) if lifetime_s is None else lifetime_s)
        return Token(text, inf if use_s is None else self._monotonic() + use_s)

    def _warn(self, fault: ClockFault | None) -> None:
        if fault is None or self._log is None or self._warned:
            return
        self._warned = True
        self._log.warning("clock.differs", error=fault.error, ahead_s=round(fault.ahead_s))

    async def _meaning(self, user_id: str, error: Refused) -> ApiError:
        """A refusal is the bridge's own fault, unless its own user can still sign in: then it is this user's."""
        if error.status >= 500:
            return NotSent(str(error))
        own = self._credentials.user_id
        if error.status != 401 or own is None or own == user_id:
            return SignInRefused(str(error))
        try:
            await self.verify()
        except ApiError as cause:
            return cause
        return UnknownUser(f"sign-in as {user_id!r} was refused: {error.text}")

    def _call(self, user_id: str) -> Call:
        headers: Mapping[str, str] = {
            "x-api-key": self._credentials.api_key,
            "x-api-key-id": self._credentials.api_key_id,
            "x-user-id": user_id,
        }
        issuer = self._credentials.token_organization_id
        path = "/user/signin_with_api_key"
        return Call("sign-in", "POST", path, user_id, headers=headers, organization_id=issuer)
