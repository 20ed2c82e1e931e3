"""A little of `./dev chaos` with every run of the tests: each step once, each answer of the API once, some repeats."""

import random

import pytest

from tests.chaos import enrichments, kills, ledgers, steering, troubles
from tests.chaos.field import Batch, Field
from tests.chaos.program import LABELS, leading_to
from tests.chaos.setup import Setup
from tests.support.rabbit import EVENTS

pytestmark = pytest.mark.asyncio(loop_scope="module")

SEED = 7


@pytest.fixture(scope="module")
def setup() -> Setup:
    retry = {"first": "1s", "longest": "1s"}
    over = {"amigo": {"idle": "1s"}, "retry": retry, "conversations": {"finish": "1s"}}
    return Setup(config={**over, **enrichments.ALL})


async def survived(place: Field, name: str, run: Batch, times: int) -> None:
    place.begin(name, random.Random(f"{SEED} {name}"))
    await run(place, times)
    assert place.verdict.findings == []
    assert place.verdict.violations == 0
    assert place.verdict.events >= times


async def every_step(place: Field, times: int) -> None:
    """One process after another dies, each at the next step, and the last one mends it all."""
    assert times == len(LABELS)
    for label in LABELS:
        await kills.die_at(place, label, leading_to(label), most=2)
    place.replicas[0].start()
    await place.settle()


async def test_kills_at_every_step_cost_nothing(place: Field) -> None:
    await survived(place, "steps", every_step, len(LABELS))
    assert place.verdict.dead_letters > 0


async def test_a_kill_between_the_request_and_its_answer_costs_nothing(place: Field) -> None:
    await survived(place, "post-sent", kills.after_the_post, 1)


async def test_kills_at_random_moments_cost_nothing(place: Field) -> None:
    await survived(place, "random", kills.at_random, 3)


@pytest.mark.parametrize("steer", [steering.finish, steering.tag, steering.cancel], ids=lambda one: one.__name__)
async def test_kills_while_events_steer_cost_nothing(place: Field, steer: steering.Steer) -> None:
    await survived(place, steer.__name__, steering.under_kills(steer), 1)


async def test_the_same_event_many_times_is_one_event(place: Field) -> None:
    await survived(place, "repeats", troubles.repeats, 10)


async def test_whatever_the_api_answers_each_event_is_heard_once(place: Field) -> None:
    """All of its faults side by side."""
    said = [one for _, directives in troubles.ANSWERS.values() for one in directives]
    await survived(place, "api", troubles.api(*said), len(said))


async def test_a_deleted_ledger_costs_nothing(place: Field) -> None:
    await survived(place, "deleted", ledgers.file_deleted, 1)


async def test_a_process_that_ended_by_itself_is_named(place: Field) -> None:
    place.begin("fallen", random.Random(SEED))
    (replica,) = place.replicas
    await replica.stop()
    replica.change({"http": {"port": "no port"}})
    replica.start()
    try:
        assert await replica.ended(30) not in (0, None)
        await place.settle()
    finally:
        replica.change({"http": {"port": replica.port}})
    (said,) = place.verdict.findings
    assert said.startswith("bridge1 ended by itself with status ")


async def test_an_event_that_left_the_queue_without_an_ending_is_seen(place: Field) -> None:
    """A doctored record: nobody works, and somebody takes an event out of the queue."""
    place.begin("doctored", random.Random(SEED))
    for replica in place.replicas:
        await replica.stop()
    await place.publish(3)
    await place.nothing_acked_early()
    assert place.verdict.early_acks == 0
    with place.rabbit.channel() as channel:
        channel.basic_get(EVENTS, auto_ack=True)
    await place.nothing_acked_early(bound_s=0.5)
    assert place.verdict.early_acks == 1
