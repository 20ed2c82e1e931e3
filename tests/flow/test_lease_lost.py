"""An event that another process has taken over: that one sees to it, and this one says nothing more of it."""

from collections.abc import Iterator

import pytest

from bridge.core.delivery.outcome import DeadLetter
from bridge.core.ledger.ledger_entry import Entry, State
from bridge.flow import failpoints
from tests.flow.guards.test_ledger_away import endings
from tests.support.fakes import FakeLedger, Fate, Play, answered, complete, error, opening, said
from tests.support.flow_bench import SERVICE, USER, Bench

WHOLE = Play((opening, said("Hel"), said("lo"), complete()), Fate.SAVED)


@pytest.fixture(autouse=True)
def nobody_listens() -> Iterator[None]:
    yield
    failpoints.listen(None)


def taken_at(bench: Bench, label: str, entry: Entry | None = None) -> None:
    """Another process takes the event over when it comes to this step; its lease does not end."""

    def reached(step: str, event_id: str) -> None:
        if step == label:
            failpoints.listen(None)
            bench.ledger.held_elsewhere(event_id, entry)

    failpoints.listen(reached)


async def finished_elsewhere(bench: Bench, state: State) -> None:
    """The other process comes to the event's end."""
    letter = DeadLetter("rejected", "No.", 1) if state is State.FAILED else None
    other = FakeLedger(beside=bench.ledger)
    bench.ledger.held_elsewhere("e1", Entry("e1", state, b"", ending=b"{}", letter=letter))
    found = await other.find("e1")
    assert found is not None
    assert found.state is state


async def test_no_request_is_made_for_an_event_that_another_process_has_taken_over() -> None:
    async with Bench() as bench:
        talk = bench.agent.open(USER, SERVICE)
        bench.agent.before["messages"] = lambda: bench.ledger.held_elsewhere("e1")
        bench.deliver(conversation_id=talk.id)
        await bench.wait(200)
        assert (bench.attempts(), bench.types()) == (0, [])
        await finished_elsewhere(bench, State.COMPLETE)
        await bench.quiet()
        assert (bench.attempts(), bench.types(), bench.counters.repeats) == (0, [], 1)


async def test_an_ending_is_not_said_of_an_event_that_another_process_has_taken_over() -> None:
    async with Bench() as bench:
        bench.agent.script(WHOLE)
        taken_at(bench, "complete-read")
        bench.deliver()
        await bench.wait(200)
        assert endings(bench) == []
        await finished_elsewhere(bench, State.COMPLETE)
        await bench.quiet()
        assert (bench.attempts(), endings(bench), bench.dead()) == (1, [], [])


async def test_nothing_is_dead_lettered_that_another_process_has_taken_over() -> None:
    async with Bench() as bench:
        bench.agent.script(answered(error(422)))
        taken_at(bench, "post-answered")
        bench.deliver()
        await bench.wait(200)
        assert (bench.dead(), endings(bench)) == ([], [])
        await finished_elsewhere(bench, State.COMPLETE)
        await bench.quiet()
        assert (bench.attempts(), endings(bench), bench.dead()) == (1, [], [])
