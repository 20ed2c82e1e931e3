"""What a person has paused waits, and goes on in order (docs/semantics.md, Held by a person)."""

from collections.abc import Callable, Iterator

import pytest

from bridge.core.control.command import Command, Facts, Verb
from bridge.core.control.pause import Pause, PauseScope
from bridge.core.event.route import Route
from bridge.flow import failpoints
from bridge.flow.command_handler import CommandHandler
from bridge.flow.guards.pauses import PASS_EVERY_S, Pauses
from bridge.flow.ports.broker import Delivery, HeldQueueUnavailable
from bridge.flow.ports.ledger import LedgerUnavailable
from tests.support.fakes import FakeInbox, FakeLedger, FakeLog, FakeRoutes
from tests.support.flow_bench import QUEUE, USER, Bench

BASE_S = 1_700_000_000.0
KNOWN = "6a0000000000000000000001"


def now_s(bench: Bench) -> float:
    """The clock of the bench."""
    return BASE_S + bench.now_s()


def user(bench: Bench, name: str = USER, for_s: float | None = None) -> Pause:
    return Command(Verb.PAUSE, PauseScope.USER, name, "why", for_s).pause("ops", now_s(bench))


def everything(bench: Bench) -> Pause:
    return Command(Verb.PAUSE).pause("ops", now_s(bench))


def answered(bench: Bench) -> list[str]:
    """Events in the order in which their answers ended."""
    return [
        message.correlation_id for message in bench.publisher.confirmed if message.type in ("interaction-complete",)
    ]


async def test_a_paused_users_events_are_held_and_go_on_in_order() -> None:
    async with Bench() as bench:
        await bench.pauses.order(user(bench))
        for number in range(5):
            bench.deliver(f"e{number}")
        bench.deliver("other", user_id="user-2")
        await bench.until(lambda: len(bench.held) == 5 and bench.types("other"), "what is paused is held")
        assert {row.key for row in bench.ledger.held.values()} == {f"user:{USER}"}
        assert all(each.acked for each in bench.deliveries), "each original, once the copy is confirmed"
        assert await bench.pauses.lift(f"user:{USER}")
        await bench.until(lambda: len(answered(bench)) == 6, "all are answered")
        assert answered(bench)[-5:] == [f"e{number}" for number in range(5)]


async def test_events_that_their_queue_does_not_take_back_are_answered_all_the_same() -> None:
    async with Bench() as bench:
        bench.takes_back = False
        await bench.pauses.order(user(bench))
        for number in range(3):
            bench.deliver(f"e{number}")
        await bench.until(lambda: len(bench.held) == 3, "they are held")
        await bench.pauses.lift(f"user:{USER}")
        await bench.until(lambda: answered(bench) == ["e0", "e1", "e2"], "all are answered, in their order")
        await bench.until(lambda: all(each.acked for each in bench.deliveries), "and acknowledged")


async def test_a_newer_event_waits_for_what_is_on_its_way_back() -> None:
    async with Bench() as bench:
        await bench.pauses.order(user(bench))
        bench.deliver("old")
        await bench.until(lambda: bench.held, "it is held")
        held, bench.held = bench.held, []
        await bench.pauses.lift(f"user:{USER}")
        bench.deliver("new")
        await bench.wait(5.0)
        assert answered(bench) == []
        bench.held = held
        bench._pass_on()
        await bench.until(lambda: len(answered(bench)) == 2, "both are answered")
        assert answered(bench) == ["old", "new"]


async def test_what_never_comes_back_holds_nobody_up_for_good() -> None:
    async with Bench() as bench:
        await bench.pauses.order(user(bench))
        bench.deliver("old")
        await bench.until(lambda: bench.held, "it is held")
        bench.held.clear()
        await bench.pauses.lift(f"user:{USER}")
        bench.deliver("new")
        await bench.until(lambda: answered(bench) == ["new"], "the newer one goes on alone", 60)


async def test_what_has_started_goes_on() -> None:
    async with Bench() as bench:
        bench.deliver("e1")
        await bench.until(lambda: bench.types("e1"), "its answer streams")
        await bench.pauses.order(user(bench))
        await bench.until(lambda: answered(bench) == ["e1"], "it is answered")
        assert bench.held == []


