"""The kinds finish, tag and cancel: what they do, their endings, and a process that dies at any step of them."""

from typing import Any

import orjson
import pytest

from bridge.core.delivery.outcome import ROWS, OutcomeKind
from bridge.core.errors import Lost, NotSent, Refused, TooEarly
from bridge.core.event.route import Defaults
from bridge.flow import failpoints
from tests.flow.test_ledger import Death, immortal
from tests.support.flow_bench import SERVICE, USER, Bench

__all__ = ["immortal"]
STEPS = ("claimed", "before-post", "post-answered", "complete-read", "ending-recorded", "confirmed", "before-ack")
OTHER = "5f0000000000000000000009"


def finish(bench: Bench, event_id: str = "f1", **fields: Any) -> None:
    bench.deliver(event_id, kind="finish", message=None, **fields)


def tag(bench: Bench, event_id: str, **fields: Any) -> None:
    bench.deliver(event_id, kind="tag", message=None, **fields)


def bodies(bench: Bench, event_id: str) -> list[dict[str, object]]:
    return [orjson.loads(message.body) for message in bench.out(event_id)]


def finished(conversation_id: str | None, *, event_id: str = "f1", **facts: object) -> dict[str, object]:
    known = {"type": "conversation-finished", "event_id": event_id, "conversation_id": conversation_id}
    return {**known, **facts, "by": "event"}


# --- finish


async def test_finish_finishes_the_conversation_that_is_open_and_says_so() -> None:
    async with Bench() as bench:
        talk = bench.agent.open(USER, SERVICE)
        bench.agent.converse(talk, "hello")
        finish(bench)
        await bench.quiet()
        assert talk.finished
        assert bodies(bench, "f1") == [finished(talk.id, already=False)]
        (message,) = bench.out("f1")
        assert (message.message_id, message.type) == ("f1:conversation-finished", "conversation-finished")
        assert message.headers["conversation_id"] == talk.id
        assert bench.order()[-2:] == ["conversation-finished", "ack"]


async def test_finish_finishes_the_conversation_that_it_names() -> None:
    async with Bench() as bench:
        named, other = bench.agent.open(USER, SERVICE), bench.agent.open(USER, OTHER)
        for talk in (named, other):
            bench.agent.converse(talk, "hello")
        finish(bench, conversation_id=other.id)
        await bench.quiet()
        assert (named.finished, other.finished) == (False, True)
        assert len(bench.agent.calls("finish")) == 1


async def test_user_and_service_are_those_of_the_conversation_that_is_named() -> None:
    async with Bench(defaults=Defaults()) as bench:
        bench.deliver("e1", user_id="user-9")
        await bench.quiet()
        (talk,) = bench.agent.talks
        nobody: dict[str, Any] = {"user_id": None, "service_id": None}
        tag(bench, "t1", conversation_id=talk.id, tags={"a": "b"}, **nobody)
        await bench.quiet()
        finish(bench, conversation_id=talk.id, user_id="somebody-else", service_id=OTHER)
        await bench.quiet()
        assert (talk.tags["a"], talk.finished) == ("b", True)
        assert {call.user_id for call in bench.agent.calls("modify_tags", "finish")} == {"user-9"}
        assert bodies(bench, "f1") == [finished(talk.id, already=False)]
        assert bench.out("t1")[0].headers["service_id"] == SERVICE


@pytest.mark.parametrize(
    ("fields", "reason"),
    [({"service_id": None}, "no-route"), ({"user_id": None}, "invalid-event")],
)
async def test_of_a_conversation_that_the_ledger_does_not_know_the_event_says_whose_it_is(
    fields: dict[str, Any], reason: str
) -> None:
    async with Bench(defaults=Defaults()) as bench:
        finish(bench, conversation_id=OTHER, **fields)
        await bench.quiet()
        assert bench.dead() == [reason]
        assert bench.said("bridge-failed", "f1")[0]["error"].startswith("the ledger does not know the conversation")


async def test_a_named_conversations_owner_is_asked_for_once_the_ledger_is_there() -> None:
    async with Bench(defaults=Defaults()) as bench:
        bench.deliver("e1", user_id="user-9")
        await bench.quiet()
        (talk,) = bench.agent.talks
        bench.ledger.trouble = "it is away"
        finish(bench, conversation_id=talk.id, user_id=None, service_id=None)
        await bench.wait(1)
        assert (bench.dead(), talk.finished) == ([], False)
        bench.ledger.trouble = None
        await bench.quiet()
        assert talk.finished


async def test_where_nothing_is_open_finish_is_done_already() -> None:
    async with Bench() as bench:
        finish(bench)
        finish(bench, "f2", conversation_id=OTHER)
        await bench.quiet()
        assert bodies(bench, "f1") == [finished(None, already=True)]
        assert bodies(bench, "f2") == [finished(OTHER, event_id="f2", already=True)]


