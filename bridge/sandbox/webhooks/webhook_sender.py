"""Sends webhooks: post-processing of finished conversations, and the webhooks that announce it."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any
from urllib.parse import urlsplit

from aiohttp import ClientError, ClientSession, ClientTimeout, web

from bridge.sandbox.options import SandboxOptions
from bridge.sandbox.script.fault import Fault, Seen
from bridge.sandbox.script.fault_rules import FaultRules
from bridge.sandbox.state.clock import Clock
from bridge.sandbox.state.ids import IdSource
from bridge.sandbox.state.rows import POST_PROCESSINGS, Conversation, Delivery, Destination
from bridge.sandbox.state.store import Store
from bridge.sandbox.webhooks.signed_webhook import SignedWebhook, signed_webhook

_REORDER_S = 1.0
PROCESSED = "conversation-post-processing-complete"


class WebhookSender:
    """Works in the background between ``running``'s two halves; sends only to the hosts that the options name."""

    def __init__(self, options: SandboxOptions, clock: Clock, ids: IdSource, store: Store, faults: FaultRules) -> None:
        self._options = options
        self._clock = clock
        self._ids = ids
        self._store = store
        self._faults = faults
        self._tasks: set[asyncio.Task[None]] = set()
        self._session: ClientSession | None = None
        self._sent = asyncio.Event()

    async def running(self, app: web.Application) -> AsyncIterator[None]:
        """For ``cleanup_ctx``: takes up what an earlier sandbox left unfinished, and stops cleanly."""
        async with ClientSession(timeout=ClientTimeout(self._options.webhook_timeout_s)) as session:
            self._session = session
            try:
                for conversation in self._store.conversations.values():
                    if conversation.finished_ms is not None:
                        self.process(conversation)
                yield
            finally:
                self.reset()
                await asyncio.gather(*self._tasks, return_exceptions=True)

    def reset(self) -> None:
        """Drops whatever is on its way."""
        for task in self._tasks:
            task.cancel()

    def process(self, conversation: Conversation) -> None:
        """Starts the post-processing of a finished conversation; there is none for a test conversation."""
        if not conversation.is_test:
            self._start(self._process(conversation))

    def emit(self, org_id: str, kind: str, content: dict[str, Any], fault: Fault | None = None) -> list[Delivery]:
        """Sends a webhook to every destination of the organization that accepts its type."""
        deliveries = []
        for destination in self._store.destinations.values():
            if destination.org_id == org_id and kind in destination.accepted_types:
                dual = destination.dual_until_ms > self._clock.now_ms()
                made_ms = self._clock.now_ms()
                delivery = Delivery(self._ids.new(), org_id, destination.id, kind, content, made_ms, dual_signed=dual)
                self._store.save_delivery(delivery)
                deliveries.append(delivery)
                self._start(self._deliver(destination, delivery, fault))
        return deliveries

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _process(self, conversation: Conversation) -> None:
        for name in POST_PROCESSINGS:
            if name in conversation.post_processed:
                continue
            await self._clock.sleep(self._options.post_processing_s)
            conversation.post_processed.append(name)
            self._store.save(conversation)
            self._announce(conversation, name)

    def _announce(self, conversation: Conversation, name: str) -> None:
        content = {"type": PROCESSED, "post_processing_type": name, "conversation_id": conversation.id}
        org_id = conversation.org_id
        self.emit(org_id, PROCESSED, {**content, "org_id": org_id}, self._fault(conversation))

    def _fault(self, conversation: Conversation) -> Fault | None:
        identity = (conversation.user_id, conversation.service_id)
        seen = Seen("webhook", *identity, PROCESSED, conversation.tags, {})
        return next((fault for fault in self._faults.choose(seen) if fault.kind.startswith("webhook-")), None)

    async def _deliver(self, destination: Destination, delivery: Delivery, fault: Fault | None) -> None:
        if urlsplit(destination.url).hostname not in self._options.webhook_hosts:
            return
        old = destination.old_secret if delivery.dual_signed else None
        secrets = (destination.secret,) if old is None else (destination.secret, old)
        signed = signed_webhook(delivery.id, delivery.content, secrets, fault)
        if fault is not None and fault.kind == "webhook-reordered":
            await self._wait_for_another(fault)
        await self._attempt_until_taken(destination, delivery, signed)
        if fault is not None and fault.kind == "webhook-duplicate":
            await self._attempt(destination, delivery, signed)

    async def _wait_for_another(self, fault: Fault) -> None:
        try:
            async with asyncio.timeout(_REORDER_S if fault.delay_s is None else fault.delay_s):
                await self._sent.wait()
        except TimeoutError:
            return

    async def _attempt_until_taken(self, destination: Destination, delivery: Delivery, signed: SignedWebhook) -> None:
        waits = self._options.webhook_retry_s
        for number in range(destination.retry_attempts + 1):
            if await self._attempt(destination, delivery, signed):
                return
            if number < destination.retry_attempts:
                await self._clock.sleep(waits[min(number, len(waits) - 1)] if waits else 0)

    async def _attempt(self, destination: Destination, delivery: Delivery, signed: SignedWebhook) -> bool:
        """One POST; any 2xx takes the webhook."""
        if self._session is None:
            raise RuntimeError("the webhook sender is not running")
        now_ms = self._clock.now_ms()
        headers = signed.headers(now_ms, self._options.dual_signature)
        try:
            async with self._session.post(
                destination.url, data=signed.body, headers=headers, allow_redirects=False
            ) as response:
                status = response.status
        except (ClientError, TimeoutError):
            status = 0
        taken = 200 <= status < 300
        delivery.attempts.append((now_ms, status))
        delivery.status = "success" if taken or delivery.status == "success" else "failed"
        self._store.save_delivery(delivery)
        sent, self._sent = self._sent, asyncio.Event()
        sent.set()
        return taken
