"""The process: signals, the tasks that run as long as it does, the stop, the exit status."""

import asyncio
import gc
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from bridge import version
from bridge.app import Bridge
from bridge.core.webhook.client_address import networks
from bridge.edges import crash
from bridge.edges.amigo.client import HttpClient
from bridge.edges.amigo.own_limits import OwnLimits
from bridge.edges.http.admin_server import AdminDoor, AdminServer
from bridge.edges.http.connection_limit import ConnectionLimit
from bridge.edges.http.server import HealthPages, HealthServer
from bridge.edges.http.webhook_handler import WebhookHandler
from bridge.edges.ledger.factory import SQLITE, open_ledger
from bridge.edges.ledger.postgresql.limits import SharedLimits
from bridge.edges.ledger.recent_calls import recent_calls
from bridge.edges.telemetry.metrics import Metrics
from bridge.flow import failpoints
from bridge.flow.ports.runtime import Log
from bridge.flow.settling.refusal_log import RefusalLog
from bridge.settings.model import Settings
from bridge.settings.values import admin_address_of, admin_tokens_of, credentials_of, limits_of

CRASH_AT = "BRIDGE_CRASH_AT"
"""For tests: the label of a step at which to die."""
COLLECTOR = (50_000, 20, 50)
CONFIRMS_S = 5.0
"""How long the stop waits for confirms and acks that are still open."""


async def serve(settings: Settings, log: Log) -> int:
    """Run the service until it is told to stop. Returns the exit status."""
    stop = _stop_signals()
    if CRASH_AT in os.environ:
        failpoints.listen(crash.at(os.environ[CRASH_AT]))
    credentials = credentials_of(settings)
    async with AsyncExitStack() as stack:
        limiter = await stack.enter_async_context(_limiter(settings, log))
        client = HttpClient(credentials, settings.amigo.idle, limiter=limiter)
        keeping = open_ledger(
            settings.ledger.url.get_secret_value(),
            settings.ledger.keep,
            log,
            keep_endings_s=settings.ledger.keep_endings,
        )
        ledger = await stack.enter_async_context(keeping)
        bridge = Bridge(settings, client, ledger, limiter.limits, log)
        metrics = Metrics(bridge.counters, bridge.gauges.read)
        has_admin = bool(settings.admin.tokens)
        handler = WebhookHandler(bridge.webhook_ingest, networks(settings.http.trusted_proxies))
        health = HealthServer(
            settings.http.host,
            settings.http.port,
            components=bridge.readiness.components,
            metrics=None if has_admin else metrics.text,
            version=version(),
            webhook=handler.handle,
            connection_limit=ConnectionLimit(handler.malformed),
        )
        try:
            await stack.enter_async_context(health)
        except (OSError, ValueError) as error:
            log.critical("bridge.unstartable", error=f"http.host, http.port: {error}")
            return 1
        if has_admin and not await _admin_listens(stack, bridge, metrics, settings, log):
            return 1
        await stack.enter_async_context(client)
        _spare_the_collector()
        for hook in settings.webhooks:
            if hook.scheme == "none":
                log.warning("webhook.insecure", source=hook.name, error="anybody who can reach it can start events")
        log.info("bridge.started", http=f"http://{settings.http.host}:{health.port}")
        broken = await stack.enter_async_context(_running(bridge, log))
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait((stopped, broken), return_when=asyncio.FIRST_COMPLETED)
        await _drain(bridge, settings.shutdown.grace, log)
    log.info("bridge.stopped")
    return 1 if broken.done() and not broken.cancelled() else 0


@asynccontextmanager
async def _limiter(settings: Settings, log: Log) -> AsyncIterator[OwnLimits | SharedLimits]:
    """The rate limits: where replicas share a ledger they share them too."""
    url = settings.ledger.url.get_secret_value()
    if url.startswith(SQLITE):
        own = OwnLimits(limits_of(settings))
        for call in await recent_calls(url, settings.limits.window, time.time()):
            own.limits.recalled(call.user_id, call.operation, time.monotonic() - call.ago_s)
        yield own
        return
    async with SharedLimits(url, limits_of(settings), log) as limiter:
        yield limiter


async def _admin_listens(stack: AsyncExitStack, bridge: Bridge, metrics: Metrics, settings: Settings, log: Log) -> bool:
    """Listen for operators until the stack is closed. False where the address cannot be had."""
    pages = HealthPages(bridge.readiness.components, metrics.text, version())
    door = AdminDoor(admin_tokens_of(settings), networks(settings.http.trusted_proxies), RefusalLog(log))
    host, port = admin_address_of(settings)
    admin = AdminServer(host, port, pages, door, bridge.command_handler, bridge.control)
    try:
        await stack.enter_async_context(admin)
    except (OSError, ValueError) as error:
        log.critical("bridge.unstartable", error=f"admin.listen: {error}")
        return False
    log.info("admin.listening", port=admin.port)
    return True


def _spare_the_collector() -> None:
    """Look for cycles less often: what is loaded by now stays, and streams make much garbage without cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTOR)


@asynccontextmanager
async def _running(bridge: Bridge, log: Log) -> AsyncIterator[asyncio.Future[str]]:
    """The tasks that run as long as the process; gives a future that is done as soon as one of them has failed."""
    broken: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def failed(task: asyncio.Task[None]) -> None:
        if task.cancelled():
            return
        log.critical("task.broken", task=task.get_name(), exc_info=task.exception())
        if not broken.done():
            broken.set_result(task.get_name())

    parts = {
        "session": bridge.supervisor.run(),
        "api breaker": bridge.api_breaker.run(),
        "lanes": bridge.event_intake.run(),
        "ledger watch": bridge.ledger_watch.run(),
        "absence": bridge.absence.run(),
        "lost events": bridge.journal.lost.watch(bridge.backlog),
        "pauses": bridge.pauses.run(bridge.event_intake.receive),
        "refusal holds": bridge.refusal_holds.run(bridge.event_intake.receive),
        "due watch": bridge.due_watch.run(),
        "lag": bridge.lag.run(),
    }
    tasks = [asyncio.create_task(part, name=name) for name, part in parts.items()]
    for task in tasks:
        task.add_done_callback(failed)
    try:
        yield broken
    finally:
        for task in reversed(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        broken.cancel()


async def _drain(bridge: Bridge, grace_s: float, log: Log) -> None:
    """Take nothing more, finish what streams within the grace, wait for confirms; what is left stays unacked."""
    bridge.readiness.stopping()
    log.info("bridge.stopping", in_hand=bridge.event_intake.in_hand, grace_s=grace_s)
    bridge.inbox.pause("stopping")
    left = await bridge.event_intake.stop(grace_s)
    for done in (bridge.publisher.drained, bridge.consumer.acks_sent):
        try:
            async with asyncio.timeout(CONFIRMS_S):
                await done()
        except TimeoutError:
            log.warning("bridge.unconfirmed", messages=bridge.publisher.unconfirmed)
    log.info("bridge.drained", left_to_the_next_instance=left)


def _stop_signals() -> asyncio.Event:
    """Set by the first SIGTERM or SIGINT; the second one ends the process at once."""
    stop = asyncio.Event()

    def signalled(number: int) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, signalled, number)
    return stop
