"""A person has finished a conversation at the API: the bridge says so at once, in the place of its own finish."""

import json
from typing import Any

from bridge.core.broker.publish_refusal import PublishRefusal, RefusalKind
from bridge.core.event.route import Defaults
from tests.support.flow_bench import Bench

FORBIDDEN = PublishRefusal(RefusalKind.FORBIDDEN, "the broker refused it (403)")


def bench_of(finish_s: float) -> Bench:
    return Bench(defaults=Defaults(finish_s=finish_s), dice=0.0)


def said(bench: Bench) -> list[dict[str, Any]]:
    return [json.loads(each.body) for each in bench.publisher.confirmed if each.type == "conversation-finished"]


async def test_it_is_said_once_by_person_and_the_bridge_finishes_nothing() -> None:
    for finish_s in (3_600.0, float("inf")):
        async with bench_of(finish_s) as bench:
            bench.deliver("e1")
            await bench.quiet()
            (talk,) = bench.agent.talks
            assert await bench.finisher.finished_by_person(talk.id)
            assert await bench.finisher.finished_by_person(talk.id)
            await bench.until(lambda: not bench.ledger.dues, "it is said", 10)
            await bench.wait(8_000)
            assert said(bench) == [
                {"type": "conversation-finished", "event_id": "e1", "conversation_id": talk.id, "by": "person"}
            ]
            assert bench.agent.calls("finish") == []
            assert not await bench.finisher.finished_by_person(talk.id)


async def test_of_one_that_the_bridge_would_not_finish_nothing_is_said() -> None:
    async with bench_of(3_600.0) as bench:
        assert not await bench.finisher.finished_by_person("6" * 24)
        await bench.wait(10)
        assert said(bench) == []


async def test_what_is_about_to_be_said_is_not_changed() -> None:
    async with bench_of(1.0) as bench:
        bench.publisher.refuse(1_000, FORBIDDEN, lambda message: message.type == "conversation-finished")
        bench.deliver("e1")
        await bench.until(lambda: bench.log.of("finish.unsaid"), "the broker refuses it")
        (talk,) = bench.agent.talks
        assert await bench.finisher.finished_by_person(talk.id)
        bench.publisher.take_all()
        await bench.until(lambda: not bench.ledger.dues, "it is said", 700)
        assert [each["by"] for each in said(bench)] == ["bridge"]
