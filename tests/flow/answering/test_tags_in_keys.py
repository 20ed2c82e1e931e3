"""docs/semantics.md, Outbound messages: routing keys name tags of event, route and the conversation that was joined."""

import pytest

from bridge.core.answer.outbound_message import Outbound, RoutingKey
from bridge.core.errors import Unavailable
from bridge.core.event.route import Rendered, Route
from tests.flow.test_ledger import Death, immortal
from tests.support.fakes import FakeLedger, FakeRoutes, Fate, Talk, answered, complete, said
from tests.support.flow_bench import SERVICE, USER, Bench

__all__ = ["immortal"]
BY_TAG = Outbound("agent.events", RoutingKey("{topic}.{team}.{type}"))


def bench_of(*outbounds: Outbound, routes: FakeRoutes | None = None) -> Bench:
    return Bench(ledger=FakeLedger(shared=False), outbounds=outbounds or (BY_TAG,), routes=routes)


def somebodys(bench: Bench, **tags: str | None) -> Talk:
    talk = bench.agent.open(USER, SERVICE, tags={"channel": "api", "channel_type": "async", **tags})
    bench.agent.converse(talk, "Before")
    return talk


def keys(bench: Bench, event_id: str = "e1") -> set[str]:
    """The routing keys of an event's messages, without their types."""
    return {message.routing_key.rsplit(".", 1)[0] for message in bench.out(event_id)}


async def test_the_tags_of_the_conversation_are_named_and_the_events_win() -> None:
    async with bench_of() as bench:
        somebodys(bench, topic="bill", team="north")
        bench.deliver("e1")
        bench.deliver("e2", tags={"topic": "loan"})
        bench.deliver("e3")
        await bench.quiet()
        assert [keys(bench, event_id) for event_id in ("e1", "e2", "e3")] == [
            {"bill.north"},
            {"loan.north"},
            {"loan.north"},
        ]
        assert len(bench.agent.calls("conversations")) == 1


async def test_the_routes_tags_win_over_the_conversations() -> None:
    routes = FakeRoutes()
    routes.add(Route("r"), Rendered(tags={"team": "south"}))
    async with bench_of(routes=routes) as bench:
        somebodys(bench, topic="bill", team="north")
        bench.deliver()
        await bench.quiet()
        assert keys(bench) == {"bill.south"}


async def test_a_tag_that_is_null_or_missing_names_nothing() -> None:
    async with bench_of() as bench:
        somebodys(bench, topic=None)
        bench.deliver()
        await bench.quiet()
        assert keys(bench) == {"_._"}


async def test_an_event_that_starts_a_conversation_has_its_own_tags() -> None:
    async with bench_of() as bench:
        bench.deliver("e1", tags={"topic": "bill"})
        bench.deliver("e2", tags={"team": "north"})
        await bench.quiet()
        assert (keys(bench, "e1"), keys(bench, "e2")) == ({"bill._"}, {"bill.north"})


async def test_the_event_tag_of_the_conversation_is_never_taken_for_the_events() -> None:
    async with bench_of(Outbound("agent.events", RoutingKey("{bridge_event}.{type}"))) as bench:
        bench.deliver("e1")
        bench.deliver("e2")
        await bench.quiet()
        assert keys(bench, "e1") != keys(bench, "e2")


async def test_a_conversation_that_the_event_names_is_listed_once() -> None:
    async with bench_of() as bench:
        talk = somebodys(bench, topic="bill", team="north")
        bench.deliver("e1", conversation_id=talk.id)
        bench.deliver("e2", conversation_id=talk.id)
        await bench.quiet()
        assert keys(bench, "e1") == keys(bench, "e2") == {"bill.north"}
        assert len(bench.agent.calls("conversations")) == 1


@pytest.mark.parametrize("label", ["ending-recorded", "post-answered"])
async def test_the_next_process_names_the_same_tags(label: str) -> None:
    """Whether it publishes the ledger's ending or that of the history."""
    async with bench_of() as bench:
        somebodys(bench, topic="bill", team="north")
        bench.agent.script(answered(said("Hel"), complete(), fate=Fate.SAVED))
        death = Death(label)
        bench.deliver("e1")
        await bench.until(lambda: death.happened, "the process dies")
        await bench.restart()
        await bench.quiet()
        assert keys(bench) == {"bill.north"}


async def test_an_ending_that_the_ledger_has_goes_where_it_was_to_go_and_asks_nobody() -> None:
    async with bench_of() as bench:
        somebodys(bench, topic="bill", team="north")
        death = Death("ending-recorded")
        bench.deliver("e1", tags={"team": "south"})
        await bench.until(lambda: death.happened, "the process dies")
        since = len(bench.agent.calls("conversations"))
        bench.agent.break_down("conversations", Unavailable("503"))
        await bench.restart()
        await bench.quiet()
        assert bench.out("e1")[-1].routing_key == "bill.south.interaction-complete"
        assert len(bench.agent.calls("conversations")) == since


async def test_what_is_said_of_a_conversation_that_is_finished_names_its_tags() -> None:
    async with bench_of() as bench:
        bench.deliver("e1", tags={"topic": "bill"})
        bench.deliver("e2", tags={"team": "north"}, finish="1h")
        await bench.quiet()
        await bench.until(lambda: bench.agent.talks[0].finished, "the conversation is finished")

        def finishes() -> list[str]:
            ends = [each for each in bench.publisher.confirmed if each.type == "conversation-finished"]
            return [each.routing_key for each in ends]

        await bench.until(finishes, "it is said")
        assert finishes() == ["bill.north.conversation-finished"]


@pytest.mark.parametrize(
    ("template", "names"), [("{channel_type}.{channel}.{type}", False), ("{ topic }.{type}", True), ("plain", False)]
)
def test_a_template_says_whether_it_names_tags(template: str, names: bool) -> None:
    assert RoutingKey(template).names_tags is names
