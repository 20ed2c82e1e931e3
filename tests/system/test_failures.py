"""The endings of an attempt, row by row: what is a pause, what is retried, what is given up, and how it is told."""

import json
import time
from email.utils import formatdate

import pytest

from tests.support.events import event, text_of
from tests.support.fake_api import Answer, Call, Complete, Error, Gate, Piece, Raw, Refusal, Stream, answer
from tests.support.oracle import STREAM_ID, assert_in_order, of_event
from tests.support.process import BridgeProcess
from tests.support.rabbit import ReceivedMessage
from tests.support.waiting import stays, until
from tests.support.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")

SETTLE_S = 0.3
BEYOND_THE_LIMIT = Raw(b'{"type": "new-message", "message": "' + b"x" * (4 * 1024 * 1024) + b'"}')


def creates(shared: World, event_id: str) -> list[Call]:
    return [call for call in shared.fake.truth.calls_of("create") if call.text == text_of(event_id)]


def attempts(shared: World, event_id: str) -> list[int]:
    """The attempt header of each stream that came out, in order."""
    streams: dict[str, int] = {}
    for record in of_event(shared.records, event_id):
        if "sequence" in record.headers and not record.type.startswith("bridge-"):
            streams.setdefault(record.headers["stream"], record.headers["attempt"])
    return list(streams.values())


def finished_by(shared: World, event_id: str) -> list[Call]:
    return shared.fake.truth.calls_of("finish", user=f"u-{event_id}")


async def letter_of(shared: World, event_id: str) -> ReceivedMessage:
    def mine() -> list[ReceivedMessage]:
        return [one for one in shared.dead_letters if json.loads(one.body).get("id") == event_id]

    async def found() -> list[ReceivedMessage]:
        await shared.dead(0)
        return mine()

    await until(found, f"the dead letter of {event_id}", step_s=0.05)
    (letter,) = mine()
    return letter


async def assert_failed(shared: World, event_id: str, reason: str) -> ReceivedMessage:
    told = await shared.ending(event_id, bound_s=40)
    letter = await letter_of(shared, event_id)
    said = json.loads(told.ending.body)
    assert (told.ending.type, told.ending.message_id) == ("bridge-failed", f"{event_id}:bridge-failed")
    assert (said["event_id"], said["reason"], letter.routing_key) == (event_id, reason, reason)
    assert letter.headers["x-bridge-attempts"] == said["attempts"]
    return letter


async def test_a_refused_token_is_refreshed_once_and_counts_no_attempt(shared: World, bridge: BridgeProcess) -> None:
    await shared.publish(event("t0", user_id="u-token"))
    await shared.ending("t0")
    shared.fake.expire_tokens()
    await shared.publish(event("t1", user_id="u-token"))
    await shared.ending("t1")
    assert [call.status for call in creates(shared, "t1")] == [201]
    assert shared.fake.sign_ins.count("u-token") == 2
    assert attempts(shared, "t1") == [1]
    refused = [call for call in shared.fake.truth.calls if call.op == "create" and call.status == 401]
    assert len(refused) <= 1


async def test_retry_after_is_honoured_and_counts_no_attempt(shared: World, bridge: BridgeProcess) -> None:
    waits = ["1", "2", "1", "1"]
    shared.fake.script(text_of("r429"), *[Refusal(429, {"Retry-After": wait}) for wait in waits])
    await shared.publish(event("r429"))
    assert (await shared.ending("r429", bound_s=40)).ending.type == "interaction-complete"
    calls = creates(shared, "r429")
    assert [call.status for call in calls] == [429, 429, 429, 429, 201]
    for before, after, wait in zip(calls, calls[1:], waits, strict=False):
        assert after.started - before.started >= float(wait) - 0.05
    assert attempts(shared, "r429") == [1]


async def test_retry_after_may_be_a_date(shared: World, bridge: BridgeProcess) -> None:
    due = int(time.time()) + 3
    shared.fake.script(text_of("dated"), Refusal(429, {"Retry-After": formatdate(due, usegmt=True)}))
    await shared.publish(event("dated"))
    await shared.ending("dated", bound_s=30)
    first, second = creates(shared, "dated")
    assert time.time() - (time.monotonic() - second.started) >= due - 0.1
    assert second.started - first.started < 20