async def test_a_cancel_is_never_kept_back() -> None:
    async with Bench() as bench:
        await bench.pauses.order(everything(bench))
        bench.deliver("e1")
        await bench.until(lambda: bench.held, "it is held")
        bench.deliver("c1", kind="cancel", cancels="e1", message=None, user_id=None, service_id=None)
        await bench.until(lambda: bench.said("cancel-settled", "c1"), "the cancel is settled")
        assert bench.said("cancel-settled", "c1")[0]["outcome"] == "cancelled"
        await bench.pauses.lift("all")
        await bench.until(lambda: bench.said("bridge-cancelled"), "the cancelled one says so when it is back")
        assert bench.attempts() == 0


async def test_a_paused_route_is_held_before_anybody_is_looked_for() -> None:
    routes = FakeRoutes(Route("payments"))
    async with Bench(routes=routes) as bench:
        pause = Command(Verb.PAUSE, PauseScope.ROUTE, "payments").pause("ops", now_s(bench))
        await bench.pauses.order(pause)
        bench.deliver("e1")
        await bench.until(lambda: bench.held, "it is held")
        assert bench.ledger.held["e1"].key == "route:payments"
        assert bench.attempts() == 0
        await bench.pauses.lift(pause.key)
        await bench.until(lambda: answered(bench) == ["e1"], "it is answered")


async def test_held_twice_it_waits_for_the_other_pause_too() -> None:
    async with Bench() as bench:
        await bench.pauses.order(user(bench))
        inbound = Command(Verb.PAUSE, PauseScope.INBOUND, QUEUE).pause("ops", now_s(bench))
        await bench.pauses.order(inbound)
        bench.deliver("e1")
        await bench.until(lambda: bench.held, "it is held")
        assert bench.ledger.held["e1"].key == inbound.key
        await bench.pauses.lift(inbound.key)
        await bench.until(lambda: bench.ledger.held["e1"].key == f"user:{USER}", "it is held again, by the other")
        await bench.pauses.lift(f"user:{USER}")
        await bench.until(lambda: answered(bench) == ["e1"], "it is answered")


async def test_everything_paused_consumes_nothing_and_starts_nothing_that_is_in_hand() -> None:
    async with Bench() as bench:
        await bench.pauses.order(everything(bench))
        assert bench.inbox.paused_queues == {QUEUE}
        bench.deliver("in-hand")
        await bench.until(lambda: bench.held, "it is held")
        await bench.pauses.lift("all")
        assert bench.inbox.paused_queues == frozenset()
        await bench.until(lambda: answered(bench) == ["in-hand"], "it is answered")


async def test_a_pause_with_an_end_lifts_itself() -> None:
    async with Bench() as bench:
        await bench.pauses.order(user(bench, for_s=30.0))
        bench.deliver("e1")
        await bench.until(lambda: bench.held, "it is held")
        await bench.wait(25.0)
        assert answered(bench) == []
        await bench.until(lambda: answered(bench) == ["e1"], "it is answered", 10.0)
        assert bench.pauses.none
        assert bench.ledger.paused == {}


async def test_what_a_replica_lifted_and_did_not_pass_on_another_does_within_a_minute() -> None:
    async with Bench() as bench:
        await bench.pauses.order(user(bench))
        bench.deliver("e1")
        await bench.until(lambda: bench.held, "it is held")
        elsewhere = FakeLedger(beside=bench.ledger)
        assert await elsewhere.drop_pause(f"user:{USER}")  # and dies
        await bench.until(lambda: answered(bench) == ["e1"], "it is answered", 2 * PASS_EVERY_S)
        await bench.wait(3 * PASS_EVERY_S)
        assert bench.ledger.held == {}


async def test_a_replica_reads_what_another_has_ordered_and_lifted() -> None:
    async with Bench() as bench:
        elsewhere = FakeLedger(beside=bench.ledger)
        await elsewhere.set_pause(user(bench))
        await bench.until(lambda: not bench.pauses.none, "it is read", 15.0)
        await elsewhere.drop_pause(f"user:{USER}")
        await bench.until(lambda: bench.pauses.none, "and so is its end", 15.0)


async def test_after_a_restart_what_was_paused_is_paused() -> None:
    async with Bench() as bench:
        await bench.pauses.order(user(bench))
        await bench.restart()
        await bench.until(lambda: not bench.pauses.none, "it is read", 15.0)
        bench.deliver("e1")
        await bench.until(lambda: bench.held, "it is held")
        await bench.pauses.lift(f"user:{USER}")
        await bench.until(lambda: answered(bench) == ["e1"], "it is answered")


