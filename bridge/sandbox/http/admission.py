"""The gate in front of every operation: faults, organization, token, rate limit; and what the router answers."""

import asyncio

from aiohttp import web

from bridge.sandbox.http.call import Call, Operation, read_call
from bridge.sandbox.http.client_connection import reset
from bridge.sandbox.http.observer import SentAnswer
from bridge.sandbox.http.rate_limiter import retry_after, too_many
from bridge.sandbox.http.refusal import (
    FORBIDDEN,
    MAINTENANCE,
    NO_ORGANIZATION,
    UNAUTHORISED,
    Refusal,
    json_response,
)
from bridge.sandbox.script.fault import AFTER, Fault, UnknownFault
from bridge.sandbox.state.state import WORLD

_TEXTS = {401: UNAUTHORISED, 403: FORBIDDEN, 503: MAINTENANCE}
_SLOW_S = 1.0


async def pass_gate(operation: Operation, request: web.Request) -> web.StreamResponse:
    """Answers one request; every refusal becomes its response here."""
    state = request.app[WORLD]
    try:
        call = await read_call(state, operation, request)
    except Refusal as refusal:
        unread = refusal.response()
        state.observer.answered(SentAnswer(operation.id, unread.status, _content(unread), (), ()))
        return unread
    try:
        response = await _answer(call)
    except Refusal as refusal:
        response = refusal.response()
    except UnknownFault as unknown:
        response = json_response({"detail": str(unknown)}, 400)
    finally:
        call.entry.ended_ms = state.clock.now_ms()
    if not response.prepared:
        response.headers.update(call.headers)
        call.observed(response.status, _content(response))
    if call.entry.outcome is None:
        hung_up = request.transport is None or request.transport.is_closing()
        call.entry.status = 0 if hung_up else response.status
    return response


def _content(response: web.StreamResponse) -> bytes:
    body = response.body if isinstance(response, web.Response) else None
    return body if isinstance(body, bytes) else b""


async def _answer(call: Call) -> web.StreamResponse:
    call.faults = call.state.faults.choose(call.seen())
    trouble = next((fault for fault in call.faults if fault.directive is None), None)
    if trouble is not None:
        call.entry.fault = trouble.kind
        interrupted = await _interrupted(call, trouble)
        if interrupted is not None:
            return interrupted
    _admit(call)
    response = await call.operation.handler(call)
    if trouble is not None and trouble.kind in AFTER and not response.prepared:
        reset(call.request)
    return response


def _admit(call: Call) -> None:
    """404 for an unknown organization, 401 for a bad token, 429 beyond the limit; notes whose call it is."""
    state, operation = call.state, call.operation
    if state.directory.organization(call.org_id) is None:
        raise Refusal(404, NO_ORGANIZATION)
    if operation.secured == "token":
        _authenticate(call)
    call.headers = state.limiter.admit(operation.id, operation.per_minute, call.org_id, call.entry.user_id or "")


def _authenticate(call: Call) -> None:
    identity = call.state.tokens.read(call.request.headers.get("authorization", ""))
    issuer = call.request.headers.get("x-org-id", call.org_id)
    if identity is None or identity.org_id != issuer:
        raise Refusal(401, UNAUTHORISED)
    call.known_user = call.state.directory.user(identity.org_id, identity.user_id)
    if call.known_user is None:
        raise Refusal(401, UNAUTHORISED)


async def _interrupted(call: Call, fault: Fault) -> web.StreamResponse | None:
    """The answer of a fault that strikes before the operation; None when the operation goes on."""
    if fault.status is not None:
        await asyncio.sleep(fault.delay_s or 0)
        return _refused(call, fault, fault.status)
    if fault.kind == "slow-headers":
        await asyncio.sleep(_SLOW_S if fault.delay_s is None else fault.delay_s)
    elif fault.kind == "redirect":
        return web.Response(status=307, headers={"Location": other_slash(call.request)})
    elif fault.kind in ("reset", "close"):
        _hang_up(call.request, with_reset=fault.kind == "reset")
        return web.Response()
    return None


def _hang_up(request: web.Request, *, with_reset: bool) -> None:
    if with_reset:
        reset(request)
    elif request.transport is not None:
        request.transport.close()


def _refused(call: Call, fault: Fault, status: int) -> web.Response:
    headers: dict[str, str] = {}
    detail: object = _TEXTS.get(status, f"Sandbox fault {fault.kind}.")
    if status == 429:
        wait = retry_after(fault.retry_after, fault.wait_s, call.state.clock.now_ms())
        refusal = too_many(call.operation.per_minute, wait)
        headers, detail = refusal.headers, refusal.detail
    if fault.body == "text":
        return web.Response(status=status, text=str(detail), headers=headers)
    if fault.body == "html":
        page = f"<html><body><h1>{status}</h1><p>{detail}</p></body></html>"
        return web.Response(status=status, text=page, content_type="text/html", headers=headers)
    if fault.body == "empty":
        return web.Response(status=status, headers=headers)
    return json_response({"detail": detail}, status, headers)


def other_slash(request: web.Request) -> str:
    """The same address with the last slash removed or added, as Starlette redirects to."""
    path = request.rel_url.raw_path
    path = path.rstrip("/") if path.endswith("/") else f"{path}/"
    query = f"?{request.query_string}" if request.query_string else ""
    return f"{request.scheme}://{request.host}{path}{query}"
