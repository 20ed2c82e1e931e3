"""docs/semantics.md, Lifetime: events that may not start yet, or not any more."""

from datetime import UTC, datetime
from typing import Any

import pytest

from bridge.core.errors import NotSent, TooEarly
from bridge.core.event.route import Defaults, Route
from bridge.flow import failpoints
from tests.flow.answering.test_steering import bodies, cancel
from tests.flow.lanes.test_parking import levels
from tests.flow.test_ledger import Death, immortal
from tests.support.fakes import FakeRoutes, Gate, answered, complete, error, said
from tests.support.flow_bench import SERVICE, USER, Bench

__all__ = ["immortal"]
EPOCH_S = 1_700_000_000.0
VOID = answered(said("Hel"), error(500))
CLOCK_S = 1e-5
"""How exact a written time is, and the wall clock as a number."""
STEPS = ("claimed", "complete-read", "ending-recorded", "confirmed", "before-complete", "before-ack")


def at(bench: Bench, seconds: float) -> str:
    """The time so many seconds from now."""
    return datetime.fromtimestamp(EPOCH_S + bench.now_s() + seconds, UTC).isoformat()


def routes(max_wait_s: float) -> FakeRoutes:
    return FakeRoutes(Route("r", max_wait_s=max_wait_s))


def asked_at(bench: Bench, text: str) -> float:
    """When the agent was told this."""
    (call,) = [each for each in bench.agent.calls("create", "interact") if each.text == text]
    return call.at_s


# --- not_before


@pytest.mark.parametrize("ahead_s", [0.5, 2.0, 45.0, 61.0, 90.0, 3_725.0])
async def test_an_event_is_not_started_before_its_time_and_then_at_once(ahead_s: float) -> None:
    async with Bench() as bench:
        due_s = bench.now_s() + ahead_s
        bench.deliver("e1", not_before=at(bench, ahead_s))
        await bench.until(lambda: bench.attempts(), "it is started")
        assert -CLOCK_S <= asked_at(bench, "Tell e1") - due_s < 0.5
        await bench.quiet()
        assert bench.types("e1")[-1] == "interaction-complete"


async def test_it_waits_in_the_longest_delay_queue_that_does_not_pass_its_time() -> None:
    async with Bench(park_after_s=10.0) as bench:
        bench.deliver("e1", not_before=at(bench, 1_320))
        await bench.quiet()
        assert [int(level.rsplit(".", 1)[1]) for level in levels(bench)] == [1200, 60, 30, 10, 10]


async def test_what_is_left_is_waited_for_in_memory_no_longer_than_park_after() -> None:
    async with Bench(park_after_s=20.0) as bench:
        delivery = bench.deliver("e1", not_before=at(bench, 19))
        bench.deliver("e2", not_before=at(bench, 21))
        await bench.wait(1)
        assert (delivery.acked, levels(bench)) == (0, ["bridge.events.delay.10"])
        await bench.quiet()
        assert len(levels(bench)) == 1


async def test_until_its_time_it_holds_up_nobody_and_takes_its_place_then() -> None:
    async with Bench() as bench:
        bench.deliver("e1", not_before=at(bench, 30))
        bench.deliver("e2")
        await bench.until(lambda: bench.types("e2")[-1:] == ["interaction-complete"], "the other is answered", 5)
        assert bench.types("e1") == []
        await bench.quiet()
        assert bench.types("e1")[-1] == "interaction-complete"


async def test_a_process_that_dies_before_its_time_starts_it_no_sooner_and_asks_for_nothing() -> None:
    async with Bench() as bench:
        due_s = bench.now_s() + 50
        bench.deliver("e1", not_before=at(bench, 50))
        await bench.wait(5)
        await bench.restart()
        await bench.until(lambda: bench.attempts(), "it is started")
        assert asked_at(bench, "Tell e1") >= due_s - CLOCK_S
        assert not bench.agent.calls("conversations")
        await bench.quiet()


async def test_one_that_was_delivered_before_and_that_the_ledger_does_not_know_waits_too() -> None:
    async with Bench() as bench:
        due_s = bench.now_s() + 700
        bench.deliver("e1", not_before=at(bench, 700), redelivered=True)
        await bench.until(lambda: bench.attempts(), "it is started")
        assert asked_at(bench, "Tell e1") >= due_s - CLOCK_S
        await bench.quiet()
        assert bench.dead() == []


@pytest.mark.parametrize("ahead_s", [50.0, 900.0])
async def test_an_event_that_waits_for_its_time_is_cancelled(ahead_s: float) -> None:
    async with Bench() as bench:
        bench.deliver("e1", not_before=at(bench, ahead_s))
        await bench.wait(5)
        cancel(bench)
        await bench.quiet()
        assert bodies(bench, "c1")[0]["outcome"] == "cancelled"
        assert bodies(bench, "e1") == [{"type": "bridge-cancelled", "event_id": "e1", "by": "c1"}]
        assert bench.attempts() == 0


