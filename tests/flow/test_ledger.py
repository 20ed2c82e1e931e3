"""What the ledger is for: whatever the moment at which a process dies, the agent hears once and there is one ending."""

import itertools
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from bridge.core.answer.ending import ENDINGS
from bridge.core.answer.outbound_message import Outbound, OutboundMessage, RoutingKey
from bridge.core.broker.publish_refusal import UNROUTED
from bridge.core.delivery.retry import RetryPolicy
from bridge.core.errors import TooEarly
from bridge.core.ledger.ledger_entry import State
from bridge.flow import failpoints
from tests.support.fakes import FakeDelivery, FakeLedger, Fate, Gate, Play, answered, complete, error, opening, said
from tests.support.flow_bench import SERVICE, USER, Bench

LIFE = tuple(label for label in failpoints.EVENT_LABELS if label not in ("parking", "parked"))
DEATHS = ("dead-lettering", "dead-lettered", "failure-said")
ON_THE_WAY = tuple(label for label in LIFE if label not in DEATHS)


class Died(BaseException):
    """Nothing in the process may catch it, as nothing catches `kill -9`."""


@pytest.fixture(autouse=True)
def immortal() -> Iterator[None]:
    yield
    failpoints.listen(None)


class Death:
    """Ends the process at the n-th passing of a step, once."""

    def __init__(self, label: str, times: int = 1) -> None:
        self.happened = False
        self._label, self._left = label, times
        failpoints.listen(self)

    def __call__(self, label: str, event_id: str) -> None:
        if label == self._label and not self.happened:
            self._left -= 1
            if not self._left:
                self.happened = True
                raise Died(label)


def answer_with(fate: Fate) -> Play:
    return Play((opening, said("Hel"), said("lo"), said("!"), complete()), fate)


async def live_through(bench: Bench, death: Death) -> None:
    await bench.until(lambda: death.happened, "the process dies")
    await bench.restart()
    await bench.quiet()


def assert_answered_once(bench: Bench) -> None:
    assert bench.agent.heard("Tell e1") == 1
    assert [type_ for type_ in bench.types() if type_ in ENDINGS] == ["interaction-complete"]
    assert bench.dead() == []
    assert bench.ledger.entries["e1"].state is State.COMPLETE


@pytest.mark.parametrize(
    ("joins", "expected"),
    [(False, [State.OPEN, State.ANSWERED]), (True, [State.REQUESTED, State.OPEN, State.ANSWERED])],
    ids=["create", "interact"],
)
async def test_the_first_request_is_written_with_the_claim_where_it_is_plain_by_then(
    joins: bool, expected: list[State]
) -> None:
    async with Bench() as bench:
        talk = bench.agent.open(USER, SERVICE) if joins else None
        delivery = bench.deliver(**({"conversation_id": talk.id} if talk else {}))
        before: list[State] = []
        first_call = "messages" if talk else "create"
        bench.agent.before[first_call] = lambda: before.append(bench.ledger.entries["e1"].state)
        await bench.until(lambda: delivery.acked, "it is settled")
        assert before == [State.CLAIMED if talk else State.REQUESTED]
        assert [entry.state for entry in bench.ledger.written] == [*expected, State.COMPLETE]
        assert {entry.progress.stream for entry in bench.ledger.written} == {bench.out()[-1].headers["stream"]}


@pytest.mark.parametrize("joins", [False, True], ids=["start", "interact"])
@pytest.mark.parametrize("fate", [Fate.ROLLED_BACK, Fate.EMPTY, Fate.SAVED])
@pytest.mark.parametrize(
    ("label", "times"), [*((label, 1) for label in ON_THE_WAY), *(("line", times) for times in (2, 3, 4, 5))]
)
async def test_a_death_at_any_step_leaves_one_interaction_and_one_ending(
    label: str, times: int, fate: Fate, joins: bool
) -> None:
    async with Bench() as bench:
        if joins:
            bench.agent.converse(bench.agent.open(USER, SERVICE), "Before")
        bench.agent.script(answer_with(fate))
        death = Death(label, times)
        bench.deliver()
        await live_through(bench, death)
        assert_answered_once(bench)


