"""docs/semantics.md, Without a ledger: what waits for it, what goes on without it, and that it goes on by itself."""

import itertools
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from bridge.core.answer.ending import ENDINGS
from bridge.core.delivery.progress import UNKNOWN
from bridge.core.delivery.retry import RetryPolicy
from bridge.core.errors import Lost
from bridge.core.ledger.ledger_entry import Claim, State
from bridge.flow import failpoints
from bridge.flow.ports.ledger import EntryUnreadable
from tests.flow.test_ledger import ON_THE_WAY, Death
from tests.support.fakes import FakeLedger, Fate, Gate, Play, answered, complete, error, opening, said
from tests.support.flow_bench import SERVICE, USER, Bench

AWAY = "the disk is full"


@pytest.fixture(autouse=True)
def nobody_listens() -> Iterator[None]:
    yield
    failpoints.listen(None)


def goes_away_at(bench: Bench, label: str) -> None:
    """The ledger goes when an event comes to this step for the first time."""

    def reached(step: str, event_id: str) -> None:
        if step == label:
            failpoints.listen(None)
            bench.ledger.break_down(AWAY)

    failpoints.listen(reached)


def watch_requests(bench: Bench) -> list[bool]:
    """Of each request from now on: whether the ledger has it by then."""
    found: list[bool] = []

    def request(operation: str) -> None:
        entry = bench.ledger.entries.get("e1")
        found.append(entry is not None and entry.state is State.REQUESTED)
        bench.agent.before[operation] = lambda: request(operation)

    for operation in ("create", "interact"):
        bench.agent.before[operation] = partial(request, operation)
    return found


def endings(bench: Bench, event_id: str = "e1") -> list[str]:
    return [type_ for type_ in bench.types(event_id) if type_ in ENDINGS]


def assert_answered_once(bench: Bench, attempt: int = 1) -> None:
    assert bench.agent.heard("Tell e1") == 1
    assert endings(bench) == ["interaction-complete"]
    assert bench.dead() == []
    assert bench.out()[-1].headers["attempt"] == attempt


# --- consuming


async def test_a_ledger_that_is_away_at_the_start_holds_consuming_until_it_is_there() -> None:
    ledger = FakeLedger()
    ledger.break_down("locked by the process 7")
    async with Bench(ledger=ledger) as bench:
        assert (bench.ledger_watch.holding, bench.inbox.reasons) == (True, {"ledger"})
        await bench.wait(3600)
        assert (bench.inbox.consuming, bench.begun) == (False, 0)
        ledger.mend()
        await bench.until(lambda: bench.inbox.consuming, "it consumes", 1.0)
        assert (bench.ledger_watch.holding, bench.begun) == (False, 1)


async def test_a_ledger_that_goes_away_later_holds_consuming_after_the_patience_and_not_before() -> None:
    async with Bench(patience_s=10.0) as bench:
        for _ in range(3):
            bench.ledger.break_down(AWAY)
            await bench.wait(9.9)
            assert bench.inbox.consuming
            bench.ledger.mend()
            await bench.wait(0.2)
        bench.ledger.break_down(AWAY)
        await bench.wait(10.1)
        assert (bench.inbox.reasons, bench.ledger_watch.holding) == ({"ledger"}, True)
        bench.ledger.mend()
        await bench.wait(0.1)
        assert (bench.inbox.consuming, bench.ledger_watch.holding) == (True, False)


async def test_where_the_api_is_asked_instead_nothing_is_ever_held() -> None:
    ledger = FakeLedger()
    ledger.break_down(AWAY)
    async with Bench(ledger=ledger, when_lost="ask") as bench:
        await bench.wait(3600)
        assert (bench.inbox.consuming, bench.ledger_watch.holding) == (True, False)


# --- what has not been requested


@pytest.mark.parametrize("joins", [False, True])
@pytest.mark.parametrize("redelivered", [False, True])
async def test_nothing_is_asked_for_an_event_that_the_ledger_does_not_have(redelivered: bool, joins: bool) -> None:
    async with Bench() as bench:
        talk = bench.agent.open(USER, SERVICE) if joins else None
        bench.ledger.break_down(AWAY)
        bench.deliver(redelivered=redelivered, **({"conversation_id": talk.id} if talk else {}))
        await bench.wait(50)
        assert {call.operation for call in bench.agent.journal} == {"probe"}
        assert bench.republisher.copies == []
        bench.ledger.mend()
        await bench.until(lambda: not bench.event_intake.in_hand, "it goes on by itself", 10)
        assert_answered_once(bench)
        assert bench.ledger.entries["e1"].state is State.COMPLETE


