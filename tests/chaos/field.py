"""Where one row of the table is played: a vhost, the sandbox, a subscriber, the replicas, and the wires between them.

A batch is some events, some faults, and the comparison after all has come to rest.
"""

import asyncio
import itertools
import json
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pika
import pika.exceptions

from deploy.local.node import free_port
from tests.chaos.arena import Arena
from tests.chaos.comparing import Letter, Told, Verdict, compare, is_ending
from tests.chaos.conversations import compare_cancels, compare_ends, compare_tags, is_over
from tests.chaos.enrichments import compare_enrichments, lacking, wanted
from tests.chaos.gateway import Gateway
from tests.chaos.replica import Replica, sandbox
from tests.chaos.setup import Setup, configuration
from tests.chaos.witness import Api, told_of
from tests.support.events import event
from tests.support.proxy import Proxy
from tests.support.rabbit import AGENT, DEAD, DELAYS_S, EVENTS, Outgoing, Rabbit, Subscriber
from tests.support.world import merged

POLL_S = 0.05
MARK = "chaos-mark"
JOINING = 0.3
"""The share of events whose user may have an open conversation, which they are delivered into."""
INBOUND = (EVENTS, *(f"{EVENTS}.delay.{seconds}" for seconds in DELAYS_S))
UNREACHABLE = (pika.exceptions.AMQPError, OSError)

Strike = tuple[float, int, set[object]]
"""When a fault was, how many messages had been received, and of which events."""


class Unsettled(Exception):
    """Not all events came to rest in time."""


class Field:
    """`dice` is the batch's own: with the seed it repeats what was chosen."""

    def __init__(self, arena: Arena, folder: Path, vhost: str, setup: Setup, api: Api, subscriber: Subscriber) -> None:
        self.arena, self.folder, self.setup, self.api = arena, folder, setup, api
        self.rabbit = Rabbit(arena.broker, vhost)
        self.replicas: list[Replica] = []
        self.broker_wire: Proxy | None = None
        self.api_wire: Proxy | None = None
        self.dice = random.Random(0)
        self.prefix = "e"
        self.sent: dict[str, float] = {}
        self.tag_keys: dict[str, str] = {}
        """The tag that each event of kind `tag` sets."""
        self.cancels: dict[str, str] = {}
        """The event that each event of kind `cancel` is to stop."""
        self.ends_are_due = "conversations" in setup.config
        """Each conversation has to be finished by the bridge. A ledger that is lost forgets what is due."""
        self.enrichments = wanted(setup.config)
        """Those that every event that is answered has to have."""
        self.letters: list[Letter] = []
        self.verdict = Verdict()
        self.recoveries_s: list[float] = []
        self._subscriber = subscriber
        self._struck: list[Strike] = []
        self._read = 0
        self._ended: dict[str, float] = {}
        self._numbers = itertools.count(1)
        self._marks = itertools.count(1)

    # --- what happens in a batch

    def begin(self, prefix: str, dice: random.Random) -> None:
        self.prefix, self.dice = prefix, dice
        self.sent, self.letters, self.verdict, self.recoveries_s = {}, [], Verdict(), []
        self._struck, self._numbers = [], itertools.count(1)

    async def publish(self, count: int, said: str = "", **more: Any) -> list[str]:
        """So many new events: most of a user of their own, the others of one who has a conversation by then."""
        ids = [f"{self.prefix}-{next(self._numbers)}" for _ in range(count)]
        users = [one if self.dice.random() > JOINING else self.dice.choice([*self.sent, one]) for one in ids]
        told = zip(ids, users, strict=True)
        await self.send(
            *[event(one, user_id=f"u-{user}", message=f"event {one}: {said}", **more) for one, user in told]
        )
        return ids

    async def send(self, *messages: Outgoing) -> None:
        """As a publisher does: what is not confirmed is published again."""
        now_s = time.monotonic()
        for message in messages:
            self.sent.setdefault(json.loads(message.body)["id"], now_s)
        await self._published(*messages)

    async def struck(self, *, marked: bool = True, alive: bool = False) -> None:
        """A fault has just happened: what the subscriber gets from here on is progress after it.

        Where the process is alive, only what it says of an event that it had not spoken of before.
        """
        at_s = time.monotonic()
        if marked:
            await self._drained()
        known = {record.properties.correlation_id for record in self._subscriber.records} if alive else set()
        self._struck.append((at_s, len(self._subscriber.records), known))

    async def progressed(self, bound_s: float = 60.0) -> None:
        """Returns when the subscriber got something after the last fault, or when the bound is over."""
        deadline = time.monotonic() + bound_s
        while self._recovery_s(self._struck[-1]) is None:
            if time.monotonic() > deadline:
                return
            await asyncio.sleep(0.05)

    async def nothing_acked_early(self, bound_s: float = 8.0) -> None:
        """While no replica runs: each event that is not settled as a subscriber sees it is still in a queue."""
        deadline = time.monotonic() + bound_s
        while True:
            await self._drained()
            await self._collect_letters()
            resolved = self.ended.keys() | {letter.event_id for letter in self.letters}
            poor = lacking(self._told(), self.enrichments)
            open_ = [one for one in self.sent if one not in resolved or one in poor]
            queued = await self.queued()
            if queued >= len(open_):
                return
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(POLL_S)
        for _ in range(len(open_) - queued):
            self.verdict.found("early_acks", f"{queued} messages are left for {len(open_)} open events: {open_[:9]}")

    async def settle(self, bound_s: float = 90.0) -> None:
        """Returns when every event has come to rest, or nothing happened for so long; then the records are compared.

        A slow machine may take its time, as long as it gets on: endings are counted, which cannot come for ever.
        """
        deadline = time.monotonic() + bound_s
        calm, ended = 0, len(self.ended)
        while calm < 2 and time.monotonic() < deadline:
            await asyncio.sleep(POLL_S)
            calm = calm + 1 if await self._at_rest() else 0
            if len(self.ended) > ended:
                deadline, ended = time.monotonic() + bound_s, len(self.ended)
        await self._drained()
        await self._collect_letters()
        heard, talks, told = await self.api.heard(), await self.api.talks(), self._told()
        self.verdict.add(compare(self.sent, heard, told, self.letters))
        self.verdict.add(compare_ends(talks, told, due=self.ends_are_due))
        self.verdict.add(compare_tags(self.tag_keys, talks, told))
        self.verdict.add(compare_cancels(self.cancels, told))
        self.verdict.add(compare_enrichments(told, self.enrichments))
        if calm < 2:
            self.verdict.findings.append(f"no ending for {bound_s:g} s: {await self.queued()} messages are queued")
        for replica in self.replicas:
            if replica.fallen is not None:
                said = f"{replica.name} ended by itself with status {replica.fallen}: see {replica.log}"
                self.verdict.findings.append(said)
        self.recoveries_s += [s for s in map(self._recovery_s, self._struck) if s is not None]

    # --- what can be seen

    @property
    def ended(self) -> dict[str, float]:
        """The events that have an ending, and since when."""
        records = self._subscriber.records
        while self._read < len(records):
            record = records[self._read]
            self._read += 1
            event_id = str(record.properties.correlation_id)
            if is_ending(event_id, record.message_id, record.type):
                self._ended.setdefault(event_id, record.at)
        return self._ended

    async def queued(self) -> int:
        """Messages that are ready in the inbound queue and its delay queues."""
        return sum(await asyncio.to_thread(self._depths))

    def _depths(self) -> list[int]:
        depths = []
        with self.rabbit.channel() as channel:
            for queue in INBOUND:
                depths.append(channel.queue_declare(queue, passive=True).method.message_count)
        return depths

    async def _at_rest(self) -> bool:
        ended = self.ended
        if any(one not in ended for one in self.sent):
            return False
        if any([await replica.in_hand() for replica in self.replicas]):
            return False
        if self.ends_are_due and not await self._all_over():
            return False
        try:
            return await self.queued() == 0
        except UNREACHABLE:
            return False

    async def _all_over(self) -> bool:
        told = self._told()
        return all(is_over(talk, told) for talk in await self.api.talks())

    def _told(self) -> list[Told]:
        return [told_of(record) for record in list(self._subscriber.records) if record.type != MARK]

    def _recovery_s(self, struck: Strike) -> float | None:
        at_s, index, known = struck
        for record in self._subscriber.records[index:]:
            if record.type != MARK and record.at > at_s and record.properties.correlation_id not in known:
                return record.at - at_s
        return None

    async def _published(self, *messages: Outgoing) -> None:
        while True:
            try:
                return await self.rabbit.publish(*messages)
            except UNREACHABLE:
                await asyncio.sleep(POLL_S)

    async def _drained(self) -> None:
        """The subscriber has everything that was confirmed before."""
        mark = f"{MARK}-{next(self._marks)}"
        properties = pika.BasicProperties(type=MARK, message_id=mark, correlation_id=mark, delivery_mode=2)
        await self._published(Outgoing(b"{}", properties, MARK, AGENT))
        deadline = time.monotonic() + 60
        while not any(record.message_id == mark for record in reversed(self._subscriber.records[-500:])):
            if time.monotonic() > deadline:
                raise Unsettled("the subscriber gets nothing any more")
            await asyncio.sleep(0.02)

    async def _collect_letters(self) -> None:
        for record in await self.rabbit.take(DEAD):
            self.letters.append(Letter(str(json.loads(record.body)["id"]), record.routing_key))


