"""Users by e-mail, against the sandbox: two processes with one ledger create each user once, and lose no event."""

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bridge.sandbox.http.server import Sandbox
from bridge.sandbox.state.state import State
from tests.support.events import SERVICE, event, text_of
from tests.support.nodes import shared_postgres
from tests.support.observed_sandbox import observed_sandbox
from tests.support.process import BridgeProcess, run_command
from tests.support.rabbit import DEAD
from tests.support.waiting import until
from tests.support.world import World

CUSTOMERS, EVENTS_EACH = 50, 4
CREATE = {"first_name": "Ada", "last_name": "Lovelace", "timezone": "Europe/London"}
MARK = "customer-"


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with observed_sandbox() as made:
        yield made


def email(number: int) -> str:
    return f"{MARK}{number}@example.com"


def created(state: State) -> Counter[str]:
    """How many users there are of each customer's e-mail."""
    return Counter(user.email for user in state.store.users.values() if user.email.startswith(MARK))


def by_email(event_id: str, number: int, **more: Any) -> Any:
    return event(event_id, **{"user_id": None, "user": {"email": email(number), "create": CREATE}, **more})


async def launch(world: World, sandbox: Sandbox, **over: Any) -> BridgeProcess:
    return await world.launch(**{"amigo": {"base_url": sandbox.base_url}, **over})


FAULTS: dict[str, dict[str, Any] | None] = {
    "as it is": None,
    "the answer is lost": {"kind": "lost-response", "count": 30},
    "409 at once": {"kind": "http-409", "count": 30},
    "too early": {"kind": "http-429", "count": 30, "wait_s": 0},
    "not there": {"kind": "http-503", "count": 4},
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_many_unknown_customers_at_once_are_created_once_and_no_event_is_lost(
    world: World, sandbox: Sandbox, request: pytest.FixtureRequest, fault: dict[str, Any] | None
) -> None:
    server = await asyncio.to_thread(shared_postgres, request.config)
    ledger = {"url": server.url(await server.database())}
    for _ in range(2):
        await launch(world, sandbox, ledger=ledger, amqp={"inbound": {"prefetch": 20}}, retry={"attempts": 20})
    if fault is not None:
        sandbox.state.faults.add({"match": {"operation": "create-invited-user"}, **fault})
    ids = [f"c{number}-{turn}" for turn in range(EVENTS_EACH) for number in range(CUSTOMERS)]
    await world.publish(*[by_email(one, int(one[1:].split("-")[0])) for one in ids])
    stories = await world.endings(*ids, bound_s=90)
    assert {story.ending.type for story in stories} == {"interaction-complete"}
    assert created(sandbox.state) == {email(number): 1 for number in range(CUSTOMERS)}
    owners = {user.user_id: user.email for user in sandbox.state.store.users.values()}
    for one, story in zip(ids, stories, strict=True):
        assert owners[story.ending.headers["user_id"]] == email(int(one[1:].split("-")[0]))
    assert await world.rabbit.ready_is(DEAD, 0)
    for bridge in world.bridges:
        assert MARK not in bridge.log


async def test_one_process_keeps_the_order_of_each_customer(world: World, sandbox: Sandbox) -> None:
    await launch(world, sandbox)
    sandbox.state.faults.add({"match": {"operation": "get-users"}, "kind": "slow-headers", "delay_s": 0.3, "count": 20})
    ids = [f"c{number}-{turn}" for turn in range(5) for number in range(10)]
    await world.publish(*[by_email(one, int(one[1:].split("-")[0])) for one in ids])
    await world.endings(*ids, bound_s=60)
    order: defaultdict[str, list[str]] = defaultdict(list)
    for record in world.records:
        if record.type == "interaction-complete":
            customer = str(record.properties.correlation_id).partition("-")[0]
            order[customer].append(str(record.properties.correlation_id))
    assert order == {f"c{number}": [f"c{number}-{turn}" for turn in range(5)] for number in range(10)}


async def test_nobody_is_no_user_and_the_letter_does_not_tell_the_e_mail(world: World, sandbox: Sandbox) -> None:
    bridge = await launch(world, sandbox)
    await world.publish(event("n1", user_id=None, user={"email": email(1)}))
    told = await world.ending("n1")
    assert told.ending.type == "bridge-failed"
    assert json.loads(told.ending.body)["reason"] == "no-user"
    (letter,) = await world.dead(1)
    assert (letter.routing_key, MARK in str(letter.headers)) == ("no-user", False)
    assert MARK not in bridge.log


async def test_publish_has_flags_for_a_user_by_e_mail(world: World, sandbox: Sandbox) -> None:
    bridge = await launch(world, sandbox)
    names = ("--create-first-name", "Ada", "--create-last-name", "Lovelace", "--create-timezone", "Europe/London")
    words = ("--message", text_of("p1"), "--service-id", SERVICE, "--user-email", email(1), *names)
    done = await run_command(world.folder, "publish", "--config", bridge.file.name, "--id", "p1", *words)
    assert done.status == 0, done.all
    assert (await world.ending("p1")).ending.type == "interaction-complete"
    (user,) = [user for user in sandbox.state.store.users.values() if user.email == email(1)]
    assert (user.first_name, user.last_name, user.role_name) == ("Ada", "Lovelace", "DefaultUserRole")
    assert user.preferences["timezone"] == "Europe/London"
    bad = (*words[:5], "nobody", *names)
    refused = await run_command(world.folder, "publish", "--config", bridge.file.name, "--id", "p2", *bad)
    assert (refused.status, "user.email is no e-mail address" in refused.all) == (1, True)


async def test_a_user_who_has_just_been_created_may_be_refused_for_a_while(world: World) -> None:
    async with observed_sandbox(unverified_users=True) as sandbox:
        await launch(world, sandbox)
        await world.publish(by_email("v1", 1))
        await until(lambda: created(sandbox.state), "the user is created")
        (user,) = [user for user in sandbox.state.store.users.values() if user.email == email(1)]
        user.verified = True
        told = await world.ending("v1")
        assert (told.ending.type, told.ending.headers["user_id"]) == ("interaction-complete", user.user_id)


async def test_routes_share_out_version_sets_by_weight_and_say_so(world: World, sandbox: Sandbox) -> None:
    route = {"name": "weighed", "service_id": SERVICE, "version_set": {"release": 90, "zcanary": 10}}
    bridge = await launch(world, sandbox, routes=[route])
    chosen = {f"user-{number}": "zcanary" if number in (18, 24) else "release" for number in range(16, 26)}
    await world.publish(*[event(f"w-{one}", user_id=one, service_id=None, kind="external-event") for one in chosen])
    stories = await world.endings(*[f"w-{user_id}" for user_id in chosen])
    assert {story.ending.headers["user_id"]: story.ending.headers["version_set"] for story in stories} == chosen
    scraped = await bridge.get("/metrics")
    assert scraped is not None
    assert 'bridge_version_sets_total{route="weighed",version_set="zcanary"} 2.0' in scraped[1]
