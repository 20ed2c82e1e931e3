"""Every way in which the bridge can lose sight of an interaction: the agent hears the event once, whatever happened."""

import json

import pytest

from tests.support.events import SERVICE, event, event_tag, text_of
from tests.support.fake_api import Answer, Commit, Cut, Error, Husk, Piece, Raw, Refusal, Reset, Stream, answer
from tests.support.oracle import STREAM_ID, assert_in_order, of_event
from tests.support.process import BridgeProcess
from tests.support.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")

SOME = (Piece("some "), Piece("words"))
COMPLETE_FIELDS = {"type", "message_id", "interaction_id", "full_message", "conversation_completed"}

# What the API does, and then says nothing of.
LOST: dict[str, Answer] = {
    "500": Refusal(500),
    "502": Refusal(502),
    "504": Refusal(504),
    "408": Refusal(408),
    "reset-before-the-status": Cut(),
    "reset-in-the-stream": Stream((*SOME, Reset())),
    "reset-before-the-first-line": Stream((Reset(),), bare=True),
    "end-in-the-stream": Stream(SOME),
    "end-before-the-first-line": Stream((), bare=True),
    "end-without-framing": Stream(SOME, framed=False),
    "end-in-a-line": Stream((*SOME, Raw(b'{"type": "new-mess')), framed=False, last_newline=False),
}
# As above, but the API keeps the conversation that it made, with nothing in it.
EMPTIED: dict[str, Answer] = {
    "error": Stream((*SOME, Error(500)), abandoned=Husk.EMPTY),
    "error-and-no-finish": Stream((*SOME, Error(500)), abandoned=Husk.STUCK),
    "reset": Stream((*SOME, Reset()), abandoned=Husk.EMPTY),
    "reset-and-no-finish": Stream((*SOME, Reset()), abandoned=Husk.STUCK),
    "end": Stream(SOME, abandoned=Husk.EMPTY),
    "end-and-no-finish": Stream((), bare=True, abandoned=Husk.STUCK),
}
KEPT: dict[str, Answer] = {
    "500-saved": Refusal(500, commit=True),
    "504-saved": Refusal(504, commit=True),
    "reset-before-the-status-saved": Cut(commit=True),
    "reset-in-the-stream-saved": Stream((*SOME, Commit(), Reset())),
    "end-in-the-stream-saved": Stream((*SOME, Commit())),
    "end-without-framing-saved": Stream((*SOME, Commit()), framed=False),
    "end-before-the-first-line-saved": Stream((Commit(),), bare=True),
}


async def end_of(shared: World, event_id: str, reply: Answer) -> None:
    shared.fake.script(text_of(event_id), reply)
    await shared.publish(event(event_id, channel="web_chat"))
    await shared.ending(event_id)
    assert len(shared.fake.truth.committed(text_of(event_id))) == 1
    assert_in_order(shared.records, event_id)


@pytest.mark.parametrize("case", LOST)
async def test_what_left_nothing_is_started_again_after_a_look(shared: World, bridge: BridgeProcess, case: str) -> None:
    event_id = f"lost-{case}"
    await end_of(shared, event_id, LOST[case])
    told = await shared.ending(event_id)
    assert not told.recovered
    assert told.bodies == shared.fake.truth.talks_of(text_of(event_id))[-1].sent
    first, second = shared.fake.truth.calls_of("create", user=f"u-{event_id}")
    looks = shared.fake.truth.calls_of("list", user=f"u-{event_id}", since=first.started)
    assert len([look for look in looks if look.started < second.started]) >= 2
    published = [one for one in of_event(shared.records, event_id) if not one.type.startswith("bridge-")]
    assert len(told.voids) == (len({one.headers["stream"] for one in published}) > 1)