async def test_without_retry_after_the_reset_header_is_honoured(shared: World, bridge: BridgeProcess) -> None:
    reset = int(time.time()) + 3
    shared.fake.script(text_of("reset"), Refusal(429, {"X-RateLimit-Reset": str(reset)}))
    await shared.publish(event("reset"))
    await shared.ending("reset", bound_s=30)
    first, second = creates(shared, "reset")
    again = time.time() - (time.monotonic() - second.started)
    assert again >= reset - 0.1
    assert second.started - first.started < 20


async def test_maintenance_is_a_pause_and_counts_no_attempt(shared: World, bridge: BridgeProcess) -> None:
    """Four times 503, with three attempts allowed."""
    shared.fake.script(text_of("r503"), *[Refusal(503)] * 4)
    await shared.publish(event("r503"))
    assert (await shared.ending("r503", bound_s=60)).ending.type == "interaction-complete"
    assert [call.status for call in creates(shared, "r503")] == [503] * 4 + [201]
    assert attempts(shared, "r503") == [1]
    await bridge.ready()


async def test_an_unknown_outcome_is_reconciled_and_then_retried(shared: World, bridge: BridgeProcess) -> None:
    """Two looks at the API, `amigo.settle` apart, lie between the two starts."""
    shared.fake.script(text_of("r500"), Refusal(500))
    await shared.publish(event("r500"))
    await shared.ending("r500")
    first, second = creates(shared, "r500")
    looks = [call for call in shared.fake.truth.calls_of("list", user="u-r500") if call.started < second.started]
    assert len(looks) >= 2
    assert looks[0].started > first.started
    assert looks[-1].started - looks[0].started >= SETTLE_S - 0.02
    assert all("u-r500" in look.param("user_id") and look.param("service_id") for look in looks)
    assert attempts(shared, "r500") == [2]


async def test_an_error_on_the_stream_voids_it_and_the_next_stream_is_new(shared: World, bridge: BridgeProcess) -> None:
    shared.fake.script(
        text_of("void"), Stream((Piece("wrong "), Piece("words"), Error(500))), answer("right", " words")
    )
    await shared.publish(event("void", channel="whatsapp"))
    told = await shared.ending("void")
    first, second = shared.fake.truth.talks_of(text_of("void"))
    assert told.bodies == second.sent
    assert told.full_message() == "right words"
    (void,) = told.voids
    said = json.loads(void.body)
    mine = [one for one in of_event(shared.records, "void") if one.headers.get("stream") == said["stream"]]
    gone = [one for one in mine if one.type != "bridge-voided"]
    assert [one.body for one in gone] == first.sent[: len(gone)]
    assert len(gone) >= 3
    assert said["last_sequence"] == max(one.headers["sequence"] for one in gone)
    assert (said["type"], said["event_id"]) == ("bridge-voided", "void")
    assert said["reason"]
    assert STREAM_ID.fullmatch(said["stream"])
    assert void.message_id == f"void:{said['stream']}:voided"
    assert void.routing_key == "text.whatsapp.bridge-voided"
    assert attempts(shared, "void") == [1, 2]
    assert_in_order(shared.records, "void")
    order = [one.type for one in of_event(shared.records, "void")]
    assert order.index("bridge-voided") == len(gone)
    assert len(shared.fake.truth.committed(text_of("void"))) == 1


@pytest.mark.parametrize("code", [403, 404, 422])
async def test_a_client_error_inside_the_stream_is_rejected(shared: World, bridge: BridgeProcess, code: int) -> None:
    event_id = f"inside-{code}"
    shared.fake.script(text_of(event_id), Stream((Piece("some"), Error(code))))
    await shared.publish(event(event_id))
    await assert_failed(shared, event_id, "rejected")
    assert len(creates(shared, event_id)) == 1


@pytest.mark.parametrize("code", [408, 409])
async def test_a_passing_error_inside_the_stream_is_retried(shared: World, bridge: BridgeProcess, code: int) -> None:
    event_id = f"passing-{code}"
    shared.fake.script(text_of(event_id), Stream((Piece("some"), Error(code))))
    await shared.publish(event(event_id))
    told = await shared.ending(event_id, bound_s=90)
    assert told.bodies == shared.fake.truth.talks_of(text_of(event_id))[-1].sent


