"""A process without its broker for 30 s lets go of what another process may as well take.

See docs/semantics.md, Without a ledger.
"""

import pytest

from bridge.core.answer.ending import ENDINGS
from bridge.core.errors import NotSent
from bridge.core.ledger.ledger_entry import Holder, State
from tests.support.fakes import FakeLedger, Fate, Gate, Play, answered, complete, error, opening, said
from tests.support.flow_bench import Bench


def lose_broker(bench: Bench) -> None:
    bench.publisher.lose()
    bench.republisher.disconnect()
    for delivery in bench.deliveries:
        delivery.die()


def find_broker(bench: Bench) -> None:
    bench.publisher.reconnect()
    bench.republisher.reconnect()


def endings(bench: Bench, event_id: str = "e1") -> list[str]:
    return [type_ for type_ in bench.types(event_id) if type_ in ENDINGS]


async def streaming(bench: Bench) -> Gate:
    """Of three events of one user the first streams, and two wait for it."""
    api_breaker = Gate()
    bench.agent.script(Play((opening, said("Hel"), api_breaker, said("lo"), complete()), Fate.SAVED))
    for number in range(1, 4):
        bench.deliver(f"e{number}")
    await api_breaker.reached.wait()
    return api_breaker


async def test_what_has_not_begun_is_let_go_after_half_a_minute_and_what_streams_is_not() -> None:
    async with Bench() as bench:
        api_breaker = await streaming(bench)
        lose_broker(bench)
        await bench.wait(29)
        assert bench.event_intake.in_hand == 3
        await bench.wait(3)
        assert (bench.event_intake.in_hand, bench.ledger.in_hand) == (1, ["e1"])
        find_broker(bench)
        taken = [bench.redeliver(delivery) for delivery in list(bench.deliveries)]
        api_breaker.open()
        await bench.quiet()
        assert [delivery.acked for delivery in taken] == [1, 1, 1]
        assert [endings(bench, f"e{number}") for number in (1, 2, 3)] == [["interaction-complete"]] * 3
        assert [bench.agent.heard(f"Tell e{number}") for number in (1, 2, 3)] == [1, 1, 1]


async def test_a_short_absence_lets_nothing_go() -> None:
    async with Bench() as bench:
        api_breaker = await streaming(bench)
        for _ in range(5):
            lose_broker(bench)
            await bench.wait(28)
            find_broker(bench)
            await bench.wait(2)
        assert bench.event_intake.in_hand == 3
        for delivery in list(bench.deliveries):
            bench.redeliver(delivery)
        api_breaker.open()
        await bench.quiet()


async def test_a_stream_that_has_ended_is_left_to_whoever_has_the_broker_and_its_ledger_has_the_ending() -> None:
    async with Bench() as bench:
        api_breaker = await streaming(bench)
        before = [message.type for message in bench.publisher.confirmed]
        lose_broker(bench)
        await bench.wait(60)
        assert bench.ledger.in_hand == ["e1"]
        api_breaker.open()
        await bench.wait(3)
        assert (bench.event_intake.in_hand, bench.ledger.in_hand) == (0, [])
        other = FakeLedger(beside=bench.ledger)
        claim = await other.claim("e1", b"")
        assert claim.entry is not None
        assert (claim.holder, claim.entry.state) == (Holder.EARLIER, State.ANSWERED)
        await other.release(["e1"])
        find_broker(bench)
        await bench.wait(5)
        assert [message.type for message in bench.publisher.confirmed] == before, "nothing of it comes late"
        for delivery in list(bench.deliveries):
            bench.redeliver(delivery)
        await bench.quiet()
        (ending,) = [each for each in bench.out() if each.type in ENDINGS]
        assert (ending.body, bench.agent.heard("Tell e1")) == (claim.entry.ending, 1)


async def test_where_nobody_else_can_have_the_ledger_its_lines_wait_for_the_broker() -> None:
    async with Bench(ledger=FakeLedger(shared=False)) as bench:
        api_breaker = await streaming(bench)
        lose_broker(bench)
        api_breaker.open()
        await bench.wait(300)
        assert bench.event_intake.in_hand == 1
        find_broker(bench)
        for delivery in list(bench.deliveries):
            bench.redeliver(delivery)
        await bench.quiet()
        assert [message.headers["sequence"] for message in bench.out()] == [1, 2, 3, 4]


async def test_an_ending_that_the_ledger_could_not_take_stays_here() -> None:
    async with Bench() as bench:
        api_breaker = await streaming(bench)
        lose_broker(bench)
        bench.ledger.break_down("away too")
        api_breaker.open()
        await bench.wait(300)
        assert bench.event_intake.in_hand == 1
        bench.ledger.mend()
        find_broker(bench)
        for delivery in list(bench.deliveries):
            bench.redeliver(delivery)
        await bench.quiet()
        assert [message.headers["sequence"] for message in bench.out()] == [1, 2, 3, 4]
        assert bench.agent.heard("Tell e1") == 1


async def test_what_is_on_its_way_to_a_delay_queue_or_to_the_dead_letters_is_let_go_too() -> None:
    async with Bench() as bench:
        bench.republisher.disconnect()
        bench.agent.script_for("Tell e1", answered(error(500)))
        bench.agent.script_for("Tell e2", answered(error(422)))
        deliveries = [bench.deliver(f"e{number}", user_id=f"user-{number}") for number in (1, 2)]
        await bench.wait(5)
        lose_broker(bench)
        await bench.wait(35)
        assert (bench.event_intake.in_hand, bench.ledger.in_hand) == (0, [])
        assert [bench.ledger.entries[f"e{number}"].state for number in (1, 2)] == [State.WAITING, State.FAILED]
        find_broker(bench)
        for delivery in deliveries:
            bench.redeliver(delivery)
        await bench.quiet()
        assert (endings(bench, "e1"), endings(bench, "e2")) == (["interaction-complete"], ["bridge-failed"])
        assert (bench.dead(), bench.attempts()) == (["rejected"], 3)


@pytest.mark.parametrize("moment_s", [0.0, 0.5, 1.0])
async def test_what_is_delivered_again_just_then_is_not_lost(moment_s: float) -> None:
    async with Bench() as bench:
        bench.agent.break_down("create", NotSent("no connection"))
        for number in range(1, 4):
            bench.deliver(f"e{number}")
        await bench.wait(2)
        lose_broker(bench)
        await bench.wait(29 + moment_s)
        taken = [bench.redeliver(delivery) for delivery in list(bench.deliveries)]
        await bench.wait(5)
        find_broker(bench)
        bench.agent.mend("create")
        await bench.quiet()
        assert [delivery.acked for delivery in taken] == [1, 1, 1]
        assert [endings(bench, f"e{number}") for number in (1, 2, 3)] == [["interaction-complete"]] * 3