Batch = Callable[[Field, int], Awaitable[None]]
"""So many faults, and what comes of them."""


@asynccontextmanager
async def opened(arena: Arena, name: str, setup: Setup) -> AsyncIterator[Field]:
    """A field with its replicas ready; whatever happens, nothing of it is left running."""
    folder = arena.row(name)
    vhost = await asyncio.to_thread(arena.broker.vhost)
    async with AsyncExitStack() as stack:
        stack.callback(arena.broker.give_back, vhost)
        port = free_port()
        api = await stack.enter_async_context(Api(f"http://127.0.0.1:{port}"))
        stack.callback(sandbox(folder, port, setup.pace, setup.limits).kill)
        await api.ready()
        rabbit = Rabbit(arena.broker, vhost)
        subscriber = Subscriber(rabbit.url)
        await asyncio.to_thread(subscriber.start)
        stack.push_async_callback(asyncio.to_thread, subscriber.stop)
        made = Field(arena, folder, vhost, setup, api, subscriber)
        amqp_url, api_url = rabbit.url, api.url
        if setup.wires:
            made.broker_wire = await stack.enter_async_context(Proxy(arena.broker.node.port))
            made.api_wire = await stack.enter_async_context(Proxy(port))
            amqp_url = made.broker_wire.url(vhost) + "?heartbeat=5"
            api_url = f"http://127.0.0.1:{made.api_wire.port}"
        if setup.gateway:
            api_url = (await stack.enter_async_context(Gateway(port))).url
        ledger = f"sqlite:///{folder}/ledger.db"
        if setup.postgres:
            server = await arena.postgres()
            ledger = server.url(await server.database())
        for number in range(1, setup.replicas + 1):
            config = merged(configuration(amqp_url, api_url, ledger), setup.config)
            replica = Replica(folder, f"bridge{number}", config)
            stack.callback(replica.kill)
            made.replicas.append(replica)
            replica.start()
            await replica.ready()
        yield made
        for replica in made.replicas:
            await replica.stop()