async def test_a_cancel_that_came_first_is_said_before_its_time() -> None:
    async with Bench() as bench:
        cancel(bench)
        await bench.quiet()
        bench.deliver("e1", not_before=at(bench, 5_000))
        await bench.until(lambda: bench.types("e1"), "it is said", 5)
        assert bench.types("e1") == ["bridge-cancelled"]


async def test_the_same_event_twice_is_one() -> None:
    async with Bench() as bench:
        for _ in range(2):
            bench.deliver("e1", not_before=at(bench, 700))
            await bench.wait(65)
        await bench.quiet()
        assert bench.agent.heard("Tell e1") == 1


async def test_one_that_is_too_far_ahead_is_invalid() -> None:
    async with Bench() as bench:
        bench.deliver("e1", not_before=at(bench, 8 * 86_400))
        await bench.quiet()
        assert bench.dead() == ["invalid-event"]
        assert "more than 7 days ahead" in str(bench.said("bridge-failed", "e1")[0]["error"])


async def test_a_user_by_e_mail_is_looked_for_when_the_time_has_come_and_not_when_it_is_over() -> None:
    async with Bench(defaults=Defaults(user_id="bridge-bot")) as bench:
        bench.accounts.users["ada@example.com"] = ["user-7"]
        by_email: dict[str, Any] = {"user_id": None, "user": {"email": "ada@example.com"}}
        bench.deliver("e1", not_before=at(bench, 30), **by_email)
        bench.deliver("e2", expires_at=at(bench, -1), **by_email)
        await bench.wait(29)
        assert bench.accounts.journal == []
        assert bench.types("e2") == ["bridge-expired"]
        await bench.quiet()
        assert bench.accounts.journal == ["ids_of"]
        assert [call.user_id for call in bench.agent.calls("create")] == ["user-7"]


# --- expires_at and max_wait


async def test_what_is_over_at_first_sight_expires_at_once() -> None:
    async with Bench() as bench:
        over = at(bench, -5)
        bench.deliver("e1", expires_at=over)
        await bench.quiet(5)
        (body,) = bodies(bench, "e1")
        assert body == {"type": "bridge-expired", "event_id": "e1", "expires_at": over, "waited_s": body["waited_s"]}
        assert bench.out("e1")[0].message_id == "e1:bridge-expired"
        assert bench.order() == ["bridge-expired", "ack"]
        assert not bench.agent.calls("create", "interact", "conversations")


async def test_it_expires_at_once_also_while_its_lane_is_busy() -> None:
    async with Bench() as bench:
        gate = Gate()
        bench.agent.script_for("Tell e0", answered(said("Hel"), gate, complete()))
        bench.deliver("e0")
        bench.deliver("e1", expires_at=at(bench, -5))
        await bench.until(lambda: bench.types("e1"), "it expires", 5)
        gate.open()
        await bench.quiet()
        assert bench.types("e1") == ["bridge-expired"]


async def test_an_event_whose_turn_comes_too_late_expires() -> None:
    async with Bench() as bench:
        bench.agent.converse(talk := bench.agent.open(USER, SERVICE), "hello")
        bench.deliver("e0", on_busy="wait")
        bench.deliver("e1", expires_at=at(bench, 20))
        await bench.wait(40)
        assert bench.types("e1") == [] or bench.types("e1") == ["bridge-expired"]
        talk.finished = True
        await bench.quiet()
        assert bench.types("e1") == ["bridge-expired"]
        assert bench.agent.heard("Tell e1") == 0
        assert bench.types("e0")[-1] == "interaction-complete"


async def test_an_event_between_two_tries_of_which_none_was_made_expires() -> None:
    async with Bench() as bench:
        bench.agent.fail("create", *[TooEarly("429", 300.0)] * 5)
        bench.deliver("e1", expires_at=at(bench, 100))
        await bench.quiet()
        assert bench.types("e1") == ["bridge-expired"]
        assert bench.attempts() == 1


async def test_max_wait_counts_from_first_sight_through_delay_queues() -> None:
    async with Bench(routes=routes(700.0)) as bench:
        bench.agent.fail("create", *[TooEarly("429", 300.0)] * 9)
        began_s = bench.now_s()
        bench.deliver("e1")
        await bench.quiet()
        (body,) = bodies(bench, "e1")
        assert (body["type"], body["max_wait"]) == ("bridge-expired", "700s")
        waited_s = bench.now_s() - began_s
        assert 700 <= waited_s <= 1_010
        assert float(str(body["waited_s"])) == pytest.approx(waited_s, abs=2)


