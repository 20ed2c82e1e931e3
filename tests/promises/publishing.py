"""A publisher and its broker, fake and real: four outbounds, of which two are heard, one is deaf and one is full."""

import asyncio
from typing import Any, Protocol

from bridge.core.answer.outbound_message import OutboundMessage
from bridge.core.broker.publish_refusal import NACKED, UNROUTED
from bridge.flow.ports.broker import Publisher
from tests.support.broker import Broker
from tests.support.fakes import FakePublisher
from tests.support.proxy import Proxy
from tests.support.rabbit import QUORUM
from tests.support.rig import Rig, outbound, outgoing

HEARD, AUDIT, DEAF, FULL = 0, 1, 2, 3
EXCHANGES = ("agent.events", "audit", "deaf", "full")
ALWAYS = 1_000_000


class World(Protocol):
    """Connected by `start`; `cut` breaks the connection, which comes back by itself."""

    @property
    def publisher(self) -> Publisher: ...

    async def start(self) -> None: ...

    async def cut(self) -> None: ...

    def crowd(self) -> list[OutboundMessage]:
        """Messages that are too many to be unconfirmed; called before `start`."""

    async def arrived(self, outbound: int) -> list[tuple[str, bytes]]:
        """Id and body of all that subscribers got and were not asked about yet, in order, repeats included."""

    async def stop(self) -> None: ...


class FakeWorld:
    """The fake of the flow's tests."""

    def __init__(self) -> None:
        self.publisher = FakePublisher()
        self.publisher.connected = False
        self.publisher.refuse(ALWAYS, UNROUTED, lambda message: message.to.outbound == DEAF and message.mandatory)
        self.publisher.refuse(ALWAYS, NACKED, lambda message: message.to.outbound == FULL)
        self._seen = 0

    async def start(self) -> None:
        self.publisher.open_room()
        self.publisher.reconnect()

    async def cut(self) -> None:
        self.publisher.lose()
        await asyncio.sleep(0)
        self.publisher.reconnect()

    def crowd(self) -> list[OutboundMessage]:
        self.publisher.close_room()
        return []

    async def arrived(self, outbound: int) -> list[tuple[str, bytes]]:
        return [(sent.message_id, sent.body) for sent in self.publisher.sent if sent.to.outbound == outbound]

    async def stop(self) -> None:
        assert self.publisher.unconfirmed == []


class RealWorld:
    """A publisher of ours, and RabbitMQ behind a proxy."""

    def __init__(self, rig: Rig, proxy: Proxy) -> None:
        self.publisher = rig.publisher
        self._rig = rig
        self._proxy = proxy

    @classmethod
    async def made(cls, broker: Broker, build: Any, proxy: Proxy, name: str) -> "RealWorld":
        vhost = broker.vhost()
        outbounds = tuple(outbound(exchange) for exchange in EXCHANGES)
        rig = build(vhost=vhost, urls=(proxy.url(vhost),), outbounds=outbounds, publisher=name)
        for exchange in EXCHANGES[:2]:
            await rig.rabbit.make_queue(exchange, QUORUM, "#", exchange=exchange)
        full = {"x-queue-type": "classic", "x-max-length": 0, "x-overflow": "reject-publish"}
        await rig.rabbit.make_queue(EXCHANGES[FULL], full, "#", exchange=EXCHANGES[FULL])
        return cls(rig, proxy)

    async def start(self) -> None:
        await self._rig.start()

    async def cut(self) -> None:
        number = self._rig.generation
        self._proxy.reset()
        await self._rig.connected(number + 1)

    def crowd(self) -> list[OutboundMessage]:
        return [outgoing(f"crowd-{number}", b"x" * 1_000_000) for number in range(40)]

    async def arrived(self, outbound: int) -> list[tuple[str, bytes]]:
        return [(record.message_id, record.body) for record in await self._rig.rabbit.take(EXCHANGES[outbound])]

    async def stop(self) -> None:
        assert self.publisher.unconfirmed == 0
        await self._rig.stop()