async def test_what_is_finished_meanwhile_is_done_already() -> None:
    async with Bench() as bench:
        talk = bench.agent.open(USER, SERVICE)
        bench.agent.converse(talk, "hello")
        bench.agent.before["finish"] = lambda: setattr(talk, "finished", True)
        finish(bench)
        await bench.quiet()
        assert bodies(bench, "f1") == [finished(talk.id, already=True)]


async def test_finish_waits_for_the_answer_before_it_in_the_lane() -> None:
    async with Bench() as bench:
        bench.deliver("e1")
        finish(bench)
        bench.deliver("e2")
        await bench.quiet()
        assert [talk.finished for talk in bench.agent.talks] == [True, False]
        assert bench.types("e1")[-1] == bench.types("e2")[-1] == "interaction-complete"
        assert [call.operation for call in bench.agent.calls("create", "finish", "interact")] == [
            "create",
            "finish",
            "create",
        ]


async def test_a_conversation_that_somebody_else_keeps_busy_is_waited_for() -> None:
    async with Bench() as bench:
        talk = bench.agent.open(USER, SERVICE)
        bench.agent.converse(talk, "hello")
        talk.running = True
        finish(bench)
        await bench.wait(900)
        assert not talk.finished
        talk.running = False
        await bench.quiet()
        assert bodies(bench, "f1") == [finished(talk.id, already=False)]


async def test_it_is_waited_for_no_longer_than_busy_for() -> None:
    async with Bench(busy_for_s=1800.0) as bench:
        talk = bench.agent.open(USER, SERVICE)
        bench.agent.converse(talk, "hello")
        talk.running = True
        finish(bench)
        began_s = bench.now_s()
        await bench.quiet()
        assert bench.dead() == ["rejected"]
        assert 1800 <= bench.now_s() - began_s < 1800 + 2 * bench.policy.longest_s
        assert "conversations.busy_for" in str(bench.said("bridge-failed", "f1")[0]["error"])


@pytest.mark.parametrize("error", [Refused("finish", 403, "no"), Refused("finish", 422, "no")], ids=["403", "422"])
async def test_a_refused_finish_is_dead_lettered(error: Refused) -> None:
    async with Bench() as bench:
        bench.agent.converse(bench.agent.open(USER, SERVICE), "hello")
        bench.agent.break_down("finish", error)
        finish(bench)
        await bench.quiet()
        assert bench.dead() == [ROWS[OutcomeKind.REJECTED].reason]
        assert bench.types("f1") == ["bridge-failed"]


@pytest.mark.parametrize(
    "error", [NotSent("no way"), TooEarly("429", 5.0), Lost("reset")], ids=lambda error: str(error)
)
async def test_what_time_mends_is_tried_again(error: Exception) -> None:
    async with Bench() as bench:
        talk = bench.agent.open(USER, SERVICE)
        bench.agent.converse(talk, "hello")
        bench.agent.fail("finish", error)
        finish(bench)
        await bench.quiet()
        assert talk.finished
        assert bodies(bench, "f1")[0]["conversation_id"] == talk.id


@pytest.mark.parametrize("named", [False, True], ids=["open", "named"])
@pytest.mark.parametrize("label", STEPS)
async def test_a_process_that_dies_at_any_step_of_a_finish_finishes_once_and_says_it_once(
    label: str, *, named: bool
) -> None:
    async with Bench() as bench:
        talk = bench.agent.open(USER, SERVICE)
        bench.agent.converse(talk, "hello")
        death = Death(label)
        finish(bench, conversation_id=talk.id if named else None)
        await bench.until(lambda: death.happened, "the process dies")
        await bench.restart()
        await bench.quiet()
        assert talk.finished
        (body,) = bodies(bench, "f1")
        assert (body["conversation_id"], body["by"]) == (talk.id, "event")
        assert body.get("already") is not True


async def test_a_finish_that_comes_again_and_that_the_ledger_does_not_know_was_never_asked_for() -> None:
    """A process that is killed has many in hand that it has not begun."""
    async with Bench() as bench:
        talk = bench.agent.open(USER, SERVICE)
        bench.agent.converse(talk, "hello")
        finish(bench, redelivered=True)
        finish(bench, "f2", redelivered=True, user_id="user-2")
        await bench.quiet()
        assert bench.dead() == []
        assert talk.finished
        assert bodies(bench, "f1") == [finished(talk.id, already=False)]
        assert bodies(bench, "f2") == [finished(None, event_id="f2", already=True)]


# --- cancel


def cancel(bench: Bench, event_id: str = "c1", cancels: str = "e1", **fields: Any) -> None:
    bench.deliver(event_id, kind="cancel", message=None, cancels=cancels, user_id=None, service_id=None, **fields)


def settled(outcome: str, event_id: str = "c1") -> dict[str, object]:
    return {"type": "cancel-settled", "event_id": event_id, "cancels": "e1", "outcome": outcome}