@pytest.mark.parametrize("fate", [Fate.ROLLED_BACK, Fate.EMPTY, Fate.SAVED])
@pytest.mark.parametrize("label", [label for label in ON_THE_WAY if label != "conversation-recorded"])
async def test_the_same_where_the_whole_answer_comes_before_the_ledger_writes(label: str, fate: Fate) -> None:
    async with Bench() as bench:
        bench.ledger.gathers = True
        bench.agent.script(answer_with(fate))
        death = Death(label)
        bench.deliver()
        await live_through(bench, death)
        assert_answered_once(bench)


@pytest.mark.parametrize("gathers", [False, True])
async def test_a_whole_answer_that_comes_before_the_ledger_writes_is_written_once(gathers: bool) -> None:
    """Then every line is published after the ending's bytes are written, and still in order."""
    async with Bench() as bench:
        bench.ledger.gathers = gathers
        bench.agent.script(answer_with(Fate.SAVED))
        delivery = bench.deliver()
        await bench.until(lambda: delivery.acked, "it is settled")
        states = [entry.state for entry in bench.ledger.written]
        assert states == [*([] if gathers else [State.OPEN]), State.ANSWERED, State.COMPLETE]
        assert [message.headers["sequence"] for message in bench.out()] == [1, 2, 3, 4, 5]


async def test_an_answer_that_takes_its_time_is_written_and_published_as_it_comes() -> None:
    async with Bench() as bench:
        bench.ledger.gathers = True
        api_breaker = Gate()
        bench.agent.script(Play((opening, said("Hel"), api_breaker, said("lo"), complete())))
        delivery = bench.deliver()
        await bench.until(lambda: len(bench.out()) == 2, "what has come is published")
        assert [entry.state for entry in bench.ledger.written] == [State.OPEN]
        api_breaker.open()
        await bench.until(lambda: delivery.acked, "it is settled")
        assert [entry.state for entry in bench.ledger.written] == [State.OPEN, State.ANSWERED, State.COMPLETE]


def acks_of(delivery: FakeDelivery) -> int:
    return delivery.acked


async def test_where_answers_take_their_time_only_a_few_are_waited_for() -> None:
    async with Bench() as bench:
        bench.ledger.gathers = True
        slow = Play((opening, said("Hel"), 5.0, complete()))
        bench.agent.script(*[slow] * 40)
        waited = []
        for number in range(200):
            delivery = bench.deliver(id=f"e{number}")
            await bench.until(partial(acks_of, delivery), "it is settled")
            waited.append(bench.ledger.waited)
        assert waited[39] == 5, "for the 1st, 3rd, 7th, 15th and 31st"
        assert waited[199] - waited[149] == 50, "answers that come at once are waited for again"


@pytest.mark.parametrize("gathers", [False, True])
async def test_an_answer_that_begins_while_nothing_can_be_published_is_published_in_order(gathers: bool) -> None:
    """Blank lines first: what follows them is read ahead, and keeps its place."""
    async with Bench() as bench:
        bench.ledger.gathers = gathers
        api_breaker = Gate()
        bench.agent.script(Play((b"\n", 0.5, b"\n", opening, said("Hel"), said("lo"), api_breaker, complete())))
        bench.publisher.close_room()
        delivery = bench.deliver()
        await api_breaker.reached.wait()
        bench.publisher.open_room()
        await bench.until(lambda: len(bench.out()) == 3, "what was read ahead is published")
        api_breaker.open()
        await bench.until(lambda: delivery.acked, "it is settled")
        assert [message.headers["sequence"] for message in bench.out()] == [1, 2, 3, 4]
        assert bench.dead() == []


@pytest.mark.parametrize("label", DEATHS)
async def test_a_death_in_the_middle_of_a_failure_is_resumed(label: str) -> None:
    async with Bench() as bench:
        bench.agent.script(answered(error(422)))
        death = Death(label)
        bench.deliver()
        await live_through(bench, death)
        assert [type_ for type_ in bench.types() if type_ in ENDINGS] == ["bridge-failed"]
        assert set(bench.dead()) == {"rejected"}
        assert bench.attempts() == 1


@pytest.mark.parametrize("label", ["parking", "parked"])
async def test_a_death_while_parking_keeps_one_of_the_two_copies(label: str) -> None:
    async with Bench(policy=RetryPolicy(attempts=4)) as bench:
        bench.agent.script(answered(error(500)), answered(said("Hello"), complete()))
        death = Death(label)
        bench.deliver()
        await live_through(bench, death)
        assert bench.agent.heard("Tell e1") == 1
        assert [type_ for type_ in bench.types() if type_ in ENDINGS] == ["interaction-complete"]