@pytest.mark.parametrize("case", EMPTIED)
async def test_an_empty_conversation_of_its_own_is_no_obstacle(shared: World, bridge: BridgeProcess, case: str) -> None:
    event_id = f"emptied-{case}"
    await end_of(shared, event_id, EMPTIED[case])
    told = await shared.ending(event_id)
    talks = shared.fake.truth.talks_of(text_of(event_id))
    assert len(talks) == 2
    assert told.bodies == talks[-1].sent
    assert shared.fake.truth.conversation_of(text_of(event_id)).tags["bridge_event"] == event_tag(event_id)


JOINED: dict[str, tuple[Answer, bool]] = {
    "500": (Refusal(500), False),
    "500-saved": (Refusal(500, commit=True), True),
    "reset-before-the-status": (Cut(), False),
    "reset-before-the-status-saved": (Cut(commit=True), True),
    "reset-in-the-stream": (Stream((*SOME, Reset())), False),
    "reset-in-the-stream-saved": (Stream((*SOME, Commit(), Reset()), stays_open=True), True),
    "end-in-the-stream": (Stream(SOME), False),
    "end-in-the-stream-saved": (Stream((*SOME, Commit()), stays_open=True), True),
    "error": (Stream((*SOME, Error(500))), False),
}


@pytest.mark.parametrize("case", JOINED)
async def test_an_interact_is_exact_although_the_same_words_were_said_before(
    shared: World, bridge: BridgeProcess, case: str
) -> None:
    """The conversation holds the very same text from an earlier day: it proves nothing about this event."""
    event_id = f"joined-{case}"
    reply, saved = JOINED[case]
    mine = shared.fake.truth.open(f"u-{event_id}", SERVICE, {"channel": "api", "channel_type": "async"})
    shared.fake.truth.converse(mine, text_of(event_id))
    shared.fake.script(text_of(event_id), reply, answer("said ", "anew"))
    await shared.publish(event(event_id))
    told = await shared.ending(event_id)
    before, *since = mine.interactions
    assert [one.text for one in since] == [text_of(event_id)]
    assert told.recovered == saved
    said = json.loads(told.ending.body)
    assert (said["interaction_id"], said["message_id"]) == (since[0].id, since[0].message_id)
    assert said["full_message"] == since[0].full_message != before.full_message
    if not saved:
        assert told.bodies == shared.fake.truth.talks_of(text_of(event_id))[-1].sent


@pytest.mark.parametrize("case", KEPT)
async def test_what_was_saved_is_read_from_history(shared: World, bridge: BridgeProcess, case: str) -> None:
    event_id = f"kept-{case}"
    await end_of(shared, event_id, KEPT[case])
    told = await shared.ending(event_id)
    (talk,) = shared.fake.truth.talks_of(text_of(event_id))
    assert len(shared.fake.truth.calls_of("create", user=f"u-{event_id}")) == 1
    assert told.recovered
    assert told.ending.message_id == f"{event_id}:interaction-complete"
    assert told.ending.routing_key == "text.web_chat.interaction-complete"
    headers = told.ending.headers
    assert STREAM_ID.fullmatch(headers["stream"])
    assert headers["stream"] not in {one.headers["stream"] for one in told.pieces if one is not told.ending}
    assert headers["sequence"] == 1
    assert headers["conversation_id"] == talk.conversation.id
    said = json.loads(told.ending.body)
    assert said.keys() == COMPLETE_FIELDS
    assert (said["message_id"], said["interaction_id"]) == (talk.said_id, talk.interaction_id)
    assert (said["full_message"], said["conversation_completed"]) == (talk.full_message, True)


async def test_a_saved_answer_in_an_open_conversation_says_that_it_is_open(
    shared: World, bridge: BridgeProcess
) -> None:
    await end_of(shared, "open", Stream((*SOME, Commit(), Reset()), stays_open=True))
    told = await shared.ending("open")
    assert json.loads(told.ending.body)["conversation_completed"] is False
    assert not shared.fake.truth.conversation_of(text_of("open")).finished
