"""Answers of the API that a person would not act upon: "come back now", times of another clock, tokens with a newline.

A clock of this machine that is wrong is the same as one of the API that is wrong the other way.
"""

from functools import partial
from itertools import pairwise
from pathlib import Path

import aiohttp
import pytest

from tests.support.events import event, text_of
from tests.support.fake_api import Call, Refusal
from tests.support.process import BridgeProcess, run_command
from tests.support.waiting import until
from tests.support.world import World

from .test_webhooks import HOOK, ROUTE, SECRET, request_of

NOW = (
    {"Retry-After": "0"},
    {"Retry-After": "-30"},
    {"Retry-After": "Sat, 01 Jan 2000 00:00:00 GMT"},
    {"X-RateLimit-Reset": "0"},
    {"X-RateLimit-Reset": "946684800"},
)
TIMES = 4


def assert_doubling(calls: list[Call]) -> None:
    """The time between one call and the next is at least the back-off's step, each twice the one before."""
    gaps = [later.started - sooner.started for sooner, later in pairwise(calls)]
    assert all(gap >= step_s(number) - 0.02 for number, gap in enumerate(gaps)), gaps


def step_s(number: int) -> float:
    """Of the back-off in the configuration of these tests."""
    return float(min(0.1 * 2**number, 1.0))


def waits(bridge: BridgeProcess, event_id: str) -> list[float]:
    lines = [line for line in bridge.log_lines() if line["event"] == "attempt.ended" and line["event_id"] == event_id]
    assert {line["attempt"] for line in lines} <= {1}, "an attempt was counted"
    return [line["after_s"] for line in lines]


async def test_a_429_that_means_now_is_a_pause_that_doubles(world: World) -> None:
    bridge = await world.launch()
    ids = {f"e{number}": headers for number, headers in enumerate(NOW)}
    for each, headers in ids.items():
        world.fake.script(text_of(each), *[Refusal(429, headers)] * TIMES)
    await world.publish(*[event(each) for each in ids])
    assert {told.ending.type for told in await world.endings(*ids)} == {"interaction-complete"}
    for each in ids:
        calls = [call for call in world.fake.truth.calls_of("create") if call.text == text_of(each)]
        assert [call.status for call in calls] == [429] * TIMES + [201], ids[each]
        assert_doubling(calls)
        assert len(waits(bridge, each)) == TIMES


async def test_so_is_the_sign_ins_and_one_to_any_call_within_an_event(world: World) -> None:
    bridge = await world.launch()
    now = Refusal(429, {"Retry-After": "0"})
    world.fake.truth.converse(world.fake.truth.open("ann", "5f0000000000000000000001", {"channel": "email"}), "hello")
    for operation in ("sign-in", "list", "tags", "messages"):
        world.fake.fault(operation, now)
    await world.publish(event("e1", user_id="ann", channel="sms"))
    assert (await world.ending("e1")).ending.type == "interaction-complete"
    told = waits(bridge, "e1")
    assert len(told) >= 4
    assert all(wait_s >= step_s(number) for number, wait_s in enumerate(told)), told


async def test_a_busy_user_who_may_be_asked_again_now_is_waited_for(world: World) -> None:
    route = {"name": "waits", "when": "true", "on_busy": "wait"}
    bridge = await world.launch(routes=[route])
    world.fake.truth.open("ann", "5f0000000000000000000001", {})
    world.fake.fault("create", Refusal(409, {"Retry-After": "0"}))
    await world.publish(event("e1", user_id="ann"))

    def parked() -> list[int]:
        return [line["delay_s"] for line in bridge.log_lines() if line.get("settlement") == "parked"]

    await until(lambda: parked() == [30], "it waits in a delay queue")
    assert waits(bridge, "e1") == [30.0]
    assert len(world.fake.truth.calls_of("create")) == 1
    for conversation in world.fake.truth.conversations.values():
        conversation.finished = True
    await world.ending("e1", bound_s=60)


@pytest.mark.parametrize(("ahead_s", "zones"), [(0.0, False), (7200.0, True), (-7200.0, True), (-7200.0, False)])
async def test_a_clock_that_differs_costs_no_sign_in_more(world: World, ahead_s: float, zones: bool) -> None:
    world.fake.ahead_s = ahead_s
    world.fake.dress_expiry = str if zones else (lambda at: at.removesuffix("+00:00"))
    bridge = await world.launch()
    ids = [f"e{number}" for number in range(20)]
    for each in ids:
        await world.publish(event(each, user_id=f"user-{int(each[1:]) % 4}"))
        await world.ending(each)
    assert sorted(world.fake.sign_ins) == ["bridge-bot", *[f"user-{number}" for number in range(4)]]
    warnings = [line for line in bridge.log_lines() if line["event"] == "clock.differs"]
    assert [round(line["ahead_s"] / 100) for line in warnings] == ([round(-ahead_s / 100)] if ahead_s else [])


