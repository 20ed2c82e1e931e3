"""The order of a lane: over processes that share a ledger, over a restart, and where an event never comes back."""

import pytest

from bridge.core.errors import Refused
from tests.support.fakes import FakeLedger, Gate, answered, complete, error, said
from tests.support.flow_bench import Bench

IDS = [f"e{number}" for number in range(8)]
both = pytest.mark.parametrize("shared", [True, False])


def calls(*benches: Bench) -> list[str]:
    """The events in the order in which any of these processes has told the API of them for the first time."""
    made = [call for bench in benches for call in bench.agent.calls("create", "interact")]
    texts = [call.text or "" for call in sorted(made, key=lambda call: call.at_s)]
    return [text.removeprefix("Tell ") for text in dict.fromkeys(texts)]


async def test_two_processes_keep_the_order_of_arrival() -> None:
    ledger = FakeLedger()
    async with Bench(ledger=ledger) as one, Bench(ledger=FakeLedger(beside=ledger)) as two:
        for bench in (one, two):
            bench.agent.default = answered(said("a"), 1.0, complete())
        for number, event_id in enumerate(IDS):
            (one, two)[number % 2].deliver(event_id)
            await one.wait(0.1)
        await one.quiet()
        await two.quiet()
        assert calls(one, two) == IDS
        assert one.republisher.copies == two.republisher.copies == [], "each has waited in memory, and was woken"


async def test_who_fails_is_waited_for_in_every_process() -> None:
    ledger = FakeLedger()
    async with Bench(ledger=ledger) as one, Bench(ledger=FakeLedger(beside=ledger)) as two:
        for bench in (one, two):
            bench.agent.default = answered(said("a"), 0.1, complete())
        one.agent.script_for("Tell e0", answered(said("Hel"), error(500)))
        for number, event_id in enumerate(IDS):
            (one, two)[number % 2].deliver(event_id)
            await one.wait(0.1)
        await one.quiet()
        await two.quiet()
        assert calls(one, two) == IDS
        assert two.agent.calls("create", "interact")[0].at_s > one.agent.calls("create", "interact")[0].at_s + 1.0


async def test_a_failure_for_good_lets_the_next_one_go_in_the_other_process() -> None:
    ledger = FakeLedger()
    async with Bench(ledger=ledger) as one, Bench(ledger=FakeLedger(beside=ledger)) as two:
        gate = Gate()
        one.agent.script_for("Tell e0", answered(gate, error(422)))
        one.deliver("e0")
        await gate.reached.wait()
        two.deliver("e1")
        await two.wait(30)
        assert two.agent.calls("create", "interact") == []
        gate.open()
        await two.quiet()
        await one.quiet()
        assert one.dead() == ["rejected"]
        assert two.types("e1")[-1] == "interaction-complete"


@both
async def test_a_restart_keeps_the_order_while_events_are_away(shared: bool) -> None:
    async with Bench(ledger=FakeLedger(shared=shared)) as bench:
        bench.agent.script_for("Tell e0", answered(said("Hel"), error(500)))
        for event_id in IDS[:4]:
            bench.deliver(event_id)
        await bench.until(lambda: len(bench.republisher.copies) == 4, "they are parked")
        await bench.restart()
        for event_id in IDS[4:]:
            bench.deliver(event_id)
        await bench.quiet()
        assert calls(bench) == IDS


@both
async def test_one_that_never_comes_back_is_waited_for_so_long_and_no_longer(shared: bool) -> None:
    async with Bench(ledger=FakeLedger(shared=shared), copies_return=False) as bench:
        bench.agent.script_for("Tell e0", answered(said("Hel"), error(500)))
        bench.deliver("e0")
        await bench.until(lambda: bench.republisher.copies, "it is parked")
        bench.republisher.arrived = bench._delayed  # it alone is lost
        bench.deliver("e1")
        await bench.wait(590)
        assert calls(bench) == ["e0"]
        await bench.wait(100)
        await bench.quiet()
        assert calls(bench) == ["e0", "e1"]


@both
async def test_nothing_is_lost_while_the_backlog_is_long(shared: bool) -> None:
    async with Bench(ledger=FakeLedger(shared=shared), copies_return=False) as bench:
        bench.agent.script_for("Tell e0", answered(said("Hel"), error(500)))
        bench.deliver("e0")
        await bench.until(lambda: bench.republisher.copies, "it is parked")
        bench.republisher.arrived = bench._delayed
        bench.lost.look(short=False)
        bench.deliver("e1")
        await bench.wait(3_000)
        assert calls(bench) == ["e0"]
        bench.lost.look(short=True)
        await bench.wait(700)
        await bench.quiet()
        assert calls(bench) == ["e0", "e1"]


async def test_an_event_without_its_turn_is_neither_claimed_nor_counted() -> None:
    ledger = FakeLedger()
    async with Bench(ledger=ledger) as one, Bench(ledger=FakeLedger(beside=ledger)) as two:
        gate = Gate()
        one.agent.script_for("Tell e0", answered(gate, complete()))
        one.deliver("e0")
        await gate.reached.wait()
        two.deliver("e1")
        await two.wait(20)
        assert "e1" not in ledger.entries
        two.agent.fail("create", Refused("create-conversation", 500, "No."))
        gate.open()
        await two.quiet()
        await one.quiet()
        assert two.types("e1")[-1] == "interaction-complete"
