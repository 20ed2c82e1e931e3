"""Pausing, resuming and looking, as an operator does it: the commands over the broker, and HTTP with a token."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from deploy.local.node import free_port
from tests.support.events import event, text_of
from tests.support.fake_api import Gate, answer
from tests.support.nodes import shared_postgres
from tests.support.process import BridgeProcess, Output, run_command
from tests.support.rabbit import DEAD, EVENTS, HELD
from tests.support.waiting import stays, until
from tests.support.world import World

TOKEN, VIEWER = "canary-token-of-the-operators-0123456789", "canary-token-of-the-viewers-0123456789"
ROUTES = [{"name": "payments", "when": "data.kind == 'payment'"}]
TOKENS = {"ops": {"token": TOKEN, "role": "operator"}, "board": {"token": VIEWER, "role": "viewer"}}


async def steer(world: World, *arguments: str, replicas: int = 1) -> Output:
    """A command, as a person gives it beside the service."""
    name, *rest = arguments
    config = ("--config", world.bridges[0].file.name)
    return await run_command(world.folder, name, *config, "--wait", "30s", "--replicas", str(replicas), "--json", *rest)


async def asked(
    bridge: BridgeProcess, method: str, path: str, token: str | None = TOKEN, body: Any = None
) -> tuple[int, Any]:
    """Status and answer of the operators' listener."""
    url = f"http://{bridge.config['admin']['listen']}{path}"
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url, headers=headers, json=body) as response,
    ):
        text = await response.text()
        return response.status, json.loads(text) if text.startswith("{") else text


def held(world: World, count: int) -> Callable[[], Awaitable[bool]]:
    return lambda: world.rabbit.ready_is(HELD, count)


def committed(world: World, *event_ids: str) -> list[str]:
    """Those that the API has heard, in the order in which it did."""
    names = {text_of(one): one for one in event_ids}
    return [names[talk.text] for talk in world.fake.truth.talks if talk.text in names]


def admin() -> dict[str, Any]:
    return {"listen": f"127.0.0.1:{free_port()}", "tokens": TOKENS}


async def test_a_paused_user_waits_and_goes_on_in_order(world: World) -> None:
    bridge = await world.launch()
    done = await steer(world, "pause", "--user", "ann", "--reason", "she asked for it")
    assert done.status == 0, done.all
    (answered,) = json.loads(done.out)["replicas"]
    assert answered["pauses"][0]["reason"] == "she asked for it"
    ids = [f"a{number}" for number in range(20)]
    for one in ids:
        await world.publish(event(one, user_id="ann"))
    await world.publish(event("b", user_id="bob"))
    await world.ending("b")
    await until(held(world, 20), "ann's events are held", 30)
    await until(lambda: world.counts(EVENTS, (0, 0)), "nobody waits for them")
    status, body = await bridge.readiness() or (0, {})
    (row,) = [each for each in body["components"] if each["name"] == "pauses"]
    assert (status, row["ok"]) == (200, False)
    assert "user ann since" in row["reason"]
    assert "she asked for it" in row["reason"]
    found = await bridge.get("/metrics")
    assert found is not None
    assert 'bridge_pauses{scope="user"} 1.0' in found[1]
    traced = await run_command(world.folder, "trace", "--config", bridge.file.name, "a7")
    assert "in the held queue: a person has paused" in traced.out
    done = await steer(world, "resume", "--user", "ann")
    assert (done.status, json.loads(done.out)["replicas"][0]["lifted"]) == (0, True)
    await world.endings(*ids, bound_s=60)
    assert committed(world, *ids) == ids
    await until(held(world, 0), "nothing is held")
    audit = [line for line in bridge.log_lines() if line["event"] == "control.commanded"]
    assert [(line["command"], line["about"], line["by"]) for line in audit] == [
        ("pause", "user:ann", "user guest"),
        ("resume", "user:ann", "user guest"),
    ]


