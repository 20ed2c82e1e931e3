"""Events that cannot be read or resolved, with a known id: they fail as others do, and what was asked is not forgotten.

docs/semantics.md, Events that cannot be read.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from bridge.core.event.route import Rendered, Route
from bridge.core.ledger.ledger_entry import State
from bridge.flow import failpoints
from tests.flow.test_ledger import Death
from tests.support.fakes import FakeLedger, FakeRoutes, Fate, Gate, Play, answered, complete
from tests.support.flow_bench import SERVICE, USER, Bench

UNREADABLE: dict[str, Any] = {"body": b"no JSON", "properties": {"message_id": "e1"}}
FOREIGN = b'{"id": "e1"}'


@pytest.fixture(autouse=True)
def immortal() -> Iterator[None]:
    yield
    failpoints.listen(None)


def routes() -> FakeRoutes:
    known = FakeRoutes()
    known.add(Route("a", service_id=SERVICE, channel="sms"), Rendered(message="Tell e1", user_id=USER))
    return known


@pytest.mark.parametrize("fields", [UNREADABLE, {"channel": "fax"}, {"service_id": None}])
async def test_the_ledger_knows_that_it_failed_before_anybody_is_told(fields: dict[str, Any]) -> None:
    async with Bench() as it:
        seen: list[State] = []
        it.republisher.arrived = lambda copy: seen.append(it.ledger.entries["e1"].state)
        delivery = it.deliver(**fields)
        await it.quiet()
        entry = it.ledger.entries["e1"]
        assert (entry.state, seen) == (State.FAILED, [State.FAILED])
        assert entry.letter is not None
        (failed,) = it.said("bridge-failed")
        assert (entry.letter.reason, entry.letter.error) == (failed["reason"], failed["error"])
        assert it.order() == [f"copy:{entry.letter.reason}", "bridge-failed", "ack"]
        assert delivery.acked == 1
        assert entry.digest


async def test_a_repeat_fails_again_and_a_requeue_is_looked_at_anew() -> None:
    async with Bench(routes=FakeRoutes()) as it:
        it.deliver(body=FOREIGN)
        await it.quiet()
        assert it.dead() == ["no-route"]
        it.routes = routes()
        await it.restart()
        it.deliver(body=FOREIGN)
        await it.quiet()
        assert (it.attempts(), it.types()) == (0, ["bridge-failed"])
    async with Bench(routes=routes(), ledger=FakeLedger(beside=it.ledger)) as other:
        other.deliver(body=FOREIGN, headers={"x-bridge-requeue": 1})
        await other.quiet()
        assert (other.attempts(), other.types()[-1]) == (1, "interaction-complete")
        assert other.ledger.entries["e1"].state is State.COMPLETE


async def test_a_requeue_that_cannot_be_resolved_either_fails_under_its_number() -> None:
    async with Bench(routes=FakeRoutes()) as it:
        it.deliver(body=FOREIGN)
        await it.quiet()
        it.deliver(body=FOREIGN, headers={"x-bridge-requeue": 1})
        await it.quiet()
        assert it.dead() == ["no-route", "no-route"]
        assert [message.message_id for message in it.out()] == ["e1:bridge-failed", "e1:bridge-failed:1"]
        assert it.ledger.entries["e1"].requeue == 1


async def test_what_was_asked_is_found_though_no_route_takes_the_event_any_more() -> None:
    async with Bench(routes=routes()) as it:
        it.agent.script(Play((Gate(),), Fate.SAVED))
        it.deliver(body=FOREIGN)
        await it.until(lambda: it.agent.calls("create"), "it is asked")
        it.routes = FakeRoutes()
        await it.restart()
        await it.quiet()
        assert it.types() == ["interaction-complete"]
        (ending,) = it.out()
        assert (ending.headers["route"], ending.headers["user_id"]) == ("a", USER)
        assert it.dead() == []


async def test_where_it_left_nothing_it_is_refused_and_not_asked_for_again() -> None:
    async with Bench(routes=routes()) as it:
        it.agent.script(Play((Gate(),), Fate.ROLLED_BACK))
        it.deliver(body=FOREIGN)
        await it.until(lambda: it.agent.calls("create"), "it is asked")
        it.routes = FakeRoutes()
        await it.restart()
        await it.quiet()
        assert (it.attempts(), it.dead()) == (1, ["no-route"])
        (failed,) = it.out()
        assert (failed.type, failed.headers["route"]) == ("bridge-failed", "a")


async def test_an_unreadable_body_under_the_id_of_an_event_in_hand_is_a_repeat() -> None:
    async with Bench() as it:
        gate = Gate()
        it.agent.script(answered(gate, complete()))
        it.deliver()
        await gate.reached.wait()
        it.deliver(**UNREADABLE)
        gate.open()
        await it.quiet()
        assert it.types()[-1] == "interaction-complete"
        assert (it.counters.repeats, it.counters.conflicts, it.dead()) == (1, 1, [])


async def test_an_unreadable_body_under_the_id_of_a_complete_event_is_acknowledged() -> None:
    async with Bench() as it:
        it.deliver()
        await it.quiet()
        await it.restart()
        delivery = it.deliver(**UNREADABLE)
        await it.quiet()
        assert (delivery.acked, it.dead()) == (1, [])
        assert it.ledger.entries["e1"].state is State.COMPLETE


async def test_an_ending_that_the_ledger_has_is_published_though_the_event_cannot_be_read_any_more() -> None:
    death = Death("ending-recorded")
    async with Bench(routes=routes()) as it:
        it.deliver(body=FOREIGN)
        await it.until(lambda: death.happened, "the process dies")
        it.routes = FakeRoutes()
        await it.restart()
        await it.quiet()
        assert (it.types()[-1], it.attempts(), it.dead()) == ("interaction-complete", 1, [])


async def test_without_the_ledger_no_failure_is_told() -> None:
    async with Bench(patience_s=1_000_000.0) as it:
        it.ledger.break_down()
        it.deliver(**UNREADABLE)
        await it.wait(30)
        assert it.dead() == []
        it.ledger.mend()
        await it.quiet()
        assert it.dead() == ["invalid-event"]


@pytest.mark.parametrize("label", ["claimed", "dead-lettering", "dead-lettered", "failure-said"])
async def test_a_death_at_any_step_leaves_one_ending(label: str) -> None:
    death = Death(label)
    async with Bench() as it:
        it.deliver(**UNREADABLE)
        await it.until(lambda: death.happened, "the process dies")
        await it.restart()
        await it.quiet()
        assert it.types() == ["bridge-failed"]
        assert set(it.dead()) == {"invalid-event"}
