"""Every stage of a stream × every way to end × what the API keeps × how the broker behaves: one settlement, one ending.

What is asserted for each is in `Bench.check`: no delivery is settled twice or left, nothing is acked before all of its
event is confirmed, the agent hears the event once, one ending a subscriber.
"""

import itertools

import pytest

from bridge.core.answer.ending import ENDINGS
from bridge.core.broker.publish_refusal import UNROUTED
from bridge.core.delivery.retry import RetryPolicy
from bridge.core.errors import Lost
from bridge.flow.answering.relay import Limits
from tests.support.fakes import Fate, Play, Step, complete, error, opening, said
from tests.support.flow_bench import Bench

STAGES: dict[str, tuple[Step, ...]] = {
    "requested": (),
    "opened": (opening,),
    "speaking": (opening, said("Hel"), said("lo")),
    "complete": (opening, said("Hello"), complete()),
    "over": (opening, said("Hello"), complete(done=True)),
}
ENDS: dict[str, tuple[Step, ...]] = {
    "clean end": (),
    "cut": (Lost("reset"),),
    "error 500": (error(500),),
    "error 422": (error(422),),
    "malformed line": (b"{]\n", said("more")),
    "unfinished line": (b'{"type":"new-mess',),
    "too long a line": (b"x" * 3000, b"x" * 3000, b"\n"),
    "longer than longest": (1_000.0, said("late")),
}
FATES = [Fate.ROLLED_BACK, Fate.EMPTY, Fate.SAVED]
LIMITS = Limits(4096, 900.0)
CASES = [
    (stage, end, fate)
    for stage, end, fate in itertools.product(STAGES, ENDS, FATES)
    if stage not in ("complete", "over") or fate is Fate.ROLLED_BACK  # from the ending on, all is saved anyhow
]


def play(stage: str, end: str, fate: Fate, settles_s: float = 0.0) -> Play:
    if stage == "requested" and end == "cut":
        return Play((), fate, settles_s, refusal=Lost("reset"))
    if stage == "requested" and end == "longer than longest":
        return Play((opening, complete()), fate, settles_s, thinks_s=1_000.0)
    return Play((*STAGES[stage], *ENDS[end]), fate, settles_s)


def expected(stage: str, end: str) -> str:
    final = end == "error 422" and stage not in ("complete", "over")
    return "bridge-failed" if final else "interaction-complete"


async def misbehave(bench: Bench, broker: str) -> None:
    match broker:
        case "nacks":
            bench.publisher.refuse(2)
        case "goes away in the middle":
            bench.publisher.hold()
            await bench.until(lambda: bench.publisher.sent, "something is published")
            bench.publisher.lose()
            bench.republisher.disconnect()
            bench.redeliver(bench.deliveries[-1])
            await bench.wait(20)
            bench.publisher.release()
            bench.publisher.reconnect()
            bench.republisher.reconnect()
        case "loses the ack":
            await bench.quiet()
            bench.redeliver(bench.deliveries[-1])


@pytest.mark.parametrize("broker", ["confirms", "nacks", "goes away in the middle", "loses the ack"])
@pytest.mark.parametrize(("stage", "end", "fate"), CASES)
async def test_one_settlement_a_delivery_and_one_ending_an_event(stage: str, end: str, fate: Fate, broker: str) -> None:
    async with Bench(limits=LIMITS) as bench:
        bench.agent.script(play(stage, end, fate))
        bench.deliver()
        await misbehave(bench, broker)
        await bench.quiet()
        endings = [type_ for type_ in bench.types() if type_ in ENDINGS]
        assert endings == [expected(stage, end)]


@pytest.mark.parametrize("busy", [False, True])
@pytest.mark.parametrize(("end", "fate"), list(itertools.product(ENDS, FATES)))
async def test_the_same_holds_where_the_api_makes_up_its_mind_later(end: str, fate: Fate, busy: bool) -> None:
    async with Bench(limits=LIMITS) as bench:
        if busy:
            bench.agent.converse(bench.agent.open("user-1", "5f0000000000000000000001"), "Before")
        bench.agent.script(play("speaking", end, fate, settles_s=25.0))
        bench.deliver()
        await bench.quiet()
        bench.agent.overlaps = 0  # for an interact only a second one tells whether the first still runs (409)
        endings = [type_ for type_ in bench.types() if type_ in ENDINGS]
        assert endings == [expected("speaking", end)]


@pytest.mark.parametrize("broker", ["refuses the ending", "refuses a piece", "refuses all"])
@pytest.mark.parametrize(("stage", "end"), list(itertools.product(STAGES, ENDS)))
async def test_a_publish_that_is_refused_for_good_ends_in_one_dead_letter(stage: str, end: str, broker: str) -> None:
    types = {"refuses the ending": ["interaction-complete"], "refuses a piece": ["new-message"], "refuses all": []}
    async with Bench(limits=LIMITS, policy=RetryPolicy(attempts=2, publish_for_s=2.0)) as bench:
        bench.publisher.refuse(
            10_000,
            UNROUTED,
            lambda each: each.type != "bridge-failed" and each.type in (types[broker] or [each.type]),
        )
        bench.agent.script(play(stage, end, Fate.ROLLED_BACK))
        bench.deliver()
        await bench.quiet()
        assert len(bench.dead()) == 1
        assert bench.order()[-1] == "ack"
        endings = [type_ for type_ in bench.types() if type_ in ENDINGS]
        said = any(each.type == "interaction-complete" for each in bench.publisher.sent)
        if said and broker != "refuses a piece":
            assert endings == []  # it is on record, and a replay publishes it
        else:
            assert endings == ["interaction-complete" if said else "bridge-failed"]


@pytest.mark.parametrize("grace_s", [0.0, 3.0])
@pytest.mark.parametrize(("stage", "end"), list(itertools.product(STAGES, ENDS)))
async def test_a_stop_settles_once_or_leaves_it_unacked(stage: str, end: str, grace_s: float) -> None:
    async with Bench(limits=LIMITS) as bench:
        script = play(stage, end, Fate.ROLLED_BACK)
        bench.agent.script(Play((*script.steps[:-1], 5.0, *script.steps[-1:]), refusal=script.refusal, thinks_s=4.0))
        delivery = bench.deliver()
        await bench.wait(2)
        left = await bench.stop(grace_s)
        acked = delivery.acked
        assert acked == (left == 0)
        await bench.wait(60)
        assert delivery.acked == acked
        assert bench.attempts() == 1
