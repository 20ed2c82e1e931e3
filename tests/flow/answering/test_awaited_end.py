"""Events that wait for a conversation to end: who waits with them, and who passes them."""

from tests.support.flow_bench import SERVICE, USER, Bench


async def test_what_steers_a_conversation_passes_an_event_that_waits_for_its_end() -> None:
    async with Bench() as bench:
        talk = bench.agent.open(USER, SERVICE)
        bench.agent.converse(talk, "hello")
        bench.deliver("e0", on_busy="wait")
        bench.deliver("t1", kind="tag", conversation_id=talk.id, tags={"case": "4711"}, text=None, message=None)
        await bench.until(lambda: bench.types("t1"), "the tag is settled while e0 waits", 15)
        bench.deliver("f1", kind="finish", conversation_id=talk.id, message=None)
        await bench.until(lambda: bench.types("f1"), "so is the finish", 10)
        assert bench.types("e0") == []
        assert talk.finished
        await bench.quiet()
        assert ended_in_order(bench) == ["e0"]


async def test_what_joins_a_conversation_passes_an_event_that_waits_for_its_end() -> None:
    async with Bench() as bench:
        talk = bench.agent.open(USER, SERVICE)
        bench.agent.converse(talk, "hello")
        bench.deliver("e0", on_busy="wait")
        await bench.until(lambda: bench.republisher.delayed, "e0 waits in a delay queue", 5)
        bench.deliver("joins", conversation_id=talk.id)
        await bench.until(lambda: bench.types("joins")[-1:] == ["interaction-complete"], "it is answered", 10)
        bench.deliver("starts")
        await bench.wait(10)
        assert bench.types("e0") == bench.types("starts") == []
        talk.finished = True
        await bench.quiet()
        assert ended_in_order(bench) == ["joins", "e0", "starts"]


async def test_an_event_that_waits_for_an_end_is_looked_at_seldom() -> None:
    async with Bench() as bench:
        talk = bench.agent.open(USER, SERVICE)
        bench.agent.converse(talk, "hello")
        bench.deliver("e0", on_busy="wait")
        await bench.wait(3_600)
        levels = [int(copy.routing_key.rsplit(".", 1)[1]) for copy in bench.republisher.delayed]
        assert levels[:5] == [30, 60, 120, 300, 600]
        assert set(levels[5:]) == {600}
        talk.finished = True
        await bench.quiet()
        assert ended_in_order(bench) == ["e0"]


def ended_in_order(bench: Bench) -> list[str]:
    return [each.correlation_id for each in bench.publisher.confirmed if each.type == "interaction-complete"]
