"""Conversations end: when, how often that is said, and a process that dies at any step of it."""

import orjson
import pytest

from bridge.core.errors import Lost, NotSent, Refused, TooEarly
from bridge.core.event.route import Defaults
from tests.flow.test_ledger import Death, immortal
from tests.support.fakes import FakeLedger, Play, complete, opening, said
from tests.support.flow_bench import SERVICE, USER, Bench

__all__ = ["immortal"]
HOUR_S = 3600.0
STEPS = ("finish-taken", "finish-requested", "finish-answered", "finish-recorded", "finish-said")


def bench_of(**options: object) -> Bench:
    return Bench(defaults=Defaults(finish_s=HOUR_S), **options)  # type: ignore[arg-type]


def endings(bench: Bench, event_id: str = "e1") -> list[dict[str, object]]:
    return [orjson.loads(message.body) for message in bench.out(event_id) if message.type == "conversation-finished"]


def finished(bench: Bench, number: int = 0, event_id: str = "e1", **facts: object) -> dict[str, object]:
    talk = bench.agent.talks[number]
    known = {"type": "conversation-finished", "event_id": event_id, "conversation_id": talk.id}
    return {**known, "already": False, **facts, "by": "bridge"}


async def over(bench: Bench) -> None:
    await bench.until(lambda: not bench.ledger.dues, "nothing is due any more", 10 * HOUR_S)


async def test_a_conversation_is_finished_after_an_hour_of_silence_and_that_is_said() -> None:
    async with bench_of() as bench:
        bench.deliver("e1")
        await bench.quiet()
        await bench.wait(HOUR_S - 10)
        assert not bench.agent.talks[0].finished
        await over(bench)
        assert bench.agent.talks[0].finished
        assert endings(bench) == [finished(bench)]
        message = bench.out("e1")[-1]
        assert message.message_id == f"{bench.agent.talks[0].id}:conversation-finished"
        assert message.headers["conversation_id"] == bench.agent.talks[0].id
        assert len(bench.agent.calls("finish")) == 1


async def test_every_event_that_joins_moves_the_end() -> None:
    async with bench_of() as bench:
        for number in range(4):
            bench.deliver(f"e{number}")
            await bench.quiet()
            await bench.wait(HOUR_S / 2)
        assert [talk.finished for talk in bench.agent.talks] == [False]
        await over(bench)
        assert endings(bench, "e3") == [finished(bench, event_id="e3")]
        assert all(not endings(bench, f"e{number}") for number in range(3))


@pytest.mark.parametrize(("first", "then"), [("10m", "1h"), ("1h", "10m"), ("1h", "after")])
async def test_of_several_wishes_the_latest_end_holds(first: str, then: str) -> None:
    async with bench_of() as bench:
        bench.deliver("e1", finish=first)
        await bench.quiet()
        bench.deliver("e2", finish=then)
        await bench.quiet()
        began_s = bench.now_s()
        await over(bench)
        assert HOUR_S <= bench.now_s() - began_s < HOUR_S + 60


async def test_after_finishes_as_soon_as_the_event_is_answered_and_before_the_next_one() -> None:
    async with bench_of() as bench:
        bench.deliver("e1", finish="after")
        bench.deliver("e2", finish="after")
        await bench.quiet()
        await over(bench)
        assert [talk.finished for talk in bench.agent.talks] == [True, True]
        operations = [call.operation for call in bench.agent.calls("create", "interact", "finish")]
        assert operations == ["create", "finish", "create", "finish"]
        assert endings(bench, "e1") == [finished(bench)]


async def test_after_ends_only_what_its_own_event_started() -> None:
    async with bench_of() as bench:
        bench.deliver("e1")
        await bench.quiet()
        bench.deliver("e2", finish="after")
        await bench.quiet()
        await bench.wait(60)
        assert not bench.agent.talks[0].finished
        await over(bench)
        assert bench.agent.talks[0].finished


