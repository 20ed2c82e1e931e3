"""Enrichments, against the sandbox: after each ending, once, also through kills."""

import json
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest

from bridge.sandbox.http.server import Sandbox
from tests.support.events import SERVICE, event
from tests.support.observed_sandbox import observed_sandbox
from tests.support.process import run_command
from tests.support.rabbit import ReceivedMessage
from tests.support.waiting import until
from tests.support.world import World

EVENTS = 20
TYPES = ("interaction-insights", "recommended-responses", "message-source", "conversation-messages")
ROUTE = {
    "name": "rich",
    "service_id": SERVICE,
    "channel": "phone",
    "finish": "after",
    "enrich": [
        "insights",
        {"kind": "recommended-responses", "context": "The user is {{ data.name }}.", "when": "data.name"},
        "message-source",
        "messages",
    ],
}


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with observed_sandbox() as made:
        yield made


async def launched(world: World, sandbox: Sandbox) -> Any:
    return await world.launch(
        amigo={"base_url": sandbox.base_url},
        channels={"phone": {"response_format": "voice"}},
        routes=[ROUTE],
    )


def received(world: World, event_id: str) -> list[ReceivedMessage]:
    """The messages about an event, without repeats, in the order of their first copies."""
    messages = {record.message_id: record for record in reversed(list(world.records))}
    of_event = [record for record in messages.values() if record.properties.correlation_id == event_id]
    return sorted(of_event, key=lambda record: record.at)


def extras(world: World, event_id: str) -> dict[str, ReceivedMessage]:
    return {record.type: record for record in received(world, event_id) if record.type in TYPES}


async def enriched(world: World, *event_ids: str) -> None:
    def all_there() -> bool:
        return all(len(extras(world, event_id)) == len(TYPES) for event_id in event_ids)

    await until(all_there, "all of them are there", 60)


async def test_all_of_them_follow_the_ending_with_what_the_api_has(world: World, sandbox: Sandbox) -> None:
    await launched(world, sandbox)
    await world.publish(event("one", service_id=None, data={"name": "Ada"}))
    await enriched(world, "one")
    types = [record.type for record in received(world, "one")]
    assert min(types.index(type_) for type_ in TYPES) > types.index("interaction-complete")
    found = extras(world, "one")
    bodies = {type_: json.loads(record.body) for type_, record in found.items()}
    assert {body["conversation_id"] for body in bodies.values()} == {found["message-source"].headers["conversation_id"]}
    assert bodies["interaction-insights"]["result"]["current_state_name"] == "inform"
    assert len(bodies["recommended-responses"]["result"]["recommended_responses"]) > 0
    *_, answer = bodies["conversation-messages"]["result"]["messages"]
    assert answer["format"] == "voice"
    assert bodies["message-source"]["message_id"] == answer["id"]
    assert bodies["message-source"]["result"]["url"].endswith(answer["id"])
    assert found["interaction-insights"].routing_key == "voice.phone.interaction-insights"
    await until(
        lambda: any(record.type == "conversation-finished" for record in world.records), "the conversation is finished"
    )


async def test_after_kills_each_is_there_once_and_nothing_is_owed(world: World, sandbox: Sandbox) -> None:
    bridge = await launched(world, sandbox)
    ids = [f"k{number}" for number in range(EVENTS)]

    def some_there(least: int) -> bool:
        return sum(len(extras(world, event_id)) for event_id in ids) >= least

    await world.publish(*[event(one, service_id=None, user_id=f"u-{one}", data={"name": one}) for one in ids])
    for count in (1, 5, 12):
        await until(partial(some_there, count), "some are there")
        await bridge.kill()
        bridge.start()
        await bridge.ready()
    await enriched(world, *ids)
    bodies = {(record.message_id, record.body) for record in world.records if record.type in TYPES}
    assert len(bodies) == EVENTS * len(TYPES)
    assert not [record for record in world.records if record.type == "bridge-enrichment-failed"]


async def test_trace_tells_what_is_owed(world: World, sandbox: Sandbox) -> None:
    bridge = await launched(world, sandbox)
    hangs = {"match": {"operation": "get-interaction-insights"}, "kind": "slow-headers", "delay_s": 30, "count": 100}
    sandbox.state.faults.add(hangs)
    await world.publish(event("one", service_id=None, data={}))
    await world.ending("one")

    async def owed() -> bool:
        done = await run_command(world.folder, "trace", "--config", bridge.file.name, "one")
        return "insights, which has not been read yet" in done.out

    await until(owed, "trace tells")
    world.unfinished = 1
