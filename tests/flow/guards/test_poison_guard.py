"""An event whose handling kills the process: it alone ends in the dead-letter queue."""

import asyncio
from collections import Counter
from collections.abc import Iterator

import pytest

from bridge.core.delivery.poison import MAX_DEATHS, TOGETHER
from bridge.core.delivery.progress import UNKNOWN, RequestKind
from bridge.core.errors import TooEarly
from bridge.core.event.tags import event_tag
from bridge.core.ledger.ledger_entry import Entry, State
from bridge.flow import failpoints
from tests.support.fakes import FakeLedger, Play, answered, complete, error, opening
from tests.support.flow_bench import SERVICE, USER, Bench
from tests.support.making import unproved

MANY = 100


class Died(BaseException):
    """Nothing in the process may catch it, as nothing catches `kill -9`."""


ASKED = UNKNOWN


@pytest.fixture(autouse=True)
def immortal() -> Iterator[None]:
    yield
    failpoints.listen(None)


class Culprit:
    """Kills the process whenever a step is reached for one event. `beside` counts what else was in hand each time."""

    def __init__(self, bench: Bench, event_id: str, label: str) -> None:
        self.beside: list[int] = []
        self.dead = False
        self._bench, self._event_id, self._label = bench, event_id, label
        failpoints.listen(self)

    def __call__(self, label: str, event_id: str) -> None:
        if not self.dead and (label, event_id) == (self._label, self._event_id):
            self.beside.append(len(self._bench.ledger.in_hand) - 1)
            self.dead = True
            self._bench.ledger.gone()
        if self.dead:
            raise Died(label)  # the others stop where they are


@pytest.mark.parametrize("label", ["claimed", "before-post", "post-answered", "line", "confirmed"])
async def test_only_the_culprit_is_dead_lettered_and_everybody_else_is_answered(label: str) -> None:
    culprit_id = "e40"
    async with Bench() as bench:
        culprit = Culprit(bench, culprit_id, label)
        for number in range(MANY):
            bench.deliver(f"e{number}", user_id=f"user-{number}")
        while bench.event_intake.in_hand or bench.on_the_way:
            await bench.until(
                lambda: culprit.dead or not (bench.event_intake.in_hand or bench.on_the_way), "it goes on"
            )
            if culprit.dead:
                culprit.dead = False
                await bench.restart()
        assert bench.dead() == ["poison"]
        assert bench.types(culprit_id)[-1] == ("interaction-complete" if label == "confirmed" else "bridge-failed")
        assert bench.ledger.entries[culprit_id].deaths == MAX_DEATHS
        for number in set(range(MANY)) - {40}:
            assert bench.types(f"e{number}")[-1] == "interaction-complete"
        assert max(entry.deaths for key, entry in bench.ledger.entries.items() if key != culprit_id) < MAX_DEATHS
        assert culprit.beside[0] > 1
        assert culprit.beside[-3:] == [0, 0, 0], "it died alone before it was condemned"


async def test_what_was_condemned_starts_over_when_it_is_replayed() -> None:
    async with Bench() as bench:
        bench.ledger.entries["e1"] = Entry("e1", State.CLAIMED, b"", deaths=MAX_DEATHS)
        bench.deliver(redelivered=True)
        await bench.quiet()
        assert bench.dead() == ["poison"]
        assert bench.said("bridge-failed")[0]["error"] == f"{MAX_DEATHS} processes died with it in hand"
        bench.agent.script(answered(error(422)))
        bench.deliver(headers={"x-bridge-requeue": 1})
        await bench.quiet()
        assert bench.dead() == ["poison", "rejected"]
        assert bench.ledger.entries["e1"].deaths == 0


async def test_what_was_condemned_and_had_been_answered_after_all_is_not_asked_again_when_it_is_replayed() -> None:
    async with Bench() as bench:
        talk = bench.agent.open(USER, SERVICE, tags={"bridge_event": event_tag("e1")})
        bench.agent.converse(talk, "Tell e1")
        progress = unproved(RequestKind.CREATE, talk.id, "0a" * 6, 1)
        bench.ledger.entries["e1"] = Entry("e1", State.OPEN, b"", progress, deaths=MAX_DEATHS)
        bench.deliver(redelivered=True)
        await bench.quiet()
        bench.deliver(headers={"x-bridge-requeue": 1})
        await bench.quiet()
        assert bench.agent.calls("create", "interact") == []
        assert bench.types() == ["bridge-failed", "interaction-complete"]
        bench.publisher.confirmed[:] = []  # the replay's ending supersedes the failure