async def test_never_is_never() -> None:
    async with bench_of() as bench:
        bench.deliver("e1", finish="never")
        await bench.quiet()
        bench.deliver("e2", finish="10m")
        await bench.quiet()
        await bench.wait(24 * HOUR_S)
        assert not bench.agent.calls("finish")


async def test_what_the_bridge_has_not_started_it_does_not_finish() -> None:
    async with bench_of() as bench:
        bench.agent.converse(bench.agent.open(USER, SERVICE), "hello")
        bench.deliver("e1", finish="10m")
        bench.deliver("e2", finish="after")
        await bench.quiet()
        await bench.wait(2 * HOUR_S)
        assert not bench.agent.calls("finish")
        assert not bench.ledger.dues


async def test_a_conversation_of_the_bridge_that_a_later_process_joins_is_finished() -> None:
    async with bench_of() as bench:
        talk = bench.agent.open(USER, SERVICE, tags={"bridge_event": "0" * 32, "channel": "api"})
        bench.agent.converse(talk, "hello")
        bench.deliver("e1", finish="10m")
        await bench.quiet()
        await over(bench)
        assert talk.finished


async def test_an_answer_that_ends_the_conversation_leaves_nothing_due() -> None:
    async with bench_of() as bench:
        bench.agent.script(Play((opening, said("bye"), complete(done=True))))
        bench.deliver("e1")
        await bench.quiet()
        assert not bench.ledger.dues
        await bench.wait(2 * HOUR_S)
        assert not endings(bench)


async def test_what_somebody_else_says_moves_the_end() -> None:
    async with bench_of() as bench:
        bench.deliver("e1")
        await bench.quiet()
        await bench.wait(HOUR_S - 100)
        bench.agent.converse(bench.agent.talks[0], "I am still there")
        await bench.wait(HOUR_S - 100)
        assert not bench.agent.talks[0].finished
        await over(bench)
        assert endings(bench) == [finished(bench)]


async def test_what_somebody_else_finished_is_said_as_done_already() -> None:
    async with bench_of() as bench:
        bench.deliver("e1")
        await bench.quiet()
        bench.agent.talks[0].finished = True
        await over(bench)
        assert endings(bench) == [finished(bench, already=True)]


async def test_a_finish_event_leaves_nothing_due_and_says_it_alone() -> None:
    async with bench_of() as bench:
        bench.deliver("e1")
        await bench.quiet()
        bench.deliver("f1", kind="finish", message=None)
        await bench.quiet()
        assert not bench.ledger.dues
        await bench.wait(2 * HOUR_S)
        assert endings(bench) == []
        assert [body["by"] for body in endings(bench, "f1")] == ["event"]


@pytest.mark.parametrize(
    "error",
    [
        *(NotSent("no"), TooEarly("429", 9.0), Lost("reset")),
        *(Refused("finish", status, "no") for status in (408, 409, 500)),
    ],
    ids=str,
)
async def test_what_time_mends_is_tried_again(error: Exception) -> None:
    async with bench_of() as bench:
        bench.agent.fail("finish", error)
        bench.deliver("e1", finish="10m")
        await bench.quiet()
        await over(bench)
        assert bench.agent.talks[0].finished
        (body,) = endings(bench)
        assert body.get("already") is not True


@pytest.mark.parametrize("status", [403, 415, 422, 425])
async def test_what_a_person_must_mend_is_given_up_and_said_in_the_log(status: int) -> None:
    async with bench_of() as bench:
        bench.agent.break_down("finish", Refused("finish", status, "no"))
        bench.deliver("e1", finish="10m")
        await bench.quiet()
        await over(bench)
        assert bench.counters.unfinished == 1
        assert [line.event for line in bench.log.at("error")] == ["conversation.finish_refused"]
        assert not endings(bench)


async def test_a_busy_conversation_is_finished_later() -> None:
    async with bench_of() as bench:
        bench.deliver("e1", finish="10m")
        await bench.quiet()
        bench.agent.talks[0].running = True
        await bench.wait(HOUR_S)
        assert not bench.agent.talks[0].finished
        bench.agent.talks[0].running = False
        await over(bench)
        assert endings(bench) == [finished(bench)]
        assert len(bench.agent.calls("finish")) < 100