async def test_a_pause_outlives_the_process_and_ends_by_itself(world: World) -> None:
    bridge = await world.launch()
    assert (await steer(world, "pause", "--user", "ann", "--for", "1h")).status == 0
    await world.publish(event("e1", user_id="ann"))
    await until(held(world, 1), "it is held")
    await until(lambda: world.counts(EVENTS, (0, 0)), "and settled: a kill before that would have it held twice")
    await bridge.kill()
    bridge.start()
    await bridge.ready()
    await world.publish(event("e2", user_id="ann"))
    await until(held(world, 2), "so is the next one, by the next process")
    await until(lambda: world.counts(EVENTS, (0, 0)), "and settled")
    assert (await steer(world, "pause", "--user", "ann", "--for", "5s")).status == 0
    await bridge.kill()
    bridge.start()
    await world.endings("e1", "e2", bound_s=60)
    assert committed(world, "e1", "e2") == ["e1", "e2"]


async def test_everything_paused_leaves_the_queue_alone(world: World) -> None:
    bridge = await world.launch(admin=admin())
    gate = Gate()
    world.fake.script(text_of("streams"), answer("some ", "words", before_end=(gate,)))
    await world.publish(event("streams", user_id="ann"), event("behind", user_id="ann"))
    await world.streaming("streams")
    status, body = await asked(bridge, "POST", "/admin/pause", body={"scope": "all", "reason": "stop"})
    assert (status, len(body["replicas"])) == (200, 1)
    await world.publish(event("later"), event("latest"))
    await until(lambda: world.rabbit.ready_is(EVENTS, 2), "they stay in the queue")
    assert await bridge.is_ready()
    gate.open()
    await world.ending("streams")
    await until(held(world, 1), "what was in hand and had not started is held")
    await stays(lambda: not world.fake.truth.talks_of(text_of("behind")), "nothing starts", 1)
    status, body = await asked(bridge, "GET", "/admin/status", VIEWER)
    assert [pause["scope"] for pause in body["replicas"][0]["pauses"]] == ["all"]
    assert (await asked(bridge, "POST", "/admin/resume", body={"scope": "all"}))[0] == 200
    await world.endings("behind", "later", "latest")


async def test_two_replicas_hear_it_and_one_that_dies_changes_nothing(
    world: World, request: pytest.FixtureRequest
) -> None:
    server = await asyncio.to_thread(shared_postgres, request.config)
    ledger = {"url": server.url(await server.database())}
    first = await world.launch(ledger=ledger, routes=ROUTES)
    second = await world.launch(ledger=ledger, routes=ROUTES)
    done = await steer(world, "status", replicas=2)
    assert done.status == 0, done.all
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert len({row["replica"] for row in rows}) == 2
    assert len({row["configuration"] for row in rows}) == 2  # each has its own port
    for row in rows:
        assert {"version", "since", "in_hand", "waiting", "limits", "breaker", "pauses", "generation"} <= set(row)
    assert (await steer(world, "pause", "--route", "payments", replicas=2)).status == 0
    paid = [f"p{number}" for number in range(30)]
    await world.publish(*[event(one, user_id=f"u-{one}", data={"kind": "payment"}) for one in paid])
    await until(held(world, 30), "they are held, whichever replica had them", 30)
    await first.kill()
    assert (await steer(world, "resume", "--route", "payments")).status == 0
    await world.endings(*paid, bound_s=60)
    assert await world.rabbit.ready_is(DEAD, 0)
    assert second.running


async def test_where_the_exchange_is_not_permitted_one_replica_is_asked_and_says_so(world: World) -> None:
    own = r"^(bridge\.(events|dead|delay)(\..+)?|agent\.events)$"
    add = world.rabbit.broker.add_user
    url = await asyncio.to_thread(add, world.rabbit.vhost, f"narrow-{world.rabbit.vhost}", "secret", own, own, own)
    bridge = await world.launch(amqp={"url": url}, admin=admin())
    await until(lambda: "control.unavailable" in bridge.log, "it says so")
    status, body = await asked(bridge, "POST", "/admin/pause", body={"scope": "user", "name": "ann"})
    assert (status, "bridge.control" in body["only_this_replica"]) == (200, True)
    await world.publish(event("e1", user_id="ann"))
    await until(held(world, 1), "it is held all the same")
    assert (await asked(bridge, "POST", "/admin/resume", body={"scope": "user", "name": "ann"}))[0] == 200
    await world.ending("e1")


