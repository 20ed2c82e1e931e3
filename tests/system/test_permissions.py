"""The permissions that docs/operations.md states are enough, and those for a virtual host of any name."""

import asyncio
import re
import shlex
from typing import Any

import aiohttp
import pytest
import yaml

from tests.support.events import SERVICE, event, fields, text_of
from tests.support.fake_api import Refusal, answer
from tests.support.process import ROOT, run_command
from tests.support.rabbit import DEAD, EVENTS
from tests.support.waiting import until
from tests.support.world import World

from .test_commands import Tail, watched

RETRY = {"attempts": 2, "first": "1s", "longest": "1s"}
STATED = re.compile(r"^# (.*)\nrabbitmqctl (set_permissions .*)$", re.MULTILINE)


def stated() -> dict[str, list[str]]:
    """The three regular expressions of each kind of user, as the page has them."""
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    return {who: shlex.split(command)[-3:] for who, command in STATED.findall(text)}


async def permitted(world: World, who: str, name: str) -> str:
    """The URL of a new user with the rights that the page states."""
    add = world.rabbit.broker.add_user
    return await asyncio.to_thread(add, world.rabbit.vhost, f"{name}-{world.rabbit.vhost}", "secret", *stated()[who])


def test_the_page_states_them_for_every_kind_of_user() -> None:
    assert set(stated()) == {"service, amqp.declare: true", "service, amqp.declare: false", "cli", "operator"}
    assert stated()["service, amqp.declare: true"] == [r"^(bridge|agent)\."] * 3
    for expressions in stated().values():
        assert not any(re.search(expression, "amq.default") for expression in expressions)


@pytest.mark.parametrize("declare", [True, False])
async def test_the_service_lives_with_them_through_a_delay_a_dead_letter_and_a_webhook(
    world: World, declare: bool
) -> None:
    """`amq.default` is permitted to nobody here, and there are no topic permissions."""
    if not declare:
        await world.rabbit.declare()
        await asyncio.to_thread(world.rabbit.declare_delays_now)
    url = await permitted(world, f"service, amqp.declare: {str(declare).lower()}", f"service-{declare}")
    hook = {"name": "hook", "scheme": "none", "insecure": True}
    bridge = await world.launch(amqp={"url": url, "declare": declare}, retry=RETRY, webhooks=[hook])
    world.fake.script(text_of("late"), Refusal(500), answer("in ", "the end"))
    world.fake.always(text_of("dead"), Refusal(500))
    await world.publish(event("late"), event("dead"))
    (letter,) = await world.dead(1, bound_s=40)
    assert letter.routing_key == "exhausted"
    late, dead = await world.endings("late", "dead", bound_s=40)
    assert (late.ending.type, dead.ending.type) == ("interaction-complete", "bridge-failed")
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"http://127.0.0.1:{bridge.port}/webhooks/hook", json=fields("hooked")) as response,
    ):
        assert response.status == 202
    await until(lambda: world.fake.truth.committed(text_of("hooked")), "the webhook's event is answered")
    await until(lambda: world.counts(EVENTS, (0, 0)), "nothing is left")
    assert [line for line in bridge.log_lines() if line["event"] in ("broker.lost", "copy.refused")] == []


async def test_a_person_publishes_and_listens_with_less(world: World) -> None:
    await world.launch()
    url = await permitted(world, "cli", "cli")
    config = world.folder / "cli.yaml"
    config.write_text(yaml.safe_dump({"amqp": {"url": url}}))
    tail = Tail(world, "--config", config.name, "--json")
    try:
        await until(lambda: watched(world, 1), "it listens")
        event_of = ("--id", "cli", "--message", text_of("cli"), "--user-id", "u", "--service-id", SERVICE)
        done = await run_command(world.folder, "publish", "--config", config.name, *event_of)
        assert done.status == 0, done.all
        await until(lambda: any("interaction-complete" in line for line in tail.lines), "it sees the ending")
    finally:
        tail.stop()


async def test_a_missing_right_is_said_in_the_brokers_words(world: World) -> None:
    """On the exchange that earlier versions did without."""
    await world.rabbit.declare()
    await asyncio.to_thread(world.rabbit.declare_delays_now)
    rights = ("^$", r"^(bridge\.(events|dead)|agent\.events)$", r"^bridge\.events$")
    add = world.rabbit.broker.add_user
    url = await asyncio.to_thread(add, world.rabbit.vhost, "narrow", "secret", *rights)
    bridge = world.bridge(amqp={"url": url, "declare": False})
    bridge.start()

    async def told() -> bool:
        found = await bridge.readiness()
        rows: list[dict[str, Any]] = found[1]["components"] if found is not None else []
        return any("bridge.delay" in str(row["reason"]) and "refused" in str(row["reason"]) for row in rows)

    await until(told, "/readyz names the exchange")
    assert await world.rabbit.ready_count(DEAD) == 0


async def test_a_virtual_host_with_a_percent_sign_is_reached_by_the_whole_service(world: World) -> None:
    """Decoded once: `50%25off` is a virtual host of its own beside `50%off`."""
    broker = world.rabbit.broker
    names = ["50%off", "50%25off", "a%2Fb"]
    await asyncio.to_thread(broker.add_vhosts, names)
    for name in names:
        url = await asyncio.to_thread(broker.add_user, name, f"50% of {name}", "p%40s/100%")
        bridge = await world.launch(amqp={"url": url}, ledger={"url": f"sqlite:///{len(world.bridges)}.db"})
        rows = await asyncio.to_thread(broker.node.ctl, "list_queues", "--vhost", name, "name")
        assert EVENTS in rows.split()
        await bridge.stop()
    for name in names:
        broker.give_back(name)