@pytest.mark.parametrize("status", [400, 403, 404, 415, 422])
async def test_what_someone_must_act_on_is_rejected_and_not_repeated(
    shared: World, bridge: BridgeProcess, status: int
) -> None:
    event_id = f"refused-{status}"
    shared.fake.always(text_of(event_id), Refusal(status))
    await shared.publish(event(event_id, channel="sms"))
    letter = await assert_failed(shared, event_id, "rejected")
    assert letter.headers["x-bridge-exchange"] == "bridge.events"
    assert (await shared.ending(event_id)).ending.routing_key == "text.sms.bridge-failed"
    # A 400 may be looked at once more, since it can also mean a conversation that is just being finished.
    assert len(creates(shared, event_id)) <= (2 if status == 400 else 1)


async def test_when_the_attempts_are_used_up_the_event_is_exhausted(shared: World, bridge: BridgeProcess) -> None:
    shared.fake.always(text_of("worn"), Stream((Piece("never"), Error(500))))
    await shared.publish(event("worn"))
    letter = await assert_failed(shared, "worn", "exhausted")
    assert letter.headers["x-bridge-attempts"] == 3
    assert len(creates(shared, "worn")) == 3
    assert attempts(shared, "worn") == [1, 2, 3]
    told = await shared.ending("worn")
    streams = {one.headers["stream"] for one in of_event(shared.records, "worn") if one.type == "new-message"}
    assert {json.loads(void.body)["stream"] for void in told.voids} >= set(list(streams)[:2])


@pytest.mark.parametrize("done", [True, False])
async def test_an_error_after_the_ending_leaves_it_valid(shared: World, bridge: BridgeProcess, done: bool) -> None:
    """Post-processing failed: the conversation is finished again where it had completed, and the event is done."""
    event_id = f"late-error-{done}"
    shared.fake.script(text_of(event_id), Stream((Piece("some"), Complete(done), Error(500))))
    await shared.publish(event(event_id))
    told = await shared.ending(event_id)
    (talk,) = shared.fake.truth.talks_of(text_of(event_id))
    await until(lambda: len(of_event(shared.records, event_id)) >= len(talk.sent), "the error is out too")
    assert told.ending.type == "interaction-complete"
    assert told.voids == []
    if done:
        await until(lambda: finished_by(shared, event_id), "finish repairs the post-processing")
    else:
        await stays(lambda: not finished_by(shared, event_id), "a live conversation is not finished", 0.5)
    assert len(shared.fake.truth.talks_of(text_of(event_id))) == 1


async def test_a_line_beyond_the_limit_ends_the_attempt_and_the_next_one_is_whole(
    shared: World, bridge: BridgeProcess
) -> None:
    shared.fake.script(text_of("huge"), Stream((Piece("a"), BEYOND_THE_LIMIT, Gate(), Complete())))
    await shared.publish(event("huge"))
    told = await shared.ending("huge")
    assert told.bodies == shared.fake.truth.talks_of(text_of("huge"))[-1].sent
    assert len(shared.fake.truth.committed(text_of("huge"))) == 1
    assert len(shared.fake.truth.talks_of(text_of("huge"))) == 2


@pytest.mark.parametrize("reply", [Refusal(302, {"Location": "/elsewhere"}), Refusal(307, {"Location": "/elsewhere"})])
async def test_redirects_are_never_followed(shared: World, bridge: BridgeProcess, reply: Answer) -> None:
    """A followed redirect would be a request that the fake API calls a stranger."""
    assert isinstance(reply, Refusal)
    event_id = f"redirect-{reply.status}"
    shared.fake.script(text_of(event_id), reply)
    await shared.publish(event(event_id))
    await shared.ending(event_id, bound_s=30)
    assert shared.fake.violations == []


async def test_a_sign_in_that_comes_too_early_is_only_late(shared: World, bridge: BridgeProcess) -> None:
    shared.fake.fault("sign-in", Refusal(429, {"Retry-After": "1"}), Refusal(503))
    await shared.publish(event("early"))
    assert (await shared.ending("early", bound_s=60)).ending.type == "interaction-complete"
    assert attempts(shared, "early") == [1]
