"""Webhooks in: verified, recognised, put on the queue, and answered 202 only once the broker has confirmed.

admit (name, method, type) ▸ body ▸ verify ▸ parse ▸ rate ▸ handshake? repeat? ▸ publish ▸ confirm ▸ remember ▸ 202
(or what the scheme's sender takes for it)
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from bridge.core.answer.outbound_message import MessageFactory, OutboundMessage
from bridge.core.broker.topology import Inbound
from bridge.core.counters import Counters
from bridge.core.webhook import problem, webhook
from bridge.core.webhook.duplicates import Duplicates
from bridge.core.webhook.problem import HttpAnswer, Problem
from bridge.core.webhook.schemes import SCHEMES, verify
from bridge.core.webhook.signature import HttpRequest, Source, Unverified
from bridge.core.webhook.token_bucket import TokenBucket
from bridge.core.webhook.webhook import Webhook
from bridge.flow.ports.runtime import Log
from bridge.flow.ports.webhook import ConfirmedPublisher, Keyring, NotConfirmed

MAX_OPEN = 2_000
LOGGED_A_SECOND = 10.0
"""Refusals that are logged; all are counted. Strangers must not fill the log."""


@dataclass(frozen=True, slots=True)
class IngestConfig:
    """The sources by their names, the inbound that takes their webhooks, and how many may wait for confirms at once."""

    sources: Mapping[str, Source]
    inbound: Inbound
    max_open: int = MAX_OPEN


@dataclass(slots=True, eq=False)
class Taking:
    """A webhook on its way to the broker, and who waits to hear whether it arrives."""

    event_id: str
    waiting: list[asyncio.Future[bool]] = field(default_factory=list)


class WebhookIngest:
    """The receiver of webhooks: takes what the web hands over, and says what it answers."""

    def __init__(
        self,
        config: IngestConfig,
        keyring: Keyring,
        confirmed_publisher: ConfirmedPublisher,
        factory: MessageFactory,
        counters: Counters,
        log: Log,
    ) -> None:
        self._sources = config.sources
        self._inbound = config.inbound
        self._max_open = config.max_open
        self._keyring = keyring
        self._confirmed_publisher = confirmed_publisher
        self._factory = webhook.platform_factory(factory)
        self._counters = counters
        self._log = log
        self._duplicates = Duplicates()
        self._open: dict[str, Taking] = {}
        self._buckets = {name: TokenBucket(source.rate) for name, source in config.sources.items()}
        self._logged = TokenBucket(LOGGED_A_SECOND)
        self._unrouted: dict[str, str] = {}

    def troubles(self) -> dict[str, str | None]:
        """Why a source cannot be served, for each of them; None where it can."""
        return {name: self._trouble(source) for name, source in self._sources.items()}

    def admit(self, name: str, method: str, request: HttpRequest) -> Source:
        """See the port."""
        source = self._sources.get(name)
        if source is None:
            raise problem.no_such_webhook()
        if method != "POST":
            raise problem.not_a_post()
        webhook.check_type(source, request)
        return source

    async def take(self, source: Source, request: HttpRequest) -> HttpAnswer:
        """See the port."""
        now_s = self._factory.clock()
        try:
            stamp = verify(source, self._keyring.keys(source.name), request, now_s)
        except Unverified as error:
            scheme = SCHEMES[source.scheme]
            raise problem.not_verified(scheme.needs, error.reason, scheme.challenge) from None
        verified = webhook.read(source, request, stamp)
        wait_s = self._buckets[source.name].take(now_s)
        if wait_s:
            raise problem.too_many(wait_s)
        answer = webhook.handshake(source, request, verified.data)
        if answer is not None:
            self._counters.webhooks[source.name, "handshake"] += 1
            return answer
        known = self._duplicates.find(verified.keys, now_s) or await self._being_taken(verified)
        event_id = known or await self._put(source, verified)
        self._counters.webhooks[source.name, "repeat" if known else "taken"] += 1
        return problem.taken(source.scheme, event_id)

    def refused(self, name: str, refusal: Problem, client: str) -> None:
        """See the port."""
        source = name if name in self._sources else ""
        self._counters.webhooks[source, refusal.kind] += 1
        if not self._logged.take(self._factory.clock()):
            self._log.warning(
                "webhook.refused", source=source, status=refusal.status, reason=refusal.kind, client=client
            )

    def _trouble(self, source: Source) -> str | None:
        if SCHEMES[source.scheme].keyed and not self._keyring.keys(source.name):
            return "there is no secret to verify with"
        return self._unrouted.get(source.name)

    async def _being_taken(self, verified: Webhook) -> str | None:
        """The id of the same webhook, if it is on its way just now and arrives. Raises Problem (503) if it does not."""
        for key in verified.keys:
            taking = self._open.get(key)
            if taking is not None:
                arrival: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
                taking.waiting.append(arrival)
                if await arrival:
                    return taking.event_id
                raise problem.not_taken()
        return None

    async def _put(self, source: Source, verified: Webhook) -> str:
        """Publish, and wait for the confirm; only then is it remembered. Raises Problem."""
        if len(self._open) >= self._max_open:
            raise problem.too_busy()
        messages = self._messages(source, verified)
        taking, taken = Taking(verified.id), False
        for key in verified.keys:
            self._open[key] = taking
        try:
            for message in messages:
                await self._confirmed_publisher.enqueue(message)
            self._duplicates.remember(verified.keys, verified.id, self._factory.clock())
            self._unrouted.pop(source.name, None)
            taken = True
        except NotConfirmed as error:
            if error.unrouted:
                self._unrouted[source.name] = str(error)
            raise problem.not_taken() from None
        finally:
            for key in verified.keys:
                del self._open[key]
            for arrival in taking.waiting:
                if not arrival.done():
                    arrival.set_result(taken)
        return verified.id

    def _messages(self, source: Source, verified: Webhook) -> list[OutboundMessage]:
        if webhook.is_platform(source):
            return webhook.platform_messages(verified, self._factory)
        return [webhook.inbound_message(verified, self._inbound, self._factory.clock())]