async def test_what_was_answered_is_published_again_with_its_bytes_and_nothing_is_asked() -> None:
    async with Bench() as bench:
        death = Death("ending-recorded")
        bench.deliver()
        await bench.until(lambda: death.happened, "it dies")
        await bench.restart()
        await bench.quiet()
        (ending,) = [each for each in bench.out() if each.type == "interaction-complete"]
        assert ending.body == bench.ledger.entries["e1"].ending
        assert "recovered" not in ending.headers
        assert [call.operation for call in bench.agent.journal if call.operation != "probe"] == ["create"]


NEW_KEY = RoutingKey("moved.{type}")


async def said_again(kind: dict[str, Any], *outbounds: Outbound) -> OutboundMessage:
    """The ending of an event, said by a process with these outbounds; one with another configuration knew it."""
    first = Outbound("agent.events", RoutingKey("{channel}.{route}.{type}"), cloudevents=True)
    async with Bench(outbounds=(first,)) as bench:
        death = Death("ending-recorded") if outbounds else None
        bench.deliver(**kind)
        if death is not None:
            await bench.until(lambda: death.happened, "it dies")
            bench.reconfigure(*outbounds)
            await bench.wait(5)
            await bench.restart()
        await bench.quiet()
        (ending,) = [each for each in bench.out() if each.type in ENDINGS]
        return ending


@pytest.mark.parametrize(
    ("exchanges", "key"), [(["agent.events"], "sms._."), (["other", "agent.events"], "sms._."), (["other"], "moved.")]
)
@pytest.mark.parametrize("kind", [{}, {"kind": "finish", "message": None}], ids=["answer", "finish"])
async def test_what_was_answered_is_the_same_message_whatever_the_configuration_says_by_then(
    kind: dict[str, Any], exchanges: list[str], key: str
) -> None:
    event = {"channel": "sms", **kind}
    first = await said_again(event)
    later = [Outbound(exchange, NEW_KEY, cloudevents=True) for exchange in exchanges]
    again = await said_again(event, *later)
    assert again.routing_key == key + again.type
    assert (again.message_id, again.body) == (first.message_id, first.body)
    if key != "moved.":
        assert again.exchange == first.exchange
        assert (again.routing_key, again.headers, again.timestamp_s) == (
            first.routing_key,
            first.headers,
            first.timestamp_s,
        )


async def test_a_finished_event_that_comes_again_in_a_later_process_is_acked_and_nothing_is_asked() -> None:
    async with Bench() as bench:
        bench.deliver()
        await bench.quiet()
        asked = len(bench.agent.journal)
        await bench.restart()
        again = bench.deliver()
        await bench.quiet()
        assert again.acked == 1
        assert bench.attempts() == 1
        assert [call.operation for call in bench.agent.journal[asked:]] == ["probe"]
        assert bench.counters.repeats == 1


async def test_a_dead_letter_is_opened_again_by_a_replay_and_only_by_that() -> None:
    async with Bench() as bench:
        bench.agent.script(answered(error(422)))
        bench.deliver()
        await bench.quiet()
        bench.deliver()
        await bench.quiet()
        assert (bench.attempts(), bench.dead()) == (1, ["rejected", "rejected"])
        bench.deliver(headers={"x-bridge-requeue": 1})
        await bench.quiet()
        assert bench.attempts() == 2
        assert bench.types()[-1] == "interaction-complete"
        bench.deliver(headers={"x-bridge-requeue": 1})
        await bench.quiet()
        assert bench.attempts() == 2
        bench.publisher.confirmed = [each for each in bench.publisher.confirmed if each.type != "bridge-failed"]


async def test_a_replay_that_fails_again_says_so_under_an_id_of_its_own() -> None:
    async with Bench() as bench:
        bench.agent.script(answered(error(422)), answered(error(422)))
        bench.deliver()
        await bench.quiet()
        bench.deliver(headers={"x-bridge-requeue": 1})
        await bench.quiet()
        ids = [each.message_id for each in bench.out() if each.type == "bridge-failed"]
        assert ids == ["e1:bridge-failed", "e1:bridge-failed:1"]
        bench.publisher.confirmed = bench.publisher.confirmed[-1:]