async def test_the_ledger_that_is_away_puts_it_off() -> None:
    async with bench_of() as bench:
        bench.deliver("e1", finish="10m")
        await bench.quiet()
        bench.ledger.break_down()
        await bench.wait(HOUR_S)
        assert not bench.agent.talks[0].finished
        bench.ledger.mend()
        await over(bench)
        assert endings(bench) == [finished(bench)]


@pytest.mark.parametrize("wish", ["10m", "after"])
@pytest.mark.parametrize("label", STEPS)
async def test_a_process_that_dies_at_any_step_finishes_once_and_says_it_once(label: str, wish: str) -> None:
    async with bench_of() as bench:
        death = Death(label)
        bench.deliver("e1", finish=wish)
        await bench.until(lambda: death.happened, "the process dies")
        await bench.restart()
        await over(bench)
        assert bench.agent.talks[0].finished
        (body,) = endings(bench)
        assert body.get("already") is not True
        assert len({each.body for each in bench.publisher.confirmed if each.type == "conversation-finished"}) == 1


async def test_a_process_that_starts_later_finishes_what_is_due() -> None:
    async with bench_of() as bench:
        bench.deliver("e1")
        await bench.quiet()
        await bench.restart()
        await over(bench)
        assert endings(bench) == [finished(bench)]


async def test_two_processes_finish_once() -> None:
    ledger = FakeLedger()
    async with bench_of(ledger=ledger) as bench, bench_of(ledger=FakeLedger(beside=ledger)) as other:
        other.agent = bench.agent
        bench.deliver("e1")
        await bench.quiet()
        await over(bench)
        said_by = [each for one in (bench, other) for each in endings(one)]
        assert len(said_by) == 1


async def test_events_during_the_finish_are_neither_lost_nor_doubled() -> None:
    async with bench_of() as bench:
        bench.deliver("e1", finish="10m")
        await bench.quiet()
        bench.agent.before["finish"] = lambda: bench.deliver("e2", finish="10m")
        await over(bench)
        await bench.quiet()
        assert bench.types("e2")[-2:][0] in ("interaction-complete", "conversation-finished")
        assert bench.agent.heard("Tell e2") == 1
        await bench.until(lambda: all(talk.finished for talk in bench.agent.talks), "all are finished", HOUR_S)


@pytest.mark.parametrize("label", ["before-post", "post-answered"])
async def test_what_is_recovered_after_a_crash_is_finished_too(label: str) -> None:
    async with bench_of() as bench:
        death = Death(label)
        bench.deliver("e1", finish="10m")
        await bench.until(lambda: death.happened, "the process dies")
        await bench.restart()
        await bench.quiet()
        await over(bench)
        assert [talk.finished for talk in bench.agent.talks if not talk.gone] == [True]


async def test_a_lane_that_is_busy_for_long_gathers_one_finish_not_many() -> None:
    async with bench_of() as bench:
        bench.deliver("e1", finish="10m")
        await bench.quiet()
        bench.agent.script_for("Tell e2", Play((opening, said("a"), complete()), thinks_s=200))
        await bench.wait(590)
        bench.deliver("e2", finish="10m")
        await bench.wait(150)
        (lane,) = bench.lanes._lanes.values()
        assert len(lane.jobs) <= 1
        await bench.quiet()
        await over(bench)
        assert len(bench.agent.calls("finish")) == 1


async def test_a_bug_in_a_finish_breaks_neither_lane_nor_process() -> None:
    async with bench_of() as bench:
        bench.bugs_expected = True
        bench.agent.fail("finish", KeyError("a bug"))
        bench.deliver("e1", finish="10m")
        await bench.quiet()
        await over(bench)
        assert [line.event for line in bench.log.at("critical")] == ["finish.unhandled"]
        assert bench.agent.talks[0].finished
