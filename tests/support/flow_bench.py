"""The flow, wired as `bridge/app.py` wires it, over fakes; and what must hold of every run, whatever happened in it."""

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any, Self

import orjson

from bridge.core.answer.ending import ENDINGS
from bridge.core.answer.outbound_message import MessageFactory, Outbound, OutboundMessage, RoutingKey
from bridge.core.broker.republished_copy import CopyExchanges, RepublishedCopy
from bridge.core.counters import Counters
from bridge.core.delivery.retry import Backoff, RetryPolicy, republish
from bridge.core.event.inbound_message import InboundMessage
from bridge.core.event.route import Defaults
from bridge.core.event.user import UserRules
from bridge.core.lanes.expected_turn import NO_TURN_LIMIT, TurnLimit
from bridge.flow.answering.after_answer import AfterAnswer
from bridge.flow.answering.enricher import Enricher
from bridge.flow.answering.enrichment_reader import EnrichmentReader
from bridge.flow.answering.interaction import Interaction
from bridge.flow.answering.open_conversations import OpenConversations
from bridge.flow.answering.reconciler import Reconciler
from bridge.flow.answering.relay import Limits, Relay
from bridge.flow.answering.steering import Steering
from bridge.flow.answering.user_lookup import UserLookup
from bridge.flow.attempts import Attempts
from bridge.flow.event_intake import EventIntake, EventRouter
from bridge.flow.finishing.due_finisher import DueFinisher
from bridge.flow.finishing.due_watch import DueWatch
from bridge.flow.finishing.finish_announcer import FinishAnnouncer
from bridge.flow.guards.api_breaker import ApiBreaker
from bridge.flow.guards.broker_absence import BrokerAbsence
from bridge.flow.guards.ledger_watch import LedgerWatch
from bridge.flow.guards.pauses import Pauses
from bridge.flow.guards.poison_guard import PoisonGuard
from bridge.flow.guards.refusal_holds import RefusalHolds
from bridge.flow.guards.turn_guard import TurnGuard
from bridge.flow.lanes.lane_waits import WaitLimits
from bridge.flow.lanes.lanes import Lanes
from bridge.flow.lanes.lost_events import LostEvents
from bridge.flow.ledger_journal import LedgerJournal
from bridge.flow.settling.outbox import Outbox
from bridge.flow.settling.refusal_log import RefusalLog
from bridge.flow.settling.refused_events import RefusedEvents
from bridge.flow.settling.settler import Settler
from tests.support.event_bodies import event_id_of, text_of
from tests.support.fakes import (
    DELAY,
    FakeAccounts,
    FakeAgent,
    FakeDelivery,
    FakeEnrichments,
    FakeHeldQueues,
    FakeInbox,
    FakeLedger,
    FakeLog,
    FakePublisher,
    FakeRepublisher,
    FakeRoutes,
    Trace,
    returned,
)

QUEUE = "bridge.events"
USER, SERVICE = "user-1", "5f0000000000000000000001"
KEY = RoutingKey("{channel_type}.{channel}.{type}")
AGENT_EVENTS = Outbound("agent.events", KEY)
LONG_S, LATENCY_S = 7_200.0, 0.005
"""Beyond every wait; how much longer than its delay a copy takes to come back."""


