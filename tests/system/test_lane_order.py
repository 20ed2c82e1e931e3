"""The order of a lane's events, over replicas, restarts, kills and losses."""

import asyncio
from collections import defaultdict
from functools import partial
from typing import Any

import pytest

from tests.support.events import event, text_of
from tests.support.fake_api import Refusal, answer
from tests.support.nodes import shared_postgres
from tests.support.postgres import PostgresServer
from tests.support.waiting import until
from tests.support.world import World

USERS, EACH = 20, 10
NUMBERED = "SELECT count(*) FROM (SELECT key FROM amigo_bridge.known UNION SELECT key FROM amigo_bridge.lane_places) _"
FIRST_RETRY = {"retry": {"first": "1s", "longest": "2s", "attempts": 6}}


def event_id(user: int, number: int) -> str:
    return f"u{user:02}-{number:02}"


ALL = [event_id(user, number) for user in range(USERS) for number in range(EACH)]
BY_USER = {f"user-{user}": [event_id(user, number) for number in range(EACH)] for user in range(USERS)}


def heard(world: World) -> dict[str, list[str]]:
    """The events that the API has been told, for each user, in the order in which that was begun."""
    by_text = {text_of(one): one for one in ALL}
    order: defaultdict[str, list[str]] = defaultdict(list)
    for talk in world.fake.truth.talks:
        if talk.committed and talk.text in by_text:
            order[f"user-{int(by_text[talk.text][1:3])}"].append(by_text[talk.text])
    return order


class SharedLedger:
    """A database, and how many events the replicas have numbered in it."""

    def __init__(self, server: PostgresServer, database: str) -> None:
        self._server, self._database = server, database
        self.settings = {"url": server.url(database)}

    @classmethod
    async def new(cls, request: pytest.FixtureRequest) -> "SharedLedger":
        server = await asyncio.to_thread(shared_postgres, request.config)
        return cls(server, await server.database())

    async def has(self, events: int) -> bool:
        ((known,),) = await self._server.fetch(NUMBERED, self._database)
        return known == events


async def publish_all(world: World, ledger: SharedLedger, *, from_: int = 0, to: int = EACH) -> None:
    """The events of all users, those of one user one after the other, a few of which fail at first.

    Two that are under way to two replicas at once may change places: the next one comes when the last one is numbered.
    """
    for number in range(from_, to):
        for user in range(USERS):
            one = event_id(user, number)
            if (user + 3 * number) % 7 == 0:
                world.fake.script(text_of(one), Refusal(500), answer("at last"))
        await world.publish(*[event(event_id(user, number), user_id=f"user-{user}") for user in range(USERS)])
        await until(partial(ledger.has, USERS * (number + 1)), "they are numbered", 60)


async def test_two_replicas_keep_the_order_of_each_lane(world: World, request: pytest.FixtureRequest) -> None:
    ledger = await SharedLedger.new(request)
    both = [await world.launch(ledger=ledger.settings, **FIRST_RETRY) for _ in range(2)]
    await publish_all(world, ledger)
    await world.endings(*ALL, bound_s=120)
    assert heard(world) == BY_USER
    assert world.fake.truth.overlaps() == []
    for bridge in both:
        assert any(line["event"] == "delivery.settled" for line in bridge.log_lines()), "both have had some"


async def test_the_order_holds_where_a_replica_is_killed(world: World, request: pytest.FixtureRequest) -> None:
    ledger = await SharedLedger.new(request)
    victim, _ = [await world.launch(ledger=ledger.settings, **FIRST_RETRY) for _ in range(2)]
    await publish_all(world, ledger, to=EACH // 2)
    await victim.kill()
    await publish_all(world, ledger, from_=EACH // 2)
    await world.endings(*ALL, bound_s=180)
    assert heard(world) == BY_USER


async def test_the_order_holds_over_a_restart_while_an_event_is_parked(world: World) -> None:
    mine = BY_USER["user-0"]
    slow = {"retry": {"first": "4s", "longest": "4s", "attempts": 6}}
    world.fake.script(text_of(mine[0]), Refusal(500), answer("at last"))
    bridge = await world.launch(**slow)
    await world.publish(*[event(one, user_id="user-0") for one in mine[:4]])
    await until(lambda: mine[0] in parked(bridge.log_lines()), "the first is parked, the others are or wait for it", 20)
    assert await bridge.stop() == 0
    await world.publish(*[event(one, user_id="user-0") for one in mine[4:7]])
    await world.launch(**slow)
    await world.publish(*[event(one, user_id="user-0") for one in mine[7:]])
    await world.endings(*mine, bound_s=60)
    assert heard(world) == {"user-0": mine}


async def test_an_event_that_is_lost_holds_up_nobody_for_good(world: World) -> None:
    first, *others = BY_USER["user-0"][:3]
    world.fake.script(text_of(first), Refusal(500))
    bridge = await world.launch(
        retry={"first": "10s", "longest": "10s"}, lanes={"park_after": "3s", "lost_after": "2s"}
    )
    await world.publish(event(first, user_id="user-0"))

    async def taken() -> bool:
        """As soon as it is parked: nobody will ever see it again."""
        return len(await world.rabbit.take("bridge.events.delay.10")) == 1

    await until(taken, "it is parked")
    await until(lambda: parked(bridge.log_lines()) == [first], "it is settled")
    await world.publish(*[event(one, user_id="user-0") for one in others])
    await world.endings(*others, bound_s=90)
    assert heard(world) == {"user-0": others}


def parked(lines: list[dict[str, Any]]) -> list[str]:
    """The events that have gone to a delay queue."""
    return [
        line["event_id"] for line in lines if line["event"] == "delivery.settled" and line["settlement"] == "parked"
    ]