async def test_a_token_that_has_expired_when_it_is_issued_is_used_until_a_401(world: World) -> None:
    """The API's own clocks contradict each other: the token works all the same."""
    bridge = world.bridge()
    world.fake.dress_expiry = lambda _: "2001-01-01T00:00:00"
    bridge.start()
    await bridge.ready()
    for number in range(10):
        await world.publish(event(f"e{number}", user_id="ann"))
        await world.ending(f"e{number}")
    assert world.fake.sign_ins.count("ann") == 1
    world.fake.expire_tokens()
    await world.publish(event("last", user_id="ann"))
    await world.ending("last")
    assert world.fake.sign_ins.count("ann") == 2
    assert len([line for line in bridge.log_lines() if line["event"] == "clock.differs"]) == 1


async def test_secrets_with_a_newline_work_as_check_says(world: World) -> None:
    variables = {
        "AMIGO_API_KEY": f"{world.fake.api_key}\n",
        "AMIGO_API_KEY_ID": f" {world.fake.api_key_id}\r\n",
        "HOOK_SECRET": f"{SECRET}\r\n",
        "BRIDGE_AMQP__URL": f"{world.rabbit.url}\n",
    }
    bridge = world.bridge(webhooks=[{**HOOK, "secrets": ["${HOOK_SECRET}"]}], routes=[ROUTE])
    bridge.start(variables)
    checked = await run_command(world.folder, "check", "--config", bridge.file.name, env=variables)
    assert checked.status == 0, checked.all
    await bridge.ready()
    body, headers = request_of(1)
    url = f"http://127.0.0.1:{bridge.port}/webhooks/git"
    async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=headers) as answered:
        assert answered.status == 202
    await world.ending("git:d-1")


@pytest.mark.parametrize("verb", ["check", "run"])
async def test_a_control_character_inside_is_an_error_at_the_start(tmp_path: Path, verb: str) -> None:
    names = ("AMIGO_API_KEY", "AMIGO_API_KEY_ID", "AMIGO_USER_ID", "AMIGO_BASE_URL", "BRIDGE_AMQP__URL")
    done = await run_command(tmp_path, verb, env=dict.fromkeys(names, "http://127.0.0.1/\x1bcanary\tx"))
    assert done.status == 78
    for path in ("amigo.api_key", "amigo.api_key_id", "amigo.user_id", "amigo.base_url", "amqp.url.0"):
        assert f"{path}: " in done.all
    assert "Traceback" not in done.all


async def test_a_token_with_white_space_around_it_is_used_without(world: World) -> None:
    await world.launch()
    for number, form in enumerate(("{}\n", " {}\r\n", "\t{}")):
        world.fake.dress_token = form.format
        await world.publish(event(f"e{number}"))
        await world.ending(f"e{number}")


async def test_a_token_that_cannot_be_sent_is_the_apis_fault_and_no_events(world: World) -> None:
    bridge = await world.launch()
    for number, form in enumerate(("{0}\n{0}", "{}\x00x", "{}\x07", "é{}")):
        each = f"e{number}"
        world.fake.dress_token = form.format
        await world.publish(event(each))
        await until(partial(waits, bridge, each), "it waits")
        world.fake.dress_token = str
        await world.ending(each)
    assert await world.dead(0) == []
    told = [line for line in bridge.log_lines() if line["event"] == "attempt.ended"]
    assert {line["outcome"] for line in told} == {"down"}
    assert all("id_token" in line["error"] for line in told)


async def test_an_id_of_the_apis_that_is_none_fails_its_own_event(world: World) -> None:
    """The conversation that the API says is open has an id by which it cannot be addressed."""
    await world.launch()
    opened = world.fake.truth.open("ann", "5f0000000000000000000001", {"channel": "api"})
    del world.fake.truth.conversations[opened.id]
    opened.id = "../../user/x"
    world.fake.truth.conversations[opened.id] = opened
    await world.publish(event("e1", user_id="ann"), event("e2", user_id="bob"))
    await world.ending("e2")
    assert (await world.ending("e1")).ending.type == "bridge-failed"
    (letter,) = await world.dead(1)
    assert letter.routing_key == "rejected"