async def test_a_replay_of_what_could_not_be_delivered_only_publishes() -> None:
    async with Bench(policy=RetryPolicy(publish_for_s=2.0)) as bench:
        bench.publisher.refuse(2, UNROUTED, lambda each: each.type == "interaction-complete")
        bench.deliver()
        await bench.quiet()
        assert bench.dead() == ["undeliverable"]
        await bench.restart()
        bench.deliver()
        await bench.quiet()
        assert (bench.dead(), bench.types()) == (["undeliverable"] * 2, ["conversation-created", "new-message"])
        bench.deliver(headers={"x-bridge-requeue": 1})
        await bench.quiet()
        assert bench.attempts() == 1
        assert bench.types()[-1] == "interaction-complete"


async def test_an_event_that_comes_back_from_a_delay_queue_is_not_asked_about_where_nothing_was_asked_of_the_api() -> (
    None
):
    async with Bench() as bench:
        bench.agent.fail("create", TooEarly("too many", 300.0))
        bench.deliver()
        await bench.quiet()
        assert State.WAITING in [entry.state for entry in bench.ledger.written]
        assert bench.agent.calls("conversations") == []
        assert bench.types()[-1] == "interaction-complete"


async def test_an_event_that_another_process_has_waits_for_it() -> None:
    async with Bench() as bench:
        other = FakeLedger(beside=bench.ledger)
        await other.claim("e1", b"")
        bench.deliver()
        await bench.wait(30)
        assert bench.attempts() == 0
        other.gone()
        await bench.quiet()
        assert bench.types()[-1] == "interaction-complete"


@pytest.mark.parametrize("redelivered", [False, True])
async def test_without_a_ledger_the_api_is_asked_and_nothing_is_lost(redelivered: bool) -> None:
    async with Bench(when_lost="ask") as bench:
        bench.ledger.break_down("disk full")
        bench.deliver(redelivered=redelivered)
        await bench.quiet()
        assert bench.types()[-1] == "interaction-complete"
        assert bench.agent.calls("conversations"), "it was asked whether the event had been told before"
        assert bench.journal.trouble == "disk full"
        bench.ledger.mend()
        bench.deliver("e2")
        await bench.quiet()
        assert bench.journal.trouble is None


@pytest.mark.parametrize("label", ON_THE_WAY)
async def test_a_start_is_exact_even_if_the_ledger_is_lost_with_the_process(label: str) -> None:
    async with Bench() as bench:
        death = Death(label)
        bench.deliver()
        await bench.until(lambda: death.happened, "it dies")
        bench.ledger.entries.clear()
        await bench.restart()
        await bench.quiet()
        assert bench.agent.heard("Tell e1") == 1
        assert [type_ for type_ in bench.types() if type_ in ENDINGS] == ["interaction-complete"]


@pytest.mark.parametrize(("away_from", "label"), list(itertools.product(ON_THE_WAY, ON_THE_WAY)))
async def test_a_ledger_that_goes_away_at_any_step_and_a_death_at_any_other(away_from: str, label: str) -> None:
    """What the ledger was not told of must be asked about, not concluded from its silence."""
    async with Bench(when_lost="ask") as bench:
        death = Death(label)

        def reached(step: str, event_id: str) -> None:
            if step == away_from:
                bench.ledger.break_down("gone")
            death(step, event_id)

        failpoints.listen(reached)
        bench.deliver()
        await bench.until(lambda: death.happened, "it dies")
        bench.ledger.mend()
        failpoints.listen(None)
        await bench.restart()
        await bench.quiet()
        assert bench.agent.heard("Tell e1") == 1
        assert [type_ for type_ in bench.types() if type_ in ENDINGS] == ["interaction-complete"]


async def test_voids_of_a_dead_process_are_said() -> None:
    """Its stream is in the ledger: subscribers are told which pieces to drop."""
    async with Bench() as bench:
        bench.agent.script(answer_with(Fate.ROLLED_BACK))
        death = Death("line", 3)
        bench.deliver()
        await live_through(bench, death)
        (void,) = bench.said("bridge-voided")
        assert void["stream"] == f"{1:012x}"