async def test_what_waits_for_the_ledger_is_parked_when_that_takes_long_and_no_attempt_is_counted() -> None:
    async with Bench(park_after_s=20.0) as bench:
        bench.ledger.break_down(AWAY)
        deliveries = [bench.deliver(f"e{number}") for number in range(1, 4)]
        await bench.wait(19)
        assert bench.republisher.copies == []
        await bench.wait(2)
        assert [delivery.acked for delivery in deliveries] == [1, 1, 1]
        assert [copy.routing_key for copy in bench.republisher.delayed] == ["bridge.events.delay.30"] * 3
        await bench.wait(600)
        assert len(bench.republisher.delayed) == 3, "they come back to a queue that is not consumed"
        bench.ledger.mend()
        await bench.quiet()
        assert_answered_once(bench)
        assert [endings(bench, f"e{number}") for number in range(1, 4)] == [["interaction-complete"]] * 3


@pytest.mark.parametrize("joins", [False, True])
@pytest.mark.parametrize("away_s", [0.5, 5.0, 500.0])
async def test_a_ledger_that_goes_between_the_claim_and_the_request_is_waited_for(joins: bool, away_s: float) -> None:
    async with Bench() as bench:
        talk = bench.agent.open(USER, SERVICE) if joins else None
        recorded = watch_requests(bench)
        bench.agent.before["messages"] = lambda: bench.ledger.break_down(AWAY)
        if not joins:
            goes_away_at(bench, "claimed")
            bench.agent.fail("create", Lost("reset"))  # the first request was written with the claim
        bench.deliver(**({"conversation_id": talk.id} if talk else {}))
        await bench.until(lambda: bench.ledger.trouble, "the ledger goes away")
        asked = bench.attempts()
        await bench.wait(away_s)
        assert bench.attempts() == asked
        bench.ledger.mend()
        await bench.quiet()
        assert all(recorded)
        assert_answered_once(bench, attempt=1 if joins else 2)


@pytest.mark.parametrize("fate", [Fate.ROLLED_BACK, Fate.EMPTY, Fate.SAVED])
@pytest.mark.parametrize("label", ON_THE_WAY)
async def test_a_ledger_that_goes_away_at_any_step_costs_nothing(label: str, fate: Fate) -> None:
    async with Bench() as bench:
        recorded = watch_requests(bench)
        bench.agent.script(Play((opening, said("Hel"), said("lo"), complete()), fate))
        goes_away_at(bench, label)
        bench.deliver()
        await bench.until(lambda: bench.ledger.trouble, "the ledger goes away")
        await bench.wait(300)
        bench.ledger.mend()
        await bench.quiet()
        assert recorded == [True]
        assert_answered_once(bench)


@pytest.mark.parametrize(("away_from", "label"), list(itertools.combinations_with_replacement(ON_THE_WAY, 2)))
async def test_nor_does_a_death_meanwhile_or_afterwards(away_from: str, label: str) -> None:
    async with Bench() as bench:
        recorded = watch_requests(bench)
        death = Death(label)

        def reached(step: str, event_id: str) -> None:
            if step == away_from:
                bench.ledger.break_down(AWAY)
            death(step, event_id)

        failpoints.listen(reached)
        bench.deliver()
        await bench.until(lambda: bench.ledger.trouble, "the ledger goes away")
        await bench.wait(100)
        bench.ledger.mend()
        failpoints.listen(death)
        await bench.until(lambda: death.happened or not bench.event_intake.in_hand, "it dies, if it comes to that step")
        failpoints.listen(None)
        await bench.restart()
        await bench.quiet()
        assert all(recorded)
        assert bench.agent.heard("Tell e1") == 1
        assert endings(bench) == ["interaction-complete"]


# --- what has been requested


async def test_a_stream_goes_on_without_the_ledger_and_what_that_missed_is_written_afterwards() -> None:
    async with Bench() as bench:
        api_breaker = Gate()
        bench.agent.script(Play((opening, said("Hel"), api_breaker, said("lo"), complete()), Fate.SAVED))
        delivery = bench.deliver()
        await api_breaker.reached.wait()
        bench.ledger.break_down(AWAY)
        api_breaker.open()
        await bench.until(lambda: delivery.acked, "it is answered", 5.0)
        assert_answered_once(bench)
        assert bench.ledger.entries["e1"].state is State.OPEN
        bench.ledger.mend()
        await bench.until(lambda: bench.ledger.entries["e1"].state is State.COMPLETE, "it is written", 1.0)
        assert bench.ledger.in_hand == []
        other = FakeLedger(beside=bench.ledger)
        there = await other.find("e1")
        assert there is not None
        assert there.ending == bench.out()[-1].body


async def test_a_cut_stream_is_asked_about_without_the_ledger_and_the_answer_recovered() -> None:
    async with Bench() as bench:
        api_breaker = Gate()
        bench.agent.script(Play((opening, said("Hel"), api_breaker, Lost("cut")), Fate.SAVED))
        delivery = bench.deliver()
        await api_breaker.reached.wait()
        bench.ledger.break_down(AWAY)
        api_breaker.open()
        await bench.until(lambda: delivery.acked or bench.republisher.delayed, "it goes on", 30.0)
        bench.ledger.mend()
        await bench.quiet()
        assert endings(bench) == ["interaction-complete"]
        assert bench.agent.heard("Tell e1") == 1
        assert bench.attempts() == 1


