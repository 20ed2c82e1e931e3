"""What happens when the user already has an unfinished conversation with the service: the four ways of `on_busy`."""

from typing import Any

import pytest

from tests.support.events import SERVICE, event, text_of
from tests.support.fake_api import Conversation, Refusal
from tests.support.process import BridgeProcess
from tests.support.waiting import stays, until
from tests.support.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")

MODES = ("interact", "wait", "finish", "reject")


@pytest.fixture(scope="module")
def settings() -> dict[str, Any]:
    routes = [{"name": mode, "when": f"routing_key == 'busy.{mode}'", "on_busy": mode} for mode in MODES]
    return {"routes": routes}


def occupy(shared: World, user: str) -> Conversation:
    """A conversation that somebody else began on the phone."""
    return shared.fake.truth.open(user, SERVICE, {"channel": "phone", "channel_type": "voice", "ticket": "7"})


def ops(shared: World, user: str) -> list[str]:
    truth = shared.fake.truth
    done = [call for call in truth.calls if call.user == user and (call.status or 0) < 300]
    return [call.op for call in done if call.op in ("create", "interact", "finish", "tags")]


async def test_by_default_the_event_joins_the_open_conversation(shared: World, bridge: BridgeProcess) -> None:
    mine = occupy(shared, "u-default")
    await shared.publish(event("default", channel="sms"))
    told = await shared.ending("default")
    assert [one.text for one in mine.interactions] == [text_of("default")]
    assert [one.kind for one in mine.interactions] == ["external-event"]
    assert told.ending.headers["conversation_id"] == mine.id
    assert told.ending.routing_key == "text.sms.interaction-complete"


async def test_channel_tags_are_updated_before_an_event_joins_another_channels_conversation(
    shared: World, bridge: BridgeProcess
) -> None:
    mine = occupy(shared, "u-tags")
    await shared.publish(event("tags", channel="sms"))
    await shared.ending("tags")
    assert (mine.tags["channel"], mine.tags["channel_type"], mine.tags["ticket"]) == ("sms", "text", "7")
    assert ops(shared, "u-tags") == ["tags", "interact"]


async def test_interact_leaves_no_gap_and_no_repeat_on_the_way_out(shared: World, bridge: BridgeProcess) -> None:
    occupy(shared, "u-lines")
    await shared.publish(event("lines"), event("lines-2", user_id="u-lines"))
    first, second = await shared.endings("lines", "lines-2")
    for told in (first, second):
        (talk,) = shared.fake.truth.talks_of(text_of(told.event_id))
        assert told.bodies == talk.sent


async def test_wait_starts_when_the_conversation_is_finished(shared: World, bridge: BridgeProcess) -> None:
    mine = occupy(shared, "u-wait")
    await shared.publish(event("wait", routing_key="busy.wait"))
    await until(lambda: shared.fake.truth.calls_of("create", user="u-wait"), "the bridge has asked")
    await stays(lambda: "wait" not in shared.ended, "the event waits", 1)
    assert mine.interactions == []
    shared.fake.finish(mine.id)
    await shared.ending("wait", bound_s=60)
    assert shared.fake.truth.conversation_of(text_of("wait")).id != mine.id
    assert ops(shared, "u-wait") == ["create"]


async def test_finish_finishes_it_and_then_starts(shared: World, bridge: BridgeProcess) -> None:
    mine = occupy(shared, "u-finish")
    shared.fake.truth.converse(mine, "an earlier word")
    await shared.publish(event("finish", routing_key="busy.finish"))
    await shared.ending("finish")
    assert mine.finished
    assert ops(shared, "u-finish") == ["finish", "create"]
    assert shared.fake.truth.conversation_of(text_of("finish")).id != mine.id


async def test_reject_is_a_dead_letter(shared: World, bridge: BridgeProcess) -> None:
    mine = occupy(shared, "u-reject")
    known = len(await shared.dead(0))
    await shared.publish(event("reject", routing_key="busy.reject"))
    letter = (await shared.dead(known + 1))[-1]
    assert letter.routing_key == letter.headers["x-bridge-reason"]
    assert (await shared.ending("reject")).ending.type == "bridge-failed"
    assert mine.interactions == []
    assert not mine.finished


async def test_a_related_operation_that_runs_is_waited_for(shared: World, bridge: BridgeProcess) -> None:
    shared.fake.script(text_of("related"), Refusal(409, detail="A related operation is in progress."))
    await shared.publish(event("related"))
    await shared.ending("related", bound_s=30)
    assert len(shared.fake.truth.committed(text_of("related"))) == 1


async def test_a_locked_conversation_is_joined_when_its_stream_has_ended(shared: World, bridge: BridgeProcess) -> None:
    mine = occupy(shared, "u-locked")
    mine.locked = True
    await shared.publish(event("locked"))
    await until(lambda: shared.fake.truth.calls_of("interact", user="u-locked"), "the bridge has tried")
    mine.locked = False
    await shared.ending("locked", bound_s=30)
    assert [one.text for one in mine.interactions] == [text_of("locked")]


async def test_a_conversation_that_finishes_meanwhile_is_not_waited_for(shared: World, bridge: BridgeProcess) -> None:
    mine = occupy(shared, "u-gone")
    mine.locked = True
    await shared.publish(event("gone"))
    await until(lambda: shared.fake.truth.calls_of("interact", user="u-gone"), "the bridge has tried")
    mine.locked, mine.finished = False, True
    await shared.ending("gone", bound_s=30)
    assert len(shared.fake.truth.committed(text_of("gone"))) == 1
    assert mine.interactions == []