async def test_what_an_earlier_process_has_held_comes_before_what_this_one_has() -> None:
    async with Bench() as bench:
        await bench.pauses.order(user(bench))
        for number in range(3):
            bench.deliver(f"before{number}")
        await bench.until(lambda: len(bench.held) == 3, "they are held")
        await bench.restart()
        await bench.until(lambda: not bench.pauses.none, "the pauses are read", 15.0)
        for number in range(3):
            bench.deliver(f"since{number}")
        await bench.until(lambda: len(bench.held) == 6, "these too")
        await bench.pauses.lift(f"user:{USER}")
        await bench.until(lambda: len(answered(bench)) == 6, "all are answered")
        assert answered(bench) == [f"{when}{number}" for when in ("before", "since") for number in range(3)]


class Died(BaseException):
    """Nothing in the process may catch it, as nothing catches `kill -9`."""


@pytest.fixture(autouse=True)
def immortal() -> Iterator[None]:
    yield
    failpoints.listen(None)


@pytest.mark.parametrize("label", failpoints.HOLD_LABELS)
async def test_a_crash_beside_the_copy_leaves_one_event(label: str) -> None:
    died: list[str] = []

    def die(reached: str, _: str) -> None:
        if reached == label and not died:
            died.append(reached)
            raise Died(reached)

    async with Bench() as bench:
        await bench.pauses.order(user(bench))
        failpoints.listen(die)
        bench.deliver("e1")
        await bench.until(lambda: died, "the process dies")
        await bench.restart()
        await bench.until(lambda: not bench.pauses.none, "the pauses are read", 15.0)
        await bench.until(lambda: bench.held and not bench.lanes.in_hand, "it is held")
        await bench.pauses.lift(f"user:{USER}")
        await bench.until(lambda: answered(bench) == ["e1"], "it is answered, once")
        assert bench.attempts() == 1


class Broken:
    """Held queues that cannot be passed on for a while."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.passed: list[str] = []

    async def pass_on(self, queue: str, receive: Callable[[Delivery], None]) -> int:
        if self.times:
            self.times -= 1
            raise HeldQueueUnavailable("there is no connection")
        self.passed.append(queue)
        return 0

    async def take(self, queue: str, receive: Callable[[Delivery], None]) -> bool:
        return False


async def is_known(conversation_id: str) -> bool:
    """What stands for the finisher of conversations knows one."""
    return conversation_id == KNOWN


async def replica_of(held: Broken) -> tuple[CommandHandler, Pauses, FakeLedger, FakeLog]:
    ledger, log = FakeLedger(), FakeLog()
    pauses = Pauses(ledger, FakeInbox(), (QUEUE, "bulk"), held, lambda: BASE_S, log)
    status: Facts = {"version": "1"}
    replica = CommandHandler("host/1", pauses, is_known, lambda: status, lambda: BASE_S, log)
    return replica, pauses, ledger, log


async def test_a_replica_obeys_and_every_command_is_in_the_log() -> None:
    replica, pauses, ledger, log = await replica_of(Broken(0))
    assert await replica.obey(Command(Verb.STATUS), "user ops") == {"replica": "host/1", "version": "1"}
    pause = Command(Verb.PAUSE, PauseScope.ROUTE, "payments", "why", 60.0)
    answer = await replica.obey(pause, "user ops")
    assert answer["pauses"] == [pause.pause("user ops", BASE_S).facts]
    assert "route:payments" in ledger.paused
    resume = Command(Verb.RESUME, PauseScope.ROUTE, "payments")
    assert (await replica.obey(resume, "token x"))["lifted"] is True
    assert (await replica.obey(resume, "token x"))["lifted"] is False
    assert pauses.none
    for conversation_id, is_announced in ((KNOWN, True), ("6" * 24, False)):
        answer = await replica.obey(Command(Verb.FINISHED, conversation_id=conversation_id), "user ops")
        assert answer == {"replica": "host/1", "announced": is_announced}
    told = [(fields["command"], fields["about"], fields["by"]) for fields in log.of("control.commanded")]
    assert told == [
        ("status", None, "user ops"),
        ("pause", "route:payments", "user ops"),
        ("resume", "route:payments", "token x"),
        ("resume", "route:payments", "token x"),
        ("finished", KNOWN, "user ops"),
        ("finished", "6" * 24, "user ops"),
    ]


async def test_without_the_ledger_nothing_changes_and_the_answer_says_so() -> None:
    replica, pauses, ledger, _ = await replica_of(Broken(0))
    ledger.break_down()
    answer = await replica.obey(Command(Verb.PAUSE), "user ops")
    assert "the disk is full" in str(answer["error"])
    assert pauses.none
    with pytest.raises(LedgerUnavailable):
        await pauses.order(Command(Verb.PAUSE).pause("ops", BASE_S))