async def test_what_was_parked_without_the_ledger_is_free_for_others_once_it_is_back() -> None:
    async with Bench(copies_return=False, park_after_s=1.0) as bench:
        bench.agent.script(answered(error(500)))
        goes_away_at(bench, "post-answered")
        delivery = bench.deliver()
        await bench.until(lambda: delivery.acked, "it is parked")
        other = FakeLedger(beside=bench.ledger)
        assert bench.ledger.entries["e1"].state is not State.WAITING
        bench.ledger.mend()
        await bench.until(lambda: bench.ledger.in_hand == [], "it is let go", 1.0)
        there = await other.find("e1")
        assert there is not None
        assert there.state is State.WAITING


async def test_a_failure_is_said_only_once_the_ledger_has_it_and_nothing_is_asked_again() -> None:
    async with Bench() as bench:
        bench.agent.script(answered(error(422)))
        goes_away_at(bench, "post-answered")
        bench.deliver()
        await bench.wait(50)
        assert (bench.dead(), endings(bench), bench.attempts()) == ([], [], 1)
        bench.ledger.mend()
        await bench.quiet()
        assert (bench.dead(), endings(bench), bench.attempts()) == (["rejected"], ["bridge-failed"], 1)
        assert bench.ledger.entries["e1"].state is State.FAILED


async def test_a_failure_that_waits_long_is_parked_and_refused_again_as_the_same_attempt() -> None:
    async with Bench(policy=RetryPolicy(attempts=1), park_after_s=20.0) as bench:
        bench.agent.script(answered(error(422)), answered(error(422)))
        goes_away_at(bench, "post-answered")
        bench.deliver()
        await bench.wait(300)
        assert (bench.dead(), endings(bench)) == ([], [])
        bench.ledger.mend()
        await bench.quiet()
        (failed,) = bench.said("bridge-failed")
        assert (failed["attempts"], bench.dead()) == (1, ["rejected"])


async def test_a_ledger_that_comes_and_goes_costs_nothing_but_time() -> None:
    async with Bench() as bench:
        ids = [f"e{number}" for number in range(1, 21)]
        for event_id in ids:
            bench.deliver(event_id, user_id=f"user-{event_id}")
            bench.ledger.break_down(AWAY)
            await bench.wait(0.7)
            bench.ledger.mend()
            await bench.wait(0.3)
        await bench.quiet()
        assert [endings(bench, event_id) for event_id in ids] == [["interaction-complete"]] * len(ids)
        assert {bench.agent.heard(f"Tell {event_id}") for event_id in ids} == {1}
        assert {bench.ledger.entries[event_id].state for event_id in ids} == {State.COMPLETE}


async def test_the_stop_does_not_wait_for_the_ledger() -> None:
    async with Bench() as bench:
        bench.ledger.break_down(AWAY)
        delivery = bench.deliver()
        await bench.wait(5)
        began = bench.now_s()
        assert await bench.stop(30.0) == 1
        assert (bench.now_s() - began < 1.0, delivery.asked) == (True, 0)


# --- what the ledger says of one event


@pytest.mark.parametrize("answer", [True, False])
async def test_an_entry_that_makes_no_sense_is_asked_about_and_written_over(answer: bool) -> None:
    async with Bench() as bench:
        if answer:
            bench.deliver()
            await bench.quiet()
            await bench.restart()
        claim, spoilt = bench.ledger.claim, [True]

        async def unreadable(*args: Any, **more: Any) -> Claim:
            found = await claim(*args, **more)
            if spoilt and spoilt.pop():
                raise EntryUnreadable("'dancing' is not a valid State")
            return found

        bench.ledger.claim = unreadable  # type: ignore[method-assign]
        bench.deliver()
        await bench.quiet()
        assert bench.log.of("entry.unreadable")
        assert bench.agent.calls("conversations")
        assert bench.ledger.entries["e1"].state is State.COMPLETE
        assert bench.agent.heard("Tell e1") == 1
        assert endings(bench) == ["interaction-complete"]


@pytest.mark.parametrize("label", ["claimed", "before-post"])
async def test_a_redelivered_event_that_nobody_knew_is_still_unsure_after_a_death(label: str) -> None:
    """The ledger was lost with what was asked; a claim since then proves nothing of the time before."""
    async with Bench() as bench:
        bench.deliver()
        await bench.quiet()
        await bench.restart()
        bench.ledger.entries.clear()
        death = Death(label)
        bench.deliver(redelivered=True)
        await bench.until(lambda: death.happened or not bench.event_intake.in_hand, "it dies")
        if label == "claimed":
            assert bench.ledger.entries["e1"].progress == UNKNOWN
        await bench.restart()
        await bench.quiet()
        assert bench.agent.heard("Tell e1") == 1
        assert endings(bench) == ["interaction-complete"]
