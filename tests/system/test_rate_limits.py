"""The API's limits, which the sandbox enforces in short windows: kept from the first call on, without a single 429."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import pytest

from bridge.sandbox.http.server import Sandbox
from tests.support.events import event
from tests.support.nodes import shared_postgres
from tests.support.observed_sandbox import observed_sandbox
from tests.support.world import World

USERS, EVENTS = 20, 20
WINDOW_S = 2.0
DOCUMENTED: dict[str, Any] = {"create": 5, "interact": 15, "finish": 5, "list": 15, "messages": 20, "tags": 50}


@dataclass
class Statuses:
    """What the sandbox answered."""

    counts: Counter[tuple[str, int]] = field(default_factory=Counter)

    @property
    def refused(self) -> dict[str, int]:
        return {operation: count for (operation, status), count in self.counts.items() if status == 429}


@asynccontextmanager
async def limited_sandbox(**options: Any) -> AsyncIterator[tuple[Sandbox, Statuses]]:
    statuses = Statuses()
    async with observed_sandbox(statuses.counts, **{"limit_window_s": WINDOW_S, **options}) as sandbox:
        yield sandbox, statuses


def config(sandbox: Sandbox, **limits: Any) -> dict[str, Any]:
    return {
        "amigo": {"base_url": sandbox.base_url},
        "limits": {**DOCUMENTED, "sign_in": 5, "window": f"{WINDOW_S:g}s", **limits},
    }


def ids(users: int, events: int) -> list[str]:
    return [f"{user}-{number:02}" for number in range(events) for user in range(users)]


def orders(world: World) -> dict[str, list[str]]:
    """The events of each user in the order in which their answers came."""
    spoken = [str(record.properties.correlation_id) for record in world.records]
    lanes: dict[str, list[str]] = {}
    for one in spoken:
        lanes.setdefault(one.partition("-")[0], []).append(one)
    return {user: [one for one, _ in groupby(lane)] for user, lane in lanes.items()}


@pytest.mark.parametrize("windows", ["call", "clock", "sliding"])
@pytest.mark.parametrize("scope", ["auto", "user"])
async def test_many_events_of_many_users_are_never_refused_and_keep_their_order(
    world: World, windows: str, scope: str
) -> None:
    async with limited_sandbox(limits="user", limit_windows=windows) as (sandbox, statuses):
        await world.launch(**config(sandbox, scope=scope))
        events = ids(USERS, EVENTS)
        await world.publish(*[event(one, user_id=f"user-{one.partition('-')[0]}") for one in events])
        await world.endings(*events, bound_s=120)
        assert statuses.refused == {}
        assert orders(world) == {str(user): [f"{user}-{n:02}" for n in range(EVENTS)] for user in range(USERS)}
        await world.bridges[0].stop()


async def test_the_wait_is_told_in_the_log_and_in_the_metrics(world: World) -> None:
    async with limited_sandbox(limits="user") as (sandbox, statuses):
        bridge = await world.launch(**config(sandbox), conversations={"finish": "never"})
        events = [f"one-{number:02}" for number in range(17)]
        await world.publish(*[event(one, user_id="ann") for one in events])
        await world.endings(*events, bound_s=60)
        assert statuses.refused == {}
        limited = [line for line in bridge.log_lines() if line.get("outcome") == "limited"]
        assert limited
        assert all(line["error"].startswith("the limit of ann for interact until 20") for line in limited)
        found = await bridge.get("/metrics")
        assert found is not None
        assert 'bridge_limited_seconds_total{operation="interact"}' in found[1]
        assert 'bridge_attempts_total{outcome="limited"}' in found[1]
        await bridge.stop()


async def test_a_wait_beyond_park_after_goes_to_a_delay_queue(world: World) -> None:
    async with limited_sandbox(limits="user") as (sandbox, statuses):
        bridge = await world.launch(**config(sandbox), lanes={"park_after": "100ms"})
        events = [f"one-{number:02}" for number in range(17)]
        await world.publish(*[event(one, user_id="ann") for one in events])
        await world.endings(*events, bound_s=60)
        assert statuses.refused == {}
        assert any(line.get("settlement") == "parked" for line in bridge.log_lines())
        assert orders(world) == {"one": events}
        await bridge.stop()


@pytest.mark.parametrize("windows", ["clock", "sliding"])
async def test_two_replicas_on_a_database_keep_the_limits_together(
    world: World, request: pytest.FixtureRequest, windows: str
) -> None:
    server = await asyncio.to_thread(shared_postgres, request.config)
    ledger = {"url": server.url(await server.database())}
    async with limited_sandbox(limits="user", limit_windows=windows) as (sandbox, statuses):
        for _ in range(2):
            await world.launch(**config(sandbox), ledger=ledger, amqp={"inbound": {"prefetch": 50}})
        events = ids(USERS, EVENTS)
        await world.publish(*[event(one, user_id=f"user-{one.partition('-')[0]}") for one in events])
        stories = await world.endings(*events, bound_s=180)
        assert {story.ending.type for story in stories} == {"interaction-complete"}
        assert statuses.refused == {}
        for bridge in world.bridges:
            await bridge.stop()
        assert all(any(line["event"] == "limits.shared" for line in each.log_lines()) for each in world.bridges)
