"""Templates in the running service: what the agent hears, and data that would multiply harms nobody but itself."""

import json
from typing import Any

from tests.support.events import SERVICE, event, raw
from tests.support.world import World

GUARDED = '{"account":123456789012345678901234567890,"amount":1.10,"rate":1e3,"zero":-0}'
CONFIG: dict[str, Any] = {
    "routes": [
        {"name": "greedy", "when": "data.kind == 'greedy' and (data.amount * 100) | length > 5"},
        {
            "name": "paid",
            "when": "data.kind == 'paid'",
            "service_id": SERVICE,
            "user_id": "{{ data.user }}",
            "message": "{{ data.items }} {{ data.amount }} {{ data.amount * 1.19 }} {{ data.note }}",
        },
        {"name": "many", "when": "data.kind == 'many'", "service_id": SERVICE, "message": "{{ data.amount * 100 }}"},
        {
            "name": "power",
            "when": "data.kind == 'power'",
            "service_id": SERVICE,
            "message": "{{ data.value / 10 ** data.decimals }}",
        },
        {
            "name": "loop",
            "when": "data.kind == 'loop'",
            "service_id": SERVICE,
            "message": "{% for x in range(data.n) %}{% for y in range(data.n) %}{{ x * y }}{% endfor %}{% endfor %}",
        },
    ]
}


def foreign(event_id: str, kind: str, **more: Any) -> Any:
    return raw(json.dumps({"id": event_id, "kind": kind, **more}).encode())


async def test_numbers_and_keys_reach_the_agent_as_they_were_written(world: World) -> None:
    await world.launch(**CONFIG)
    paid = b'{"id": "t1", "kind": "paid", "user": "u-t1", "items": "two shirts", "amount": 19.90, "note": null}'
    own = f'{{"id": "t2", "message": {GUARDED}, "user_id": "u-t2", "service_id": "{SERVICE}"}}'
    await world.publish(raw(paid), raw(own.encode()))
    await world.endings("t1", "t2")
    for told, user in (("two shirts 19.90 23.6810 null", "u-t1"), (GUARDED, "u-t2")):
        assert [talk.conversation.user for talk in world.fake.truth.talks_of(told)] == [user]


HOSTILE: dict[str, Any] = {
    "many": {"amount": "x" * 1_000_000},
    "power": {"value": 1, "decimals": 500_000_000},
    "loop": {"n": 99_999},
    "greedy": {"amount": "x" * 1_000_000},
    "paid": {"user": None, "items": 1, "amount": 1, "note": ""},
}


async def test_data_that_multiplies_is_dead_lettered_and_nothing_else_is_held_up(world: World) -> None:
    bridge = await world.launch(**CONFIG)
    for name, data in HOSTILE.items():
        await world.publish(foreign(f"h-{name}", name, **data), event(f"after-{name}"))
    await world.endings(*(f"after-{name}" for name in HOSTILE), bound_s=60)
    dead = await world.dead(len(HOSTILE), bound_s=60)
    reasons = {letter.headers["x-bridge-reason"] for letter in dead}
    errors = {letter.headers["x-bridge-error"] for letter in dead}
    assert reasons == {"invalid-event", "no-route"}
    for name in ("many", "power", "loop", "paid"):
        assert any(error.startswith(f"route {name}: template ") for error in errors), errors
    assert any("greedy: " in error for error in errors)
    found = await bridge.get("/livez")
    assert found is not None
    assert found[0] == 200


async def test_nobody_speaks_as_the_user_none(world: World) -> None:
    await world.launch(**CONFIG)
    values = ("null", "true", "{}", "[1]")
    for number, value in enumerate(values):
        body = f'{{"id": "n{number}", "kind": "paid", "user": {value}, "items": "a", "amount": 1, "note": ""}}'
        await world.publish(raw(body.encode()))
    for letter in await world.dead(len(values)):
        assert letter.headers["x-bridge-reason"] == "invalid-event"
        assert "route paid: template user_id: " in letter.headers["x-bridge-error"]
