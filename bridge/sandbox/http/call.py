"""One call of an operation: who asks for what, and in whose name."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import orjson
from aiohttp import web

from bridge.sandbox.http.interact_form import CONTENT_TYPE, Part, read_parts
from bridge.sandbox.http.observer import SentAnswer
from bridge.sandbox.http.refusal import (
    BODY_TIMED_OUT,
    FORBIDDEN,
    NO_CONVERSATION,
    Problems,
    Refusal,
)
from bridge.sandbox.script.fault import Fault, Seen
from bridge.sandbox.state.journal import Entry
from bridge.sandbox.state.rows import Conversation, User
from bridge.sandbox.state.state import State


@dataclass(frozen=True)
class Operation:
    """A row of the contract's table of operations; ``path`` follows ``/v1/{organization}``.

    ``per_minute`` 0 = no limit; ``secured`` is ``token``, ``key`` (sign-in) or ``open``.
    """

    id: str
    method: str
    path: str
    per_minute: int
    handler: "Callable[[Call], Awaitable[web.StreamResponse]]"
    secured: str = "token"


@dataclass
class Call:
    """A request that was read completely. ``user`` is known once the gate let it through."""

    state: State
    operation: Operation
    request: web.Request
    entry: Entry
    body: bytes
    parts: list[Part] | None
    faults: list[Fault] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    known_user: User | None = None

    @property
    def org_id(self) -> str:
        return self.request.match_info["organization"]

    @property
    def user(self) -> User:
        if self.known_user is None:
            raise Refusal(403, FORBIDDEN)
        return self.known_user

    @property
    def message(self) -> str:
        """The text that the call tells the agent, as far as it can be read; empty where it tells nothing."""
        if self.parts is not None:
            recorded = [part.content for part in self.parts if part.name == "recorded_message"]
            return recorded[-1].decode("utf-8", "replace") if recorded else ""
        return str(self._json().get("initial_message") or "")

    def observed(self, status: int, content: bytes = b"", lines: tuple[bytes, ...] = ()) -> None:
        """Tells the observer what is about to be answered."""
        asked_for = tuple(fault.kind for fault in self.faults)
        self.state.observer.answered(SentAnswer(self.operation.id, status, content, lines, asked_for))

    def may(self, permission: str) -> bool:
        return permission not in self.user.denied

    def require(self, *permissions: str) -> None:
        """403 where one of the permissions is denied to the user."""
        if not all(self.may(permission) for permission in permissions):
            raise Refusal(403, FORBIDDEN)

    def conversation(self, not_found: str = NO_CONVERSATION) -> Conversation:
        """The conversation of the path: 404 where there is none, 403 where it is hidden from the user."""
        found = self.state.store.find(self.org_id, self.request.match_info["conversation_id"])
        if found is None:
            raise Refusal(404, not_found)
        if not self.sees(found):
            raise Refusal(403, FORBIDDEN)
        return found

    def sees(self, conversation: Conversation) -> bool:
        return not self.user.own_only or conversation.user_id == self.user.user_id

    def seen(self) -> Seen:
        """The facts that decide about the call's faults."""
        request, tags, service = self.request, {}, ""
        found = self.state.store.find(self.org_id, request.match_info.get("conversation_id", ""))
        if found is not None:
            tags, service = dict(found.tags), found.service_id
        elif self.parts is None:
            content = self._json()
            given = content.get("tags")
            tags = dict(given) if isinstance(given, dict) else {}
            service = str(content.get("service_id", ""))
        return Seen(self.operation.id, self.entry.user_id or "", service, self.message, tags, request.headers)

    def _json(self) -> dict[str, object]:
        try:
            content = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return {}
        return content if isinstance(content, dict) else {}


async def read_call(state: State, operation: Operation, request: web.Request) -> Call:
    """Reads the whole request, in time (408), and notes it in the journal."""
    entry = state.journal.add(_entry(state, operation, request))
    call = Call(state, operation, request, entry, b"", None)
    try:
        async with asyncio.timeout(state.options.body_timeout_s):
            if CONTENT_TYPE.fullmatch(request.headers.get("content-type", "")):
                call.parts = await read_parts(request)
            else:
                call.body = await request.read()
    except TimeoutError:
        entry.status = 408
        raise Refusal(408, BODY_TIMED_OUT) from None
    except ValueError as error:
        entry.status = 422
        problems = Problems()
        problems.add("multipart_invalid", ("body",), str(error))
        problems.settle()
    entry.text = call.message or None
    return call


def _entry(state: State, operation: Operation, request: web.Request) -> Entry:
    header = request.headers.get("authorization", "")
    user_id = request.headers.get("x-user-id") if operation.secured == "key" else state.tokens.peek(header)
    return Entry(
        number=0,
        at_ms=state.clock.now_ms(),
        operation=operation.id,
        method=request.method,
        path=request.path,
        query=request.query_string,
        org_id=request.match_info["organization"],
        user_id=user_id,
        conversation_id=request.match_info.get("conversation_id"),
    )