async def test_with_tokens_metrics_and_reasons_are_on_the_operators_listener_alone(world: World) -> None:
    bridge = await world.launch(admin=admin())
    public = {path: await bridge.get(path) for path in ("/readyz", "/metrics", "/admin/status", "/livez")}
    assert [found and found[0] for found in public.values()] == [200, 404, 404, 200]
    assert all(row.keys() == {"name", "ok"} for row in json.loads(public["/readyz"][1])["components"])  # type: ignore[index]
    assert "bridge_in_hand" in (await asked(bridge, "GET", "/metrics", None))[1]
    rows = (await asked(bridge, "GET", "/readyz", None))[1]["components"]
    assert all("reason" in row for row in rows)
    assert (await asked(bridge, "GET", "/admin/status", None))[0] == 401
    assert (await asked(bridge, "GET", f"/admin/status?token={TOKEN}", None))[0] == 401
    assert (await asked(bridge, "POST", "/admin/pause", VIEWER, {"scope": "all"}))[0] == 403
    wrong = [(await asked(bridge, "GET", "/admin/status", f"{TOKEN[:-1]}{number}"))[0] for number in range(8)]
    assert wrong == [401] * 8
    assert (await asked(bridge, "GET", "/admin/status"))[0] == 200
    assert "control.commanded" in bridge.log


async def test_a_command_that_cannot_be_says_what_is_wrong_with_it(world: World) -> None:
    bridge = world.bridge(routes=ROUTES)
    await world.rabbit.declare()
    bridge.start()
    await bridge.ready()
    for arguments, status, words in (
        (("pause",), 2, "say what: one of --all"),
        (("pause", "--all", "--user", "ann"), 2, "say what: one of --all"),
        (("pause", "--route", "paymnets"), 2, "Did you mean payments?"),
        (("pause", "--inbound", "bridge.event"), 2, "Did you mean bridge.events?"),
        (("pause", "--all", "--for", "soon"), 2, "not a duration"),
        (("pause", "--all", "--reason", "a\x1bb"), 2, "reason: not a text"),
        (("resume", "--route", "payments"), 1, "route payments was not paused; nothing is"),
    ):
        done = await steer(world, *arguments)
        assert (done.status, words in " ".join(done.err.split())) == (status, True), done.all
    assert (await steer(world, "pause", "--user", "annabel")).status == 0
    done = await steer(world, "resume", "--user", "anabel")
    assert (done.status, "Did you mean annabel?" in done.err) == (1, True)
    assert "1 of 2 replicas" in (await steer(world, "status", "--wait", "10s", replicas=2)).err
    await bridge.stop()
    done = await steer(world, "status", "--wait", "1s")
    assert (done.status, "no replica has answered" in " ".join(done.err.split())) == (1, True)


async def test_status_in_words(world: World) -> None:
    await world.launch(routes=ROUTES)
    config = ("--config", world.bridges[0].file.name)
    done = await run_command(world.folder, "pause", *config, "--route", "payments", "--reason", "why", "--for", "1h")
    assert (done.status, "route payments is paused, on 1 replica: " in done.out) == (0, True), done.all
    done = await run_command(world.folder, "status", *config)
    for words in ("  ready, version ", "  config ", "  breaker      closed", "  paused       route payments since "):
        assert words in done.out
    done = await run_command(world.folder, "resume", *config, "--route", "payments")
    assert "route payments goes on, on 1 replica: " in done.out


async def test_what_a_person_finishes_is_said_by_person(world: World) -> None:
    world.fake.default = answer("some", done=False)
    bridge = await world.launch()
    await world.publish(event("e1", user_id="ann"))
    await world.ending("e1")
    (conversation,) = world.fake.truth.conversations.values()
    config = ("--config", bridge.file.name, "--as", "ann", "--json")
    done = await run_command(world.folder, "history", "finish", *config, conversation.id)
    assert done.status == 0, done.all
    assert json.loads(done.out) == {"conversation_id": conversation.id, "already": False, "announced": True}
    await until(lambda: any(record.type == "conversation-finished" for record in world.records), "it is said")
    (record,) = [record for record in world.records if record.type == "conversation-finished"]
    assert json.loads(record.body)["by"] == "person"
    assert record.properties.message_id == f"{conversation.id}:conversation-finished"