class Bench:
    """Use as an async context manager: it opens the gate, and at the end stops and checks what must always hold."""

    def __init__(
        self,
        *,
        policy: RetryPolicy | None = None,
        park_after_s: float = 60.0,
        settle_s: float = 2.0,
        limits: Limits | None = None,
        outbounds: tuple[Outbound, ...] = (AGENT_EVENTS,),
        routes: FakeRoutes | None = None,
        defaults: Defaults | None = None,
        dice: float = 0.5,
        copies_return: bool = True,
        ledger: FakeLedger | None = None,
        when_lost: str = "hold",
        patience_s: float = 10.0,
        busy_for_s: float = 7_200.0,
        user_rules: UserRules | None = None,
        share: int = 100,
        turns: TurnLimit = NO_TURN_LIMIT,
        agent: FakeAgent | None = None,
    ) -> None:
        self.trace: Trace = []
        self.deliveries: list[FakeDelivery] = []
        self.agent, self.inbox, self.log, self.counters = agent or FakeAgent(), FakeInbox(), FakeLog(), Counters()
        self.configuration, self.source = "one", FakeEnrichments(self.agent)
        self._waiting: list[InboundMessage] = []
        self.publisher, self.republisher = FakePublisher(self.trace), FakeRepublisher(self.trace)
        self.routes, self.policy = routes or FakeRoutes(), policy or RetryPolicy()
        self.bugs_expected = self.stopped = False
        self.begun = self.on_the_way = 0
        self.held: list[RepublishedCopy] = []
        self.takes_back, self._streams = True, 0
        self._delay_queues: defaultdict[str, deque[RepublishedCopy]] = defaultdict(deque)
        self._tasks: list[asyncio.Task[None]] = []
        self.republisher.arrived = self._delayed if copies_return else lambda copy: None
        self.inbox.resumed = self._resumed
        self.ledger = ledger or FakeLedger()
        self.accounts, self._user_rules = FakeAccounts(), user_rules or UserRules()
        self._waits = WaitLimits(park_after_s, {QUEUE: share}, turns)
        self._when_lost, self._patience_s, self._busy_for_s = when_lost, patience_s, busy_for_s
        self._outbounds, self._settle_s, self._limits = outbounds, settle_s, limits or Limits(4096, 900.0)
        self._defaults, self._park_after_s, self._dice = defaults or Defaults(), park_after_s, dice
        self._assemble()

    def _assemble(self) -> None:
        """What a process has in its own memory."""
        factory = MessageFactory(self._outbounds, lambda: 1_700_000_000.0 + asyncio.get_running_loop().time())
        self.reconciler = Reconciler(self.agent, self._settle_s, self.log)
        self.lost, holds = LostEvents(), self._when_lost == "hold"
        self.lost.look(short=True)
        self.journal = LedgerJournal(self.ledger, self.log, factory.clock, holds=holds, lost=self.lost)
        self.ledger_watch = LedgerWatch(self.ledger, self.journal, self.inbox, self._patience_s, self._begins, self.log)
        backoff, limits = Backoff(self.policy, lambda: self._dice), self._waits
        refused_events = RefusedEvents(backoff, limits.shares, self._park_after_s, factory.clock, self.log)
        self.streaming = Relay(self.publisher, self.journal, factory, self._limits, self._new_stream, refused_events)
        conversations = OpenConversations(shared=self.ledger.shared)
        steering = Steering(self.agent, self.reconciler, self.journal, factory, conversations, self._busy_for_s)
        users = UserLookup(self.accounts, self.ledger, self._user_rules, self.counters, factory.clock, self.log)
        self.interaction = Interaction(
            self.agent, self.streaming, steering, self.reconciler, conversations, users, self.log
        )
        exchanges = CopyExchanges("bridge.dead", DELAY)
        self.settler = Settler(
            self.republisher, self.journal, factory, exchanges, refused_events, self.counters, self.log
        )
        self.api_breaker = ApiBreaker(self.agent, self.inbox, backoff, self.log)
        self.absence = BrokerAbsence(lambda: self.publisher.connected, self._let_go)
        poison_guard = PoisonGuard(self.journal, self._park_after_s, self.log)
        taken = lambda: bool(self.held and self.receive(returned(self.held.pop(0), QUEUE)))  # noqa: E731
        held = FakeHeldQueues(self._pass_on, taken)
        self.pauses = Pauses(self.ledger, self.inbox, (QUEUE,), held, factory.clock, self.log)
        holding = (self.policy.refusals, self.configuration, self.pauses, held, factory.clock, self.log)
        self.refusal_holds = RefusalHolds(*holding)
        guard = TurnGuard(poison_guard, self.pauses, self.refusal_holds)
        attempts = Attempts(self.interaction, self.journal, guard, self.api_breaker, backoff, self.counters, self.log)
        new_outbox = partial(Outbox, self.publisher, backoff, RefusalLog(self.log))
        announcer = FinishAnnouncer(self.ledger, factory, new_outbox, backoff, self.counters, self.log)
        self.finisher = DueFinisher(self.agent, self.ledger, conversations, factory, announcer, self.counters, self.log)
        reader = EnrichmentReader(self.source, backoff, self._limits.enrich_for_s, factory.clock)
        enricher = Enricher(reader, self.journal, factory, new_outbox, refused_events, self.counters, self.log)
        after = AfterAnswer(enricher, self.finisher, self.journal)
        self.lanes = Lanes(attempts, self.settler, self.api_breaker, self.journal, after, limits, self.log)
        self.due_watch = DueWatch(self.ledger, self.finisher, self.lanes, factory)
        self.event_intake = EventIntake(
            EventRouter(self.routes, self._defaults, {QUEUE: 1024 * 1024}, factory.clock),
            self.lanes,
            self.settler,
            users,
            new_outbox,
            self.counters,
            self.log,
        )

    async def __aenter__(self) -> Self:
        self.start()
        await self.until(lambda: self.api_breaker.passing, "the gate opens")
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._check_settled()
        for task in self._tasks:
            task.cancel()
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.event_intake.stop(0)
        if kind is None:
            broken = [each for each in results if isinstance(each, Exception)]
            assert not broken, f"a task of the process ended: {broken!r}"
            self.check()

    def start(self) -> None:
        """The tasks that run as long as the process; without waiting for the gate."""
        parts = (self.api_breaker, self.event_intake, self.ledger_watch, self.absence, self.due_watch)
        held = (part.run(self.event_intake.receive) for part in (self.pauses, self.refusal_holds))
        runs = [*(part.run() for part in parts), *held]
        self._tasks = [asyncio.create_task(run) for run in runs]

    def reconfigure(self, *outbounds: Outbound) -> None:
        """Give the next process these outbounds."""
        self._outbounds = outbounds

    async def restart(self) -> None:
        """The process dies where it stands; the next one gets what was not acknowledged."""
        self.bugs_expected = True  # a lane that was cut down says so
        for task in (*self._tasks, *self.event_intake.tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, *self.event_intake.tasks, return_exceptions=True)
        self.ledger.gone()
        self.ledger = FakeLedger(beside=self.ledger, shared=self.ledger.shared)
        self.inbox.reasons.clear()
        self._assemble()
        self.start()
        await self.until(lambda: self.api_breaker.passing, "the gate opens")
        for delivery in [each for each in self.deliveries if not each.acked and each.alive]:
            self.redeliver(delivery)

    async def _begins(self) -> None:
        self.begun += 1

    async def _let_go(self) -> None:
        await self.event_intake.let_go()

    async def stop(self, grace_s: float) -> int:
        self.stopped = True
        return await self.event_intake.stop(grace_s)

    @staticmethod
    def now_s() -> float:
        return asyncio.get_running_loop().time()

    # In.

    def deliver(self, event_id: str = "e1", text: str | None = None, **fields: Any) -> FakeDelivery:
        """An event; `redelivered`, `headers` and `body` belong to the message, every other field to the event."""
        message = {name: fields.pop(name) for name in ("redelivered", "headers", "properties") if name in fields}
        event = {"id": event_id, "message": text or f"Tell {event_id}", "user_id": USER, "service_id": SERVICE}
        body = fields.pop("body", None)
        if body is None:
            body = orjson.dumps({name: value for name, value in {**event, **fields}.items() if value is not None})
        return self.receive(InboundMessage(body, QUEUE, "bridge.events", "some.key", **message))

    def receive(self, incoming: InboundMessage) -> FakeDelivery:
        delivery = FakeDelivery(incoming, trace=self.trace)
        self.deliveries.append(delivery)
        self.event_intake.receive(delivery)
        return delivery

    def redeliver(self, delivery: FakeDelivery) -> FakeDelivery:
        """The same message on the next connection."""
        delivery.die()
        old = delivery.incoming
        return self.receive(
            InboundMessage(old.body, old.queue, old.exchange, old.routing_key, True, old.properties, old.headers)
        )

    def _delayed(self, copy: RepublishedCopy) -> None:
        if copy.exchange != DELAY:
            return
        if copy.routing_key == f"{QUEUE}.held":
            self.held.append(copy)
            return
        self.on_the_way += 1
        queue = self._delay_queues[copy.routing_key]
        queue.append(copy)
        delay_s = float(copy.routing_key.rsplit(".", 1)[1])
        asyncio.get_running_loop().call_later(delay_s + LATENCY_S, self._back, queue)

    def _pass_on(self) -> int:
        """What is held comes back, at the end of the inbound queue."""
        held, self.held = self.held, []
        takes = self._waiting.append if self.takes_back else self.receive
        for copy in held:
            takes(returned(copy, QUEUE))
        self.on_the_way += len(held) * self.takes_back
        self._resumed()
        return len(held)

    def _back(self, queue: deque[RepublishedCopy]) -> None:
        """First in, first out, also for those that come back at the same moment."""
        self._waiting.append(returned(queue.popleft(), QUEUE))
        if self.inbox.consuming:
            self._resumed()

    def _resumed(self) -> None:
        waiting, self._waiting = self._waiting, []
        for incoming in waiting:
            self.on_the_way -= 1
            self.receive(incoming)

    def _new_stream(self) -> str:
        self._streams += 1
        return f"{self._streams:012x}"

    # Waiting.

    async def until(self, holds: Callable[[], object], what: str, within_s: float = LONG_S) -> None:
        """Wait in virtual time until something holds."""
        began_s = self.now_s()
        while not holds():
            waited_s = self.now_s() - began_s
            assert waited_s < within_s, f"not within {within_s:g} s: {what}"
            await asyncio.sleep(min(1.0, max(0.05, waited_s / 20)))

    async def quiet(self, within_s: float = LONG_S) -> None:
        """Wait until nothing is in hand, or on its way through a delay queue."""
        await self.until(lambda: not self.event_intake.in_hand and not self.on_the_way, "everything settled", within_s)

    async def wait(self, seconds: float) -> None:
        """Let so much virtual time pass."""
        await asyncio.sleep(seconds)

    # Out.

    def out(self, event_id: str = "e1") -> list[OutboundMessage]:
        """What the broker has confirmed for an event, without the repeats, in order."""
        messages = {each.message_id: each for each in self.publisher.confirmed if each.correlation_id == event_id}
        return list(messages.values())

    def types(self, event_id: str = "e1") -> list[str]:
        return [message.type for message in self.out(event_id)]

    def said(self, type_: str, event_id: str = "e1") -> list[dict[str, Any]]:
        """The bodies of an event's messages of one type."""
        return [orjson.loads(message.body) for message in self.out(event_id) if message.type == type_]

    def order(self) -> list[str]:
        """In which order things were made sure of: the type of a message, `copy:<where>` of a copy, `ack`."""
        names: dict[str, Callable[[Any], str]] = {
            "confirmed": lambda it: it.type,
            "copied": lambda it: f"copy:{it.routing_key}",
            "acked": lambda it: "ack",
        }
        return [names[what](it) for what, it in self.trace if what in names]

    def dead(self) -> list[str]:
        """The reason of every dead letter, in order."""
        return [copy.routing_key for copy in self.republisher.dead()]

    def attempts(self) -> int:
        """Requests that may have made the agent hear something."""
        return len(self.agent.calls("create", "interact"))

    # What must always hold.

    def check(self) -> None:
        assert not self.agent.hot, "the API is asked again and again without a wait"
        assert not self.agent.overlaps, "two requests of one user and service at once"
        assert self.bugs_expected or not self.log.at("critical"), self.log.at("critical")
        for delivery in self.deliveries:
            assert delivery.asked <= 1, f"settled {delivery.asked} times: {delivery.incoming.body!r}"
        self._check_endings()
        self._check_confirms()
        self._check_heard()

    def _check_settled(self) -> None:
        """What is not in hand any more is acked, if it may still be."""
        left = [each.incoming.body for each in self.deliveries if each.alive and not each.acked]
        assert self.stopped or self.event_intake.in_hand or not left, f"neither in hand nor settled: {left}"

    def _check_endings(self) -> None:
        told = {
            (each.to.outbound, each.correlation_id, each.type)
            for each in self.publisher.confirmed
            if each.message_id.startswith(f"{each.correlation_id}:")  # others are of the conversation
        }
        endings = Counter((outbound, event_id) for outbound, event_id, type_ in told if type_ in ENDINGS)
        assert all(count == 1 for count in endings.values()), f"more than one ending: {endings}"

    def _check_confirms(self) -> None:
        """Nothing is acked while a message of its event is unconfirmed, unless it was given up."""
        unconfirmed: defaultdict[str, set[tuple[int, str]]] = defaultdict(set)
        refusals: Counter[tuple[int, str]] = Counter()
        patience = self._tries()
        for what, it in self.trace:
            if what == "acked":
                left = sorted(unconfirmed[event_id_of(it.incoming.body)])
                assert not left, f"acked before these were confirmed: {left}"
            elif what == "copied" and it.exchange == DELAY:
                unconfirmed[event_id_of(it.body)].clear()  # it goes on when it comes back
            elif what != "copied":
                name = (it.to.outbound, it.message_id)
                refusals[name] += what == "refused"
                given_up = what == "refused for good" or refusals[name] >= patience
                known = unconfirmed[it.correlation_id]
                known.discard(name) if what in ("confirmed", "forgotten") or given_up else known.add(name)

    def _tries(self) -> int:
        """How often a message is published before it is given up."""
        elapsed_s = 0.0
        for times in count(1):
            wait_s = republish(times, elapsed_s, self.policy, self._dice)
            if wait_s is None:
                return times
            elapsed_s += wait_s
        raise AssertionError("patience never ends")

    def _check_heard(self) -> None:
        """One external event, one interaction."""
        events = {event_id_of(each.incoming.body): text_of(each.incoming.body) for each in self.deliveries}
        allowed = Counter(events.values()) + self.agent.others
        for text in events.values():
            assert text is None or self.agent.heard(text) <= allowed[text], f"the agent has heard it twice: {text!r}"
