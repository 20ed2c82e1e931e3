"""`amigo-bridge trace`, as an operator uses it: beside a service that runs, and without one."""

import json
from typing import Any

import yaml

from tests.support.events import event, text_of
from tests.support.fake_api import Refusal
from tests.support.process import Output, run_command
from tests.support.waiting import until
from tests.support.world import World


async def trace(world: World, *arguments: str) -> Output:
    return await run_command(world.folder, "trace", "--config", world.bridges[0].file.name, *arguments)


async def test_trace_tells_what_happened_to_an_event_while_the_service_runs(world: World) -> None:
    await world.launch()
    world.fake.script(text_of("t2"), Refusal(422))
    await world.publish(event("t1"), event("t2", user_id="u-t2"))
    await world.endings("t1", "t2")
    talk = world.fake.truth.talks_of(text_of("t1"))[0]
    said: dict[str, Any] = {"state": "answered"}
    while said["state"] == "answered":  # what is complete is written soon, for many at once
        done = await trace(world, "t1", "--json", "--ask", "--user-id", talk.conversation.user)
        assert done.status == 0, done.all
        said = json.loads(done.out)
    assert (said["state"], said["conversation_id"]) == ("complete", talk.conversation.id)
    (row,) = said["conversations"]
    assert (row["id"], row["answered"], row["num_messages"]) == (talk.conversation.id, True, 2)
    assert (said["user_id"], said["channel"]) == (talk.conversation.user, "api")
    assert said["sent_to"][0]["exchange"] == "agent.events"
    asked = await trace(world, "t1", "--ask")  # the ledger has the user
    assert (asked.status, f"{talk.conversation.id}, finished, 2 messages, has the answer" in asked.out) == (0, True)
    failed = await trace(world, "t2")
    assert failed.status == 0
    for words in ("t2: failed", "  user         u-t2", "  failed       rejected after 1 attempts", " rejected: "):
        assert words in failed.out
    unknown = await trace(world, "nobody")
    assert (unknown.status, "does not know it" in unknown.out) == (1, True)


async def test_trace_tells_why_an_event_waits_and_of_one_that_cannot_be_read(world: World) -> None:
    await world.launch(retry={"attempts": 3, "first": "10m", "longest": "10m"})
    world.fake.script(text_of("w1"), Refusal(500))
    await world.publish(event("w1"), event("bad", channel="\u001b[31mfax"))
    await world.endings("bad")
    invalid = json.loads((await trace(world, "bad", "--json")).out)
    assert (invalid["state"], invalid["failure"]["reason"]) == ("failed", "invalid-event")
    assert (invalid["request"], invalid["first_seen"] is not None) == ("none", True)
    shown = (await trace(world, "bad")).out
    assert "failed       invalid-event" in shown
    assert "\x1b" not in shown

    async def waiting() -> dict[str, Any] | None:
        known: dict[str, Any] = json.loads((await trace(world, "w1", "--json")).out)
        return known if known["state"] == "waiting" else None

    known = await until(waiting, "the event waits")
    assert known["wait"]["reason"] == "retry"
    assert known["wait"]["until"] > known["reasons"][-1]["at"]
    assert {reason["outcome"] for reason in known["reasons"]} == {"unknown"}


async def test_trace_without_a_ledger_says_so(world: World) -> None:
    world.bridge().file.write_text(yaml.safe_dump(world.config(ledger={"url": "sqlite:////nowhere/at/all.db"})))
    done = await trace(world, "t1")
    assert (done.status, "no such file" in done.err) == (1, True)
