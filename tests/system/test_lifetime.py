"""docs/semantics.md, Lifetime, with real delay queues: an event that waits for its time, and one whose time is over."""

import json
import time
from datetime import UTC, datetime

from tests.support.events import event, text_of
from tests.support.process import run_command
from tests.support.rabbit import EVENTS
from tests.support.waiting import until
from tests.support.world import World

WAITS_S = 12.0


def in_seconds(seconds: float) -> str:
    return datetime.fromtimestamp(time.time() + seconds, UTC).isoformat()


async def test_an_event_waits_for_its_time_in_delay_queues_and_is_started_then(world: World) -> None:
    bridge = await world.launch(lanes={"park_after": "500ms"})
    due_s = time.time() + WAITS_S
    await world.publish(event("l1", user_id="u", not_before=in_seconds(WAITS_S)))
    await world.publish(event("l2", user_id="u"))
    told, _ = await world.endings("l1", "l2", bound_s=60)
    assert told.ending.type == "interaction-complete"
    parked = [line for line in bridge.log_lines() if line.get("settlement") == "parked"]
    assert {line["event_id"] for line in parked} == {"l1"}
    assert {line["delay_s"] for line in parked} <= {1, 2, 5, 10}
    assert [talk.text for talk in world.fake.truth.talks] == [text_of("l2"), text_of("l1")]
    (asked,) = [call for call in world.fake.truth.calls_of("create", "interact") if call.text == text_of("l1")]
    assert time.time() - (time.monotonic() - asked.started) >= due_s - 0.1
    await until(lambda: world.counts(EVENTS, (0, 0)), "the event is settled")


async def test_an_event_whose_time_is_over_expires_also_as_published_by_hand(world: World) -> None:
    await world.launch()
    over = in_seconds(-60)
    arguments = ("--id", "l3", "--message", "too late", "--user-id", "u", "--service-id", "5f0000000000000000000001")
    config = world.bridges[0].file.name
    done = await run_command(world.folder, "publish", "--config", config, *arguments, "--expires-at", over)
    assert done.status == 0, done.all
    told = await world.ending("l3")
    body = json.loads(told.ending.body)
    assert (body["type"], body["event_id"], body["expires_at"]) == ("bridge-expired", "l3", over)
    assert not world.fake.truth.calls_of("create")
    days = in_seconds(8 * 86_400)
    done = await run_command(world.folder, "publish", "--config", config, *arguments, "--not-before", days)
    assert done.status == 1, done.all
    assert "not_before is more than 7 days ahead" in done.err
