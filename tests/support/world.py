"""One test's world: a vhost, a fake API, a subscriber, and the bridges that it starts."""

import asyncio
from pathlib import Path
from typing import Any

from deploy.local.node import free_port
from deploy.local.unlimited import UNLIMITED
from tests.support.events import text_of
from tests.support.fake_api import FakeApi
from tests.support.oracle import Story, ended, story
from tests.support.process import BridgeProcess
from tests.support.rabbit import DEAD, EVENTS, Outgoing, Rabbit, ReceivedMessage, Subscriber
from tests.support.waiting import until

API_KEY = "canary-key-6c1d"
API_KEY_ID = "canary-key-id-90aa"


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`over` laid on `base`, map by map."""
    result = dict(base)
    for name, value in over.items():
        both = isinstance(value, dict) and isinstance(result.get(name), dict)
        result[name] = merged(result[name], value) if both else value
    return result


class World:
    def __init__(self, folder: Path, rabbit: Rabbit, fake: FakeApi, subscriber: Subscriber) -> None:
        self.folder, self.rabbit, self.fake, self.subscriber = folder, rabbit, fake, subscriber
        self.bridges: list[BridgeProcess] = []
        self.unfinished = 0
        self.dead_letters: list[ReceivedMessage] = []
        self.background: list[asyncio.Task[None]] = []

    @property
    def ended(self) -> set[str]:
        """The ids of the events that have an ending."""
        return ended(self.records)

    @property
    def records(self) -> list[ReceivedMessage]:
        return list(self.subscriber.records)

    def config(self, **over: Any) -> dict[str, Any]:
        base = {
            "amqp": {"url": self.rabbit.url},
            "amigo": {
                "base_url": self.fake.url,
                "organization_id": "acme",
                "api_key": API_KEY,
                "api_key_id": API_KEY_ID,
                "user_id": "bridge-bot",
                "settle": "300ms",
            },
            "limits": UNLIMITED,
            "retry": {"attempts": 3, "first": "100ms", "longest": "1s"},
            "http": {"host": "127.0.0.1", "port": free_port()},
            "shutdown": {"grace": "5s"},
            "log": {"level": "info", "format": "json"},
        }
        return merged(base, over)

    def bridge(self, **over: Any) -> BridgeProcess:
        """One that is not started yet."""
        made = BridgeProcess(self.folder, self.config(**over), f"bridge{len(self.bridges) + 1}")
        self.bridges.append(made)
        return made

    async def launch(self, **over: Any) -> BridgeProcess:
        """One that is ready."""
        made = self.bridge(**over)
        made.start()
        await made.ready()
        return made

    async def publish(self, *messages: Outgoing) -> None:
        await self.rabbit.publish(*messages)

    async def endings(self, *event_ids: str, bound_s: float = 20) -> list[Story]:
        """The stories of these events once each has an ending."""
        wanted = set(event_ids)

        def missing() -> set[str]:
            return wanted - self.ended

        try:
            await until(lambda: not missing(), "every event has its ending", bound_s)
        except AssertionError as error:
            raise AssertionError(f"{error}: missing {sorted(missing())[:10]} of {len(wanted)}") from None
        return [story(self.records, event_id) for event_id in event_ids]

    async def ending(self, event_id: str, bound_s: float = 20) -> Story:
        return (await self.endings(event_id, bound_s=bound_s))[0]

    async def dead(self, count: int, bound_s: float = 20) -> list[ReceivedMessage]:
        """All dead letters so far, once there are at least `count`."""

        async def enough() -> bool:
            self.dead_letters += await self.rabbit.take(DEAD)
            return len(self.dead_letters) >= count

        await until(enough, f"{count} dead letters", bound_s, step_s=0.05)
        return list(self.dead_letters)

    async def streaming(self, *event_ids: str, bound_s: float = 20) -> None:
        """The API is streaming the answer to each of these events, and its first line has come out."""

        def begun() -> bool:
            out = {record.properties.correlation_id for record in self.records}
            return all(self.fake.truth.talks_of(text_of(one)) and one in out for one in event_ids)

        await until(begun, f"the answers to {event_ids[:5]} stream", bound_s)

    async def drained(self, bound_s: float = 10) -> None:
        """Nothing of the inbound queue is ready."""

        async def empty() -> bool:
            return await self.rabbit.ready_count(EVENTS) == 0

        await until(empty, "the inbound queue has nothing ready", bound_s, step_s=0.05)

    async def counts(self, queue: str, *allowed: tuple[int, int]) -> bool:
        """Whether (ready, unacknowledged), at this moment, is among the allowed."""
        found = await self.rabbit.counts(queue)
        return found in allowed

    def resubscribe(self) -> None:
        """A new subscriber on the same durable queue that keeps what was received so far."""
        before = self.subscriber.records
        self.subscriber = Subscriber(self.rabbit.url)
        self.subscriber.records = before
        self.subscriber.start()

    async def close(self) -> None:
        """Stops the bridges; what they had in hand must be settled, except what the test says is unfinished."""
        for bridge in self.bridges:
            await bridge.close()
        left = await self.rabbit.depth(EVENTS)
        assert left is None or left[0] == self.unfinished, f"{left[0]} events are left unacknowledged"

    async def abort(self) -> None:
        """Leaves nothing running, whatever happened."""
        for bridge in self.bridges:
            if bridge.running:
                await bridge.kill()
            print(f"--- log of {bridge.name}\n{bridge.log[-20000:]}")
        await asyncio.to_thread(self.subscriber.stop)
        await self.fake.stop()
