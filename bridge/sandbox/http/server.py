"""The sandbox as a server: the application, a running instance, and the blocking ``run`` of the command line."""

import asyncio
import functools
import re
import signal
import sys
from collections.abc import Awaitable, Callable
from email.utils import format_datetime

from aiohttp import web

from bridge.sandbox.http.admission import other_slash, pass_gate
from bridge.sandbox.http.observer import AnswerObserver, NobodyObserves
from bridge.sandbox.http.refusal import json_response
from bridge.sandbox.operations import admin
from bridge.sandbox.operations.table import OPERATIONS
from bridge.sandbox.options import SandboxOptions
from bridge.sandbox.state.state import WORLD, State

_BODY_LIMIT = 64 * 1024 * 1024
_STOP_S = 1.0
_ACCEPTING_S = 0.02  # within which a connection that was being accepted when the door was shut has come in
_PATHS = [
    re.compile(r"/v1/[^/]+" + re.sub(r"\\{\w+\\}", "[^/]+", re.escape(operation.path))) for operation in OPERATIONS
]

_ANSWERING: web.AppKey[set[web.RequestHandler]] = web.AppKey("answering", set)


def build_app(options: SandboxOptions, observer: AnswerObserver | None = None) -> web.Application:
    """A complete sandbox as an aiohttp application."""
    app = web.Application(middlewares=[_unrouted], client_max_size=_BODY_LIMIT)
    state = app[WORLD] = State(options, observer or NobodyObserves())
    app[_ANSWERING] = set()
    for operation in OPERATIONS:
        handler = functools.partial(pass_gate, operation)
        app.router.add_route(operation.method, "/v1/{organization}" + operation.path, handler)
    app.add_routes(admin.routes())
    app.cleanup_ctx.append(state.webhook_sender.running)
    app.on_cleanup.append(_close_store)
    app.on_response_prepare.append(_date)
    return app


async def _date(request: web.Request, response: web.StreamResponse) -> None:
    """The sandbox has one clock: what it says of times is told from its ``Date``, also where it is moved or stands."""
    response.headers["Date"] = format_datetime(request.app[WORLD].clock.now(), usegmt=True)


async def _close_store(app: web.Application) -> None:
    app[WORLD].store.close()


@web.middleware
async def _unrouted(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Starlette's own answers where no route fits: 307 for a wrong last slash, 405, 404."""
    refused = request.match_info.http_exception
    if refused is None:
        return await _answered(request, handler)
    if refused.status == 405:
        return json_response({"detail": "Method Not Allowed"}, 405, {"Allow": refused.headers.get("Allow", "")})
    path = request.path.rstrip("/") if request.path.endswith("/") else f"{request.path}/"
    if any(pattern.fullmatch(path) for pattern in _PATHS):
        return web.Response(status=307, headers={"Location": other_slash(request)})
    return json_response({"detail": "Not Found"}, 404)


async def _answered(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    answering = request.app[_ANSWERING]
    answering.add(request.protocol)
    try:
        return await handler(request)
    finally:
        answering.discard(request.protocol)


class Sandbox:
    """A sandbox that listens; ``base_url`` has the real port."""

    def __init__(self, runner: web.AppRunner, host: str, port: int) -> None:
        self._runner = runner
        self._host = host
        self._port = port
        self._site: web.TCPSite | None = None
        self._pause: asyncio.Task[None] | None = None
        self.state.door = self

    @property
    def base_url(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    @property
    def state(self) -> State:
        """The sandbox's inside, for tests in the same process."""
        state: State = self._runner.app[WORLD]
        return state

    async def open_door(self) -> None:
        """Listens (again, on the same port)."""
        self._site = web.TCPSite(self._runner, self._host, self._port, reuse_address=True)
        await self._site.start()
        self._port = self._runner.addresses[0][1]

    async def close_door(self) -> None:
        """Refuses new connections; those that are open go on."""
        if self._site is not None:
            await self._site.stop()
            self._site = None

    def shut(self, seconds: float) -> None:
        """Refuses new connections for so long, and drops those that wait for a request."""
        self._pause = asyncio.get_running_loop().create_task(self._stay_shut(seconds))

    async def _stay_shut(self, seconds: float) -> None:
        await self.close_door()
        self._drop()
        await asyncio.sleep(min(seconds, _ACCEPTING_S))
        self._drop()
        await asyncio.sleep(max(0.0, seconds - _ACCEPTING_S))
        await self.open_door()

    def _drop(self) -> None:
        """Close in order: answers that are under way go on to their end, which merely `close` would leave open."""
        if self._runner.server is not None:
            for connection in list(self._runner.server.connections):
                if connection in self._runner.app[_ANSWERING]:
                    connection.close()
                else:
                    connection.force_close()

    async def close(self) -> None:
        """Stops listening, cuts what still streams, and forgets what was not committed."""
        if self._pause is not None:
            self._pause.cancel()
            await asyncio.gather(self._pause, return_exceptions=True)
        await self._runner.cleanup()


async def serve(
    options: SandboxOptions, host: str = "127.0.0.1", port: int = 0, observer: AnswerObserver | None = None
) -> Sandbox:
    """A listening sandbox; the caller closes it."""
    runner = web.AppRunner(build_app(options, observer), access_log=None, shutdown_timeout=_STOP_S)
    await runner.setup()
    sandbox = Sandbox(runner, host, port)
    try:
        await sandbox.open_door()
    except BaseException:
        await runner.cleanup()
        raise
    return sandbox


def run(host: str, port: int, options: SandboxOptions) -> int:
    """Serves until SIGTERM or SIGINT; the exit status is 0, or 1 when it cannot start."""
    return asyncio.run(_run(host, port, options))


async def _run(host: str, port: int, options: SandboxOptions) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        sandbox = await serve(options, host, port)
    except (OSError, ValueError, KeyError, TypeError) as error:  # a taken port, or a file that is not what it should be
        print(f"the sandbox cannot start: {error!r}", file=sys.stderr)
        return 1
    print(_welcome(sandbox.base_url, options), flush=True)
    await stop.wait()
    await sandbox.close()
    return 0


def _welcome(base_url: str, options: SandboxOptions) -> str:
    existing = "Every organization, API key, user and service exists here; for example"
    if options.strict_file is not None:
        existing = f"Only what {options.strict_file} lists exists here; not necessarily"
    return f"""\
sandbox listening on {base_url}

{existing}:

  AMIGO_BASE_URL={base_url}
  AMIGO_ORGANIZATION_ID=acme
  AMIGO_API_KEY_ID=sandbox-key
  AMIGO_API_KEY=sandbox-secret
  AMIGO_USER_ID=user-1

Services: GET {base_url}/v1/acme/service/   Journal: GET {base_url}/_sandbox/journal
Stop with Ctrl+C."""