async def test_max_wait_counts_from_the_publishers_timestamp() -> None:
    async with Bench(routes=routes(60.0)) as bench:
        old = datetime.fromtimestamp(EPOCH_S + bench.now_s() - 61, UTC)
        bench.deliver("e1", properties={"timestamp": old})
        bench.deliver("e2", properties={"timestamp": old}, headers={"x-bridge-requeue": 1})
        bench.deliver("e3", properties={"timestamp": old}, not_before=at(bench, -1))
        await bench.quiet()
        assert bench.types("e1") == ["bridge-expired"]
        assert bench.types("e2")[-1] == bench.types("e3")[-1] == "interaction-complete"


async def test_what_has_started_never_expires() -> None:
    async with Bench() as bench:
        gate = Gate()
        bench.agent.script(answered(said("Hel"), gate, complete()))
        bench.deliver("e1", expires_at=at(bench, 5))
        await bench.wait(10)
        gate.open()
        await bench.quiet()
        assert bench.types("e1")[-1] == "interaction-complete"


async def test_what_may_have_started_is_looked_for_and_recovered() -> None:
    async with Bench() as bench:
        death = Death("post-answered")
        bench.deliver("e1", expires_at=at(bench, 2))
        await bench.until(lambda: death.happened, "the process dies")
        await bench.wait(10)
        await bench.restart()
        await bench.quiet()
        assert bench.agent.calls("conversations")
        assert len([each for each in bench.types("e1") if each in ("interaction-complete", "bridge-expired")]) == 1


async def test_what_is_proved_void_can_expire_again_and_its_pieces_are_void() -> None:
    async with Bench() as bench:
        bench.agent.script(VOID)
        bench.deliver("e1", expires_at=at(bench, 1))
        await bench.quiet()
        assert bench.types("e1")[-2:] == ["bridge-voided", "bridge-expired"]
        assert bench.attempts() == 1


async def test_those_behind_go_on_as_soon_as_one_that_was_away_has_expired() -> None:
    async with Bench() as bench:
        bench.agent.fail("create", TooEarly("429", 100.0))
        bench.deliver("e0", expires_at=at(bench, 10))
        bench.deliver("e1")
        await bench.quiet()
        assert bench.types("e0") == ["bridge-expired"]
        assert bench.types("e1")[-1] == "interaction-complete"


@pytest.mark.parametrize("fields", [{"kind": "finish"}, {"kind": "tag", "tags": {"k": "v"}}], ids=["finish", "tag"])
async def test_events_that_steer_expire_too(fields: dict[str, Any]) -> None:
    async with Bench() as bench:
        bench.agent.converse(talk := bench.agent.open(USER, SERVICE), "hello")
        bench.deliver("f1", message=None, expires_at=at(bench, -1), **fields)
        await bench.quiet()
        assert bench.types("f1") == ["bridge-expired"]
        assert not talk.finished
        assert not bench.agent.calls("finish", "modify_tags")


async def test_a_tag_that_may_expire_is_in_no_group_that_another_leads() -> None:
    async with Bench() as bench:
        bench.agent.converse(bench.agent.open(USER, SERVICE), "hello")
        for number, more in enumerate(({}, {"expires_at": at(bench, 600)})):
            bench.deliver(f"t{number}", kind="tag", message=None, tags={"k": str(number)}, **more)
        await bench.quiet()
        assert bench.types("t1") == ["conversation-tagged"]


@pytest.mark.parametrize("label", STEPS)
async def test_a_process_that_dies_while_it_says_so_says_it_again(label: str) -> None:
    async with Bench() as bench:
        death = Death(label)
        bench.deliver("e1", expires_at=at(bench, -5))
        await bench.until(lambda: death.happened, "the process dies")
        failpoints.listen(None)
        await bench.restart()
        await bench.quiet()
        assert bench.types("e1") == ["bridge-expired"]
        assert bench.attempts() == 0


async def test_a_repeat_of_one_that_has_expired_is_acknowledged_and_a_cancel_is_too_late() -> None:
    async with Bench() as bench:
        bench.deliver("e1", expires_at=at(bench, -5))
        await bench.quiet()
        bench.deliver("e1", expires_at=at(bench, -5))
        cancel(bench)
        await bench.quiet()
        assert len(bench.publisher.confirmed) == 2
        assert bodies(bench, "c1")[0]["outcome"] == "too-late"


async def test_while_the_api_is_down_an_event_expires_once_it_is_looked_at_again() -> None:
    async with Bench() as bench:
        bench.agent.fail("create", *[NotSent("no way")] * 3)
        bench.deliver("e1", expires_at=at(bench, 2))
        await bench.quiet()
        assert bench.types("e1") == ["bridge-expired"]
