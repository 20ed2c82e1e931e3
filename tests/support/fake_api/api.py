"""The fake API's server: signs users in, and hands each call to the truth as the script of the test says."""

import asyncio
import json
import time
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import formatdate

from aiohttp import web

from tests.support.fake_api import rules
from tests.support.fake_api.reading import ReadAhead
from tests.support.fake_api.script import Answer, Cut, Refusal, answer
from tests.support.fake_api.speaking import Speaking
from tests.support.fake_api.stream import reset
from tests.support.fake_api.truth import Call, Truth

ORGANIZATION = "acme"
ADMIN = "bridge-bot"

Handler = Callable[[web.Request, Call], Awaitable[web.StreamResponse]]


class FakeApi:
    """Start it, script it, look at `truth`. Everything runs in the test's own event loop."""

    def __init__(self, api_key: str, api_key_id: str, port: int) -> None:
        self.api_key, self.api_key_id = api_key, api_key_id
        self.truth = Truth()
        self.violations: list[str] = []
        self.sign_ins: list[str] = []
        self.keys_accepted = True
        # What the role may not see: "conversations" or "messages"; the API then shows an empty list, not 403.
        self.hidden: set[str] = set()
        self.sign_in_gate = asyncio.Event()
        self.sign_in_gate.set()
        self.default: Answer = answer("Good ", "day ", "to you.")
        self.port = port
        self._answers: defaultdict[str, deque[Answer]] = defaultdict(deque)
        self._always: dict[str, Answer] = {}
        self._faults: defaultdict[str, deque[Refusal | Cut]] = defaultdict(deque)
        self._outage: Refusal | None = None
        self.token_life_s = 3600.0
        # How far its clock is ahead of this machine's, which is as if this one's were behind; and how it writes times.
        self.ahead_s = 0.0
        self.dress_expiry: Callable[[str], str] = str
        self.dress_token: Callable[[str], str] = str
        self._tokens: dict[str, tuple[str, float]] = {}
        self._issued = 0
        self._speaking = Speaking(self)
        self._reading = ReadAhead(self)
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    # --- what tests say

    def script(self, key: str, *answers: Answer) -> None:
        """The next attempts at this message text (or of this user, for agent-first) get these answers in turn."""
        self._answers[key].extend(answers)

    def always(self, key: str, what: Answer) -> None:
        self._always[key] = what

    def fault(self, op: str, *faults: Refusal | Cut) -> None:
        """The next calls of this operation fail so, in turn."""
        self._faults[op].extend(faults)

    def refuse_all(self, refusal: Refusal | None) -> None:
        """Everything is refused so, sign-in and probes too, until it is taken back with None."""
        self._outage = refusal

    def expire_tokens(self) -> None:
        self._tokens.clear()

    def finish(self, conversation_id: str) -> None:
        self.truth.conversations[conversation_id].finished = True

    def settle_late(self) -> None:
        self._speaking.settle_late()

    # --- its life

    async def start(self) -> None:
        app = web.Application(client_max_size=16 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._handle)
        app.on_response_prepare.append(self._date)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()

    async def _date(self, request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Date"] = formatdate(time.time() + self.ahead_s, usegmt=True)

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    # --- what its rooms ask

    def next_answer(self, text: str | None, user: str) -> Answer:
        for key in (text, user):
            if key is not None and self._answers[key]:
                return self._answers[key].popleft()
            if key is not None and key in self._always:
                return self._always[key]
        return self.default

    # --- one request

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        op, handler = self._door(request)
        call = Call(op, None, request.path, list(request.query.items()), dict(request.headers))
        self.truth.calls.append(call)
        try:
            response = await self._serve(request, call, handler)
            call.status = call.status or response.status
        except rules.InvalidError as error:
            self.violations.append(f"{op}: {error}")
            call.status = 422
            return problem(422, str(error))
        except ConnectionError:
            return web.Response()  # the connection is gone: nobody reads this
        else:
            return response
        finally:
            call.ended = time.monotonic()

    async def _serve(self, request: web.Request, call: Call, handler: Handler) -> web.StreamResponse:
        if self._outage is not None:
            return self.fail(request, self._outage)
        if handler in (self._sign_in, self._stranger, self._organization):
            return await handler(request, call)
        call.user = self._bearer(request)
        if call.user is None:
            return problem(401, "Invalid authorization credentials.")
        if self._faults[call.op]:
            return self.fail(request, self._faults[call.op].popleft())
        return await handler(request, call)

    def _bearer(self, request: web.Request) -> str | None:
        """The user whose token it is, while it lives."""
        user, until = self._tokens.get(request.headers.get("Authorization", "").removeprefix("Bearer "), (None, 0.0))
        return user if time.monotonic() < until else None

    def fail(self, request: web.Request, fault: Refusal | Cut) -> web.StreamResponse:
        if isinstance(fault, Refusal):
            return problem(fault.status, fault.detail, fault.headers)
        reset(request)
        raise ConnectionResetError

    def _door(self, request: web.Request) -> tuple[str, Handler]:
        match request.method, request.path.split("/")[1:]:
            case "POST", ["v1", "acme", "user", "signin_with_api_key"]:
                return "sign-in", self._sign_in
            case "GET", ["v1", "acme", "organization", ""]:
                return "organization", self._organization
            case "GET", ["v1", "acme", "service", ""]:
                return "services", self._reading.services
            case "POST", ["v1", "acme", "conversation", ""]:
                return "create", self._speaking.create
            case "GET", ["v1", "acme", "conversation", ""]:
                return "list", self._reading.conversations
            case "POST", ["v1", "acme", "conversation", _, "interact"]:
                return "interact", self._speaking.interact
            case "POST", ["v1", "acme", "conversation", _, "finish", ""]:
                return "finish", self._reading.finish
            case "GET", ["v1", "acme", "conversation", _, "messages", ""]:
                return "messages", self._reading.messages
            case "POST", ["v1", "acme", "conversation", _, "tags", ""]:
                return "tags", self._reading.tags
        return "stranger", self._stranger

    async def _stranger(self, request: web.Request, call: Call) -> web.StreamResponse:
        self.violations.append(f"no such operation: {request.method} {request.path}")
        return problem(404, "Not Found")

    async def _organization(self, request: web.Request, call: Call) -> web.StreamResponse:
        return web.json_response({"org_id": ORGANIZATION, "org_name": "Acme", "title": "Acme"})

    async def _sign_in(self, request: web.Request, call: Call) -> web.StreamResponse:
        user = call.user = request.headers.get("x-user-id")
        await self.sign_in_gate.wait()
        given = (request.headers.get("x-api-key"), request.headers.get("x-api-key-id"))
        if not self.keys_accepted or user is None or given != (self.api_key, self.api_key_id):
            return problem(401, "API key not found, is incorrect, or the requested user is not found.")
        if self._faults["sign-in"]:
            return self.fail(request, self._faults["sign-in"].popleft())
        self.sign_ins.append(user)
        self._issued += 1
        token = f"canary-token-{self._issued}"
        self._tokens[token] = (user, time.monotonic() + self.token_life_s)
        expires_at = (datetime.now(UTC) + timedelta(seconds=self.ahead_s + self.token_life_s)).isoformat()
        return web.json_response({"id_token": self.dress_token(token), "expires_at": self.dress_expiry(expires_at)})


def problem(status: int, detail: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(
        status=status, body=json.dumps({"detail": detail}), headers=headers, content_type="application/json"
    )