async def test_suspects_are_handled_together_as_their_deaths_allow() -> None:
    ledger = FakeLedger()
    async with Bench(ledger=ledger) as bench:
        most: Counter[int] = Counter()
        for deaths, allowed in enumerate(TOGETHER, start=2):
            for number in range(allowed + 10):
                event_id = f"d{deaths}-{number}"
                ledger.entries[event_id] = Entry(event_id, State.REQUESTED, b"", ASKED, deaths=deaths)
                bench.deliver(event_id, user_id=event_id, redelivered=True)
            while bench.event_intake.in_hand:
                await asyncio.sleep(0.01)
                most[deaths] = max(most[deaths], bench.counters.streaming)
        assert [most[deaths] for deaths in sorted(most)] == list(TOGETHER)


async def test_a_suspect_that_waits_before_its_next_try_is_still_in_hand() -> None:
    ledger = FakeLedger()
    async with Bench(ledger=ledger) as bench:
        bench.agent.fail("conversations", *[TooEarly("429", 5.0)] * 10)
        for number in range(10):
            event_id = f"e{number}"
            ledger.entries[event_id] = Entry(event_id, State.REQUESTED, b"", ASKED, deaths=MAX_DEATHS - 1)
            bench.deliver(event_id, user_id=event_id, redelivered=True)
        most = 0
        while bench.event_intake.in_hand or bench.on_the_way:
            await asyncio.sleep(0.01)
            most = max(most, len(ledger.in_hand))
        assert most == 1


async def test_an_event_that_dies_with_processes_after_it_came_from_a_delay_queue_is_condemned_too() -> None:
    async with Bench() as bench:
        culprit = Culprit(bench, "e1", "claimed")
        bench.ledger.entries["e1"] = Entry("e1", State.WAITING, b"", unproved(RequestKind.CREATE), attempt=1)
        bench.deliver(headers={"x-bridge-copies": 1})
        while bench.event_intake.in_hand:
            await bench.until(lambda: culprit.dead or not bench.event_intake.in_hand, "it goes on")
            if culprit.dead:
                culprit.dead = False
                await bench.restart()
        assert bench.dead() == ["poison"]
        assert len(culprit.beside) == MAX_DEATHS


async def test_no_suspect_is_let_through_at_the_stop() -> None:
    ledger = FakeLedger()
    async with Bench(ledger=ledger) as bench:
        for number in range(6):
            event_id = f"e{number}"
            ledger.entries[event_id] = Entry(event_id, State.REQUESTED, b"", ASKED, deaths=MAX_DEATHS - 1)
            bench.agent.script_for(f"Tell {event_id}", Play((opening, 4.0, complete())))
            bench.deliver(event_id, user_id=event_id, redelivered=True)
        await bench.until(lambda: bench.agent.calls("create"), "the first one streams")
        began_s = bench.now_s()
        assert await bench.stop(30.0) == 5
        assert bench.now_s() - began_s < 5
        assert len(bench.agent.calls("create")) == 1


async def test_a_suspect_that_waits_too_long_for_its_turn_is_parked_and_comes_back() -> None:
    ledger = FakeLedger()
    async with Bench(ledger=ledger, park_after_s=5.0) as bench:
        for name in ("e1", "e2"):
            ledger.entries[name] = Entry(name, State.CLAIMED, b"", deaths=MAX_DEATHS - 1)
        bench.agent.script(Play((opening, 20.0, complete())))
        bench.deliver("e1", user_id="one", redelivered=True)
        bench.deliver("e2", user_id="two", redelivered=True)
        await bench.until(lambda: bench.republisher.delayed, "the one that waits is parked", 6.0)
        await bench.quiet()
        assert bench.types("e1")[-1] == bench.types("e2")[-1] == "interaction-complete"
        assert bench.dead() == []
