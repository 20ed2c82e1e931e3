"""The kind tag: what it sets and deletes, several at once, and a process that dies at any step."""

from typing import Any

import orjson
import pytest

from bridge.core.errors import Lost, NotSent, TooEarly
from tests.flow.test_ledger import Death, immortal
from tests.support.flow_bench import SERVICE, USER, Bench

__all__ = ["immortal"]
STEPS = ("claimed", "before-post", "post-answered", "complete-read", "ending-recorded", "confirmed", "before-ack")
OTHER = "5f0000000000000000000009"


def tag(bench: Bench, event_id: str, **fields: Any) -> None:
    bench.deliver(event_id, kind="tag", message=None, **fields)


def bodies(bench: Bench, event_id: str) -> list[dict[str, object]]:
    return [orjson.loads(message.body) for message in bench.out(event_id)]


async def test_tag_sets_and_deletes_in_one_call() -> None:
    async with Bench() as bench:
        talk = bench.agent.open(USER, SERVICE, tags={"old": "1", "kept": "2"})
        bench.deliver("t1", kind="tag", message=None, tags={"new": "3"}, delete_tags=["old"])
        await bench.quiet()
        assert talk.tags == {"kept": "2", "new": "3"}
        known = {"type": "conversation-tagged", "event_id": "t1", "conversation_id": talk.id}
        assert bodies(bench, "t1") == [known]
        assert len(bench.agent.calls("modify_tags")) == 1


async def test_a_tag_with_nothing_open_is_rejected() -> None:
    async with Bench() as bench:
        bench.deliver("t1", kind="tag", message=None, tags={"new": "3"})
        await bench.quiet()
        assert bench.dead() == ["rejected"]


async def test_a_tag_goes_to_the_conversation_that_it_names() -> None:
    async with Bench() as bench:
        bench.agent.open(USER, SERVICE)
        named = bench.agent.open(USER, OTHER)
        bench.deliver("t1", kind="tag", message=None, tags={"new": "3"}, conversation_id=named.id)
        await bench.quiet()
        assert named.tags == {"new": "3"}


async def test_a_tag_that_the_api_refuses_fails_the_event() -> None:
    async with Bench() as bench:
        bench.agent.open(USER, SERVICE, tags={f"k{number}": "v" for number in range(20)})
        bench.deliver("t1", kind="tag", message=None, tags={"new": "3"})
        await bench.quiet()
        assert bench.dead() == ["rejected"]
        assert "20 tags" in str(bench.said("bridge-failed", "t1")[0]["error"])


@pytest.mark.parametrize("label", STEPS)
async def test_a_process_that_dies_at_any_step_of_a_tag_does_it_again(label: str) -> None:
    async with Bench() as bench:
        talk = bench.agent.open(USER, SERVICE, tags={"old": "1"})
        death = Death(label)
        bench.deliver("t1", kind="tag", message=None, tags={"new": "3"}, delete_tags=["old"])
        await bench.until(lambda: death.happened, "the process dies")
        await bench.restart()
        await bench.quiet()
        assert talk.tags == {"new": "3"}
        assert [body["conversation_id"] for body in bodies(bench, "t1")] == [talk.id]


async def test_tags_that_wait_one_behind_the_other_are_one_call_and_the_last_word_wins() -> None:
    async with Bench() as bench:
        talk = bench.agent.open(USER, SERVICE, tags={"old": "1"})
        tag(bench, "t1", tags={"a": "1", "b": "1"})
        tag(bench, "t2", tags={"a": "2"}, delete_tags=["b", "old"])
        tag(bench, "t3", tags={"b": "3"})
        await bench.quiet()
        assert talk.tags == {"a": "2", "b": "3"}
        assert len(bench.agent.calls("modify_tags")) == 1
        for event_id in ("t1", "t2", "t3"):
            assert [body["conversation_id"] for body in bodies(bench, event_id)] == [talk.id]


async def test_only_neighbours_that_tag_the_same_conversation_are_merged() -> None:
    async with Bench() as bench:
        talk = bench.agent.open(USER, SERVICE)
        bench.agent.converse(talk, "hello")
        tag(bench, "t1", tags={"a": "1"})
        tag(bench, "t2", tags={"a": "2"}, conversation_id=talk.id)
        bench.deliver("e1")
        tag(bench, "t3", tags={"a": "3"}, conversation_id=talk.id)
        await bench.quiet()
        assert talk.tags["a"] == "3"
        assert len(bench.out("t1")) == len(bench.out("t2")) == len(bench.out("t3")) == 1
        assert [call.tags for call in bench.agent.calls("modify_tags") if "a" in (call.tags or {})] == [
            {"a": "1"},
            {"a": "2"},
            {"a": "3"},
        ]


async def test_a_merged_call_that_is_refused_is_made_for_each_alone() -> None:
    async with Bench() as bench:
        talk = bench.agent.open(USER, SERVICE, tags={f"k{number}": "v" for number in range(19)})
        tag(bench, "t1", tags={"a": "1"})
        tag(bench, "t2", tags={"b": "1"})
        tag(bench, "t3", delete_tags=["k1"])
        await bench.quiet()
        assert bench.dead() == ["rejected"]
        assert bench.said("bridge-failed", "t2")
        assert talk.tags["a"] == "1"
        assert "k1" not in talk.tags


@pytest.mark.parametrize("error", [NotSent("no way"), TooEarly("429", 5.0), Lost("reset")], ids=str)
async def test_a_merged_call_that_fails_is_made_again_for_all(error: BaseException) -> None:
    async with Bench() as bench:
        talk = bench.agent.open(USER, SERVICE)
        bench.agent.fail("modify_tags", error)
        tag(bench, "t1", tags={"a": "1"})
        tag(bench, "t2", tags={"a": "2"})
        await bench.quiet()
        assert talk.tags == {"a": "2"}
        assert bodies(bench, "t1")
        assert bodies(bench, "t2")


@pytest.mark.parametrize("label", STEPS)
@pytest.mark.parametrize("most", [1, 2])
async def test_a_process_that_dies_at_any_step_of_merged_tags_keeps_the_last_word(label: str, most: int) -> None:
    async with Bench() as bench:
        talk = bench.agent.open(USER, SERVICE)
        death = Death(label, most)
        tag(bench, "t1", tags={"a": "1"})
        tag(bench, "t2", tags={"a": "2"})
        await bench.until(lambda: death.happened or len(bench.out("t2")) > 0, "the process dies, or all is done")
        await bench.restart()
        await bench.quiet()
        assert talk.tags == {"a": "2"}
        assert (
            len({message.body for message in bench.out("t1")})
            == len({message.body for message in bench.out("t2")})
            == 1
        )


async def test_what_has_been_merged_is_not_cancelled_any_more() -> None:
    async with Bench() as bench:
        bench.agent.open(USER, SERVICE)
        bench.agent.before["modify_tags"] = lambda: bench.deliver(
            "c1", kind="cancel", message=None, cancels="t2", user_id=None, service_id=None
        )
        tag(bench, "t1", tags={"a": "1"})
        tag(bench, "t2", tags={"a": "2"})
        await bench.quiet()
        assert [body["outcome"] for body in bodies(bench, "c1")] == ["too-late"]
        assert [body["type"] for body in bodies(bench, "t2")] == ["conversation-tagged"]