async def test_a_cancel_that_comes_first_keeps_the_event_from_starting() -> None:
    async with Bench() as bench:
        cancel(bench)
        await bench.quiet()
        assert bodies(bench, "c1") == [settled("cancelled")]
        bench.deliver("e1")
        await bench.quiet()
        assert bodies(bench, "e1") == [{"type": "bridge-cancelled", "event_id": "e1", "by": "c1"}]
        assert bench.out("e1")[0].message_id == "e1:bridge-cancelled"
        assert not bench.agent.calls("create", "interact")
        assert not bench.log.at("warning")


async def test_an_event_that_waits_for_its_turn_is_cancelled() -> None:
    async with Bench() as bench:
        bench.agent.converse(talk := bench.agent.open(USER, SERVICE), "hello")
        bench.deliver("e0", on_busy="wait")
        bench.deliver("e1")
        await bench.wait(30)
        cancel(bench)
        await bench.until(lambda: bench.types("c1"), "the cancel is settled")
        talk.finished = True
        await bench.quiet()
        assert bodies(bench, "c1") == [settled("cancelled")]
        assert bench.types("e1") == ["bridge-cancelled"]
        assert bench.types("e0")[-1] == "interaction-complete"


async def test_an_event_between_two_tries_of_which_none_was_made_is_cancelled() -> None:
    async with Bench() as bench:
        bench.agent.fail("create", *[TooEarly("429", 600.0)] * 5)
        bench.deliver("e1")
        await bench.wait(10)
        cancel(bench)
        await bench.quiet()
        assert bench.types("e1") == ["bridge-cancelled"]
        assert bodies(bench, "c1") == [settled("cancelled")]
        assert bench.agent.heard("Tell e1") == 0


async def test_what_has_started_is_left_alone() -> None:
    async with Bench() as bench:
        bench.deliver("e1")
        await bench.quiet()
        cancel(bench)
        await bench.quiet()
        assert bodies(bench, "c1") == [settled("too-late")]
        assert bench.types("e1")[-1] == "interaction-complete"


async def test_a_cancel_that_comes_again_finds_its_own_work() -> None:
    async with Bench() as bench:
        cancel(bench)
        await bench.quiet()
        cancel(bench, "c2")
        await bench.quiet()
        assert bodies(bench, "c2") == [settled("cancelled", "c2")]


@pytest.mark.parametrize("label", [label for label in STEPS if label not in ("before-post", "post-answered")])
async def test_a_process_that_dies_at_any_step_of_a_cancel_cancels(label: str) -> None:
    async with Bench() as bench:
        death = Death(label)
        cancel(bench)
        await bench.until(lambda: death.happened, "the process dies")
        await bench.restart()
        await bench.quiet()
        bench.deliver("e1")
        await bench.quiet()
        assert bodies(bench, "c1") == [settled("cancelled")]
        assert bench.types("e1") == ["bridge-cancelled"]


async def test_a_cancel_stands_in_no_lane() -> None:
    async with Bench() as bench:
        bench.agent.converse(talk := bench.agent.open(USER, SERVICE), "hello")
        bench.deliver("e0", on_busy="wait")
        await bench.wait(5)
        cancel(bench, cancels="e9")
        await bench.until(lambda: bench.types("c1"), "the cancel is settled", 5)
        talk.finished = True
        await bench.quiet()


@pytest.mark.parametrize("label", ["claimed", "ending-recorded", "confirmed"])
async def test_a_process_that_dies_while_it_says_that_an_event_was_cancelled_says_it_again(label: str) -> None:
    async with Bench() as bench:
        cancel(bench)
        await bench.quiet()
        death = Death(label)
        bench.deliver("e1")
        await bench.quiet() if label == "ending-recorded" else await bench.until(lambda: death.happened, "it dies")
        failpoints.listen(None)
        if death.happened:
            await bench.restart()
            await bench.quiet()
        assert bodies(bench, "e1") == [{"type": "bridge-cancelled", "event_id": "e1", "by": "c1"}]


# --- sound


SOUND = {"content_type": "audio/mpeg", "data": "AA=="}


async def test_sound_joins_the_conversation_that_is_open() -> None:
    async with Bench() as bench:
        talk = bench.agent.open(USER, SERVICE)
        bench.agent.converse(talk, "hello")
        bench.deliver("s1", kind="user-message", body=None, audio=SOUND, message=None)
        await bench.quiet()
        assert [call.conversation_id for call in bench.agent.calls("create", "interact")] == [talk.id]
        assert bench.types("s1")[-1] == "interaction-complete"


async def test_sound_without_an_open_conversation_is_rejected_and_says_why() -> None:
    async with Bench() as bench:
        bench.deliver("s1", kind="user-message", audio=SOUND, message=None)
        await bench.quiet()
        assert not bench.agent.calls("create", "interact")
        assert "audio joins an open conversation" in str(bench.said("bridge-failed", "s1")[0]["error"])
