"""The operators' listener: `/admin/…` with a bearer token, and `/metrics` and the whole `/readyz` without one.

GET  /admin/status     viewer, operator      every replica that answers
POST /admin/pause      operator              {"scope", "name", "reason", "for"}
POST /admin/resume     operator              {"scope", "name"}

A token is taken from the header `Authorization` alone, and compared in constant time. Ten wrong ones a minute from one
address, and it has to wait.
"""

import asyncio
import hmac
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson
from aiohttp import web

from bridge.core.control.access import FailedLogins, Role
from bridge.core.control.command import Command, CommandUnreadable, Verb, command_of
from bridge.core.webhook import problem
from bridge.core.webhook.client_address import Network, client_address
from bridge.core.webhook.problem import Problem
from bridge.edges.http.connection_limit import ConnectionLimit
from bridge.edges.http.listener import HttpListener
from bridge.edges.http.protocol import document
from bridge.edges.http.server import READING, HealthPages, json_response
from bridge.flow.ports.control import Replica, Replicas
from bridge.flow.ports.runtime import SparseLog

ADMIN = "/admin/"
VERBS = {verb.value: verb for verb in Verb}
MAX_BODY_BYTES, BODY_S = 16 * 1024, 10.0
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="amigo-bridge"'}


@dataclass(frozen=True, slots=True)
class AdminToken:
    """A token, the name by which the log tells it, and what it lets its bearer do."""

    name: str
    token: str
    role: Role

    def __repr__(self) -> str:
        return f"AdminToken({self.name!r}, {self.role.value})"


class AdminDoor:
    """Lets in who bears a token."""

    def __init__(self, tokens: Sequence[AdminToken], trusted: Sequence[Network], refusal_log: SparseLog) -> None:
        self._tokens = tokens
        self._trusted = trusted
        self._failed = FailedLogins()
        self._refusal_log = refusal_log

    def admitted(self, request: web.BaseRequest) -> AdminToken:
        """The token of the request. Raises Problem (401, 429)."""
        now_s = asyncio.get_running_loop().time()
        peer = request.remote or ""
        address = client_address(peer, request.headers.getall("X-Forwarded-For", ()), self._trusted)
        wait_s = self._failed.wait_s(address, now_s)
        if wait_s:
            headers = {"Retry-After": str(math.ceil(wait_s))}
            raise Problem(429, "login", "Too many wrong tokens from this address.", headers)
        borne = _bearer(request.headers.getall("Authorization", ()))
        if borne is None:
            raise Problem(401, "token", "A bearer token is needed, in the header Authorization.", CHALLENGE)
        matching = [each for each in self._tokens if hmac.compare_digest(each.token.encode(), borne)]  # all, always
        if not matching:
            self._failed.failed(address, now_s)
            self._refusal_log.warning("admin.refused", client=address)
            raise Problem(401, "token", "The token is not one of the bridge's.", CHALLENGE)
        return matching[0]


class AdminServer:
    """The listener. Use as an async context manager."""

    def __init__(
        self, host: str, port: int, pages: HealthPages, door: AdminDoor, replica: Replica, replicas: Replicas
    ) -> None:
        self._pages = pages
        self._door = door
        self._replica = replica
        self._replicas = replicas
        self._listener = HttpListener(host, port, self._handle, ConnectionLimit())

    @property
    def port(self) -> int:
        """The port that is listened on, once it is."""
        return self._listener.port

    async def __aenter__(self) -> "AdminServer":
        await self._listener.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._listener.close()

    async def _handle(self, request: web.BaseRequest) -> web.Response:
        if not request.path.startswith(ADMIN):
            return self._pages.response(request.path, request.method)
        try:
            token = self._door.admitted(request)
            verb = VERBS.get(request.path.removeprefix(ADMIN))
            if verb is None:
                raise problem.of_status(404)
            return await self._steered(await _command(request, verb, token.role), token)
        except Problem as refusal:
            return _unkept(document(refusal))

    async def _steered(self, command: Command, token: AdminToken) -> web.Response:
        by = f"token {token.name}"
        own = await self._replica.obey(command, by)
        others = [] if "error" in own else await self._replicas.tell(command, by)
        trouble = self._replicas.trouble
        body: dict[str, object] = {"replicas": [own, *others]}
        if trouble is not None:
            body["only_this_replica"] = trouble
        return json_response(body, 503 if "error" in own else 200)


async def _command(request: web.BaseRequest, verb: Verb, role: Role) -> Command:
    """The command of a request, if its token may give it. Raises Problem."""
    allowed = READING if verb is Verb.STATUS else ("POST",)
    if request.method not in allowed:
        raise problem.of_status(405, {"Allow": ",".join(allowed)})
    if verb is Verb.STATUS:
        return Command(verb)
    if role is not Role.OPERATOR:
        raise Problem(403, "role", "A viewer may look, and change nothing.")
    fields = _object(await _body(request))
    try:
        return command_of({**fields, "command": verb.value})
    except CommandUnreadable as error:
        raise Problem(422, "command", str(error)) from None


def _object(body: bytes) -> Mapping[str, object]:
    """The JSON object in a body. Raises Problem (400)."""
    try:
        fields = orjson.loads(body or b"{}")
    except orjson.JSONDecodeError:
        fields = None
    if not isinstance(fields, dict):
        raise Problem(400, "body", "The body is not a JSON object.")
    return fields


async def _body(request: web.BaseRequest) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            while part := await request.content.readany():
                body += part
                if len(body) > MAX_BODY_BYTES:
                    raise problem.too_large(MAX_BODY_BYTES)
    except TimeoutError:
        raise problem.too_slow(BODY_S) from None
    return bytes(body)


def _bearer(values: Sequence[str]) -> bytes | None:
    """The token of the one `Authorization: Bearer`; None where there is none, or another scheme."""
    if len(values) != 1:
        return None
    scheme, _, token = values[0].partition(" ")
    return token.strip().encode("utf-8", "surrogateescape") if scheme.lower() == "bearer" and token.strip() else None


def _unkept(refusal: web.Response) -> web.Response:
    """The refusal. Its body may be unread, and the connection can then carry no further request."""
    refusal.force_close()
    return refusal
