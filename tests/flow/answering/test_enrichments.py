"""Enrichments: what is published of an answer after its ending, once, through whatever happens."""

from typing import Any

import orjson
import pytest

from bridge.core.broker.publish_refusal import PublishRefusal, RefusalKind
from bridge.core.errors import Lost, NotSent, Refused, SignInRefused, TooEarly, Unavailable
from bridge.core.event.enrichment import EnrichmentKind, WantedEnrichment
from bridge.core.event.route import Defaults, Rendered, Route
from bridge.core.ledger.ledger_entry import State
from tests.support.fakes import FakeRoutes, Gate, Play, answered, complete, opening
from tests.support.flow_bench import Bench

INSIGHTS, RECOMMENDED = EnrichmentKind.INSIGHTS, EnrichmentKind.RECOMMENDED_RESPONSES
SOURCE, MESSAGES = EnrichmentKind.MESSAGE_SOURCE, EnrichmentKind.MESSAGES
ALL = (INSIGHTS, RECOMMENDED, SOURCE, MESSAGES)
TYPES = ("recommended-responses", "interaction-insights", "conversation-messages")
"""Of ALL where nothing is voice, in the order in which they come."""
FAILED = "bridge-enrichment-failed"


def bench_of(*kinds: EnrichmentKind | WantedEnrichment, **options: Any) -> Bench:
    """A bench whose only route wants these."""
    routes = FakeRoutes()
    wanted = [one if isinstance(one, WantedEnrichment) else WantedEnrichment(one) for one in kinds or ALL]
    routes.add(Route("rich"), Rendered(enrich=tuple(wanted)))
    return Bench(routes=routes, **options)


def extras(bench: Bench, event_id: str = "e1") -> list[str]:
    """The types of what came after the ending, in order."""
    types = bench.types(event_id)
    return types[types.index("interaction-complete") + 1 :]


async def test_each_is_published_once_after_the_ending_and_before_the_ack() -> None:
    async with bench_of() as bench:
        bench.deliver("e1")
        await bench.quiet()
        assert extras(bench) == list(TYPES)
        assert bench.order()[-1] == "ack"
        assert bench.ledger.entries["e1"].is_final


async def test_the_body_has_the_apis_own_object_and_says_what_it_is_about() -> None:
    async with bench_of() as bench:
        bench.deliver("e1")
        await bench.quiet()
        talk = bench.agent.talks[0]
        about = {
            "event_id": "e1",
            "conversation_id": talk.id,
            "interaction_id": talk.messages[0].interaction_id,
        }
        (insights,) = bench.said("interaction-insights")
        assert insights == {
            "type": "interaction-insights",
            **about,
            "result": {"current_state_name": "inform", "number": 2},
        }
        (recommended,) = bench.said("recommended-responses")
        assert recommended["result"] == {"recommended_responses": ["Yes 1", "No"]}
        (messages,) = bench.said("conversation-messages")
        assert [row["message"] for row in messages["result"]["messages"]] == ["Tell e1", "Answer to Tell e1"]


async def test_ids_headers_and_keys_are_those_of_other_events() -> None:
    async with bench_of() as bench:
        bench.deliver("e1", channel="sms")
        await bench.quiet()
        for message in bench.out("e1")[-3:]:
            assert message.message_id == f"e1:{message.type}"
            assert message.routing_key == f"text.sms.{message.type}"
            assert message.correlation_id == "e1"
            assert message.headers["route"] == "rich"
            assert message.headers["conversation_id"] == bench.agent.talks[0].id
            assert {"stream", "sequence"}.isdisjoint(message.headers)


async def test_the_messages_are_those_of_the_events_interaction_alone() -> None:
    async with bench_of(MESSAGES) as bench:
        bench.deliver("e1")
        bench.deliver("e2")
        await bench.quiet()
        (body,) = bench.said("conversation-messages", "e2")
        assert [row["message"] for row in body["result"]["messages"]] == ["Tell e2", "Answer to Tell e2"]


async def test_every_voice_message_has_a_source_of_its_own() -> None:
    async with bench_of(SOURCE) as bench:
        gate = Gate()
        bench.agent.script(answered(gate, complete()))
        bench.deliver("e1")
        await gate.reached.wait()
        number = int(bench.agent.talks[0].id[1:], 16) + 1
        ids = [f"{letter}{number:023x}" for letter in "bd"]
        bench.source.voice.update(ids)
        gate.open()
        await bench.quiet()
        sources = [message for message in bench.out("e1") if message.type == "message-source"]
        assert [message.message_id for message in sources] == [f"e1:message-source:{id_}" for id_ in ids]
        assert [orjson.loads(message.body)["message_id"] for message in sources] == ids


async def test_where_nothing_is_voice_there_is_no_source_and_no_failure() -> None:
    async with bench_of(SOURCE) as bench:
        bench.deliver("e1")
        await bench.quiet()
        assert extras(bench) == []
        assert bench.counters.enrichments == {("message-source", "none"): 1}
        assert bench.ledger.entries["e1"].is_final


async def test_an_event_that_wants_none_costs_no_write_and_no_call() -> None:
    writes = []
    for routes in (FakeRoutes(), FakeRoutes(Route("plain"))):
        async with Bench(routes=routes) as bench:
            bench.deliver("e1")
            await bench.quiet()
            assert not bench.source.journal
            writes.append([entry.state for entry in bench.ledger.written])
            assert all(entry.owed is None for entry in bench.ledger.written)
    assert writes[0] == writes[1]


@pytest.mark.parametrize(("kind", "cancels"), [("finish", None), ("tag", None), ("cancel", "e9")])
async def test_events_that_the_agent_does_not_answer_want_none(kind: str, cancels: str | None) -> None:
    async with bench_of() as bench:
        bench.deliver("e0")
        await bench.quiet()
        calls = len(bench.source.journal)
        bench.deliver("e1", kind=kind, message=None, tags={"a": "b"} if kind == "tag" else None, cancels=cancels)
        await bench.quiet()
        assert len(bench.source.journal) == calls
        assert len(bench.types("e1")) == 1


async def test_complete_is_written_with_what_is_owed_once_the_ending_is_confirmed() -> None:
    async with bench_of(INSIGHTS) as bench:
        bench.source.takes_s["insights"] = 5
        bench.deliver("e1")
        await bench.until(lambda: bench.source.journal, "insights are asked for")
        entry = bench.ledger.entries["e1"]
        assert entry.state is State.COMPLETE
        assert entry.owed is not None
        assert [one.kind for one in entry.owed.wanted] == [INSIGHTS]
        assert "interaction-complete" in bench.types()
        assert not bench.deliveries[0].acked


async def test_its_bytes_are_written_before_it_is_published() -> None:
    async with bench_of(INSIGHTS) as bench:
        bench.deliver("e1")
        await bench.quiet()
        recorded = [entry.owed.recorded for entry in bench.ledger.written if entry.owed and entry.owed.recorded]
        assert [message.body for messages in recorded for message in messages] == [bench.out()[-1].body]


async def test_recommended_responses_come_before_the_lane_is_free_and_the_others_after() -> None:
    async with bench_of() as bench:
        bench.source.takes_s.update({"recommended_responses": 5, "insights": 30})
        bench.deliver("e1")
        bench.deliver("e2")
        await bench.quiet()
        asked = [call.at_s for call in bench.agent.calls("create", "interact")]
        (recommended, _), (insights, _) = bench.source.calls("recommended_responses"), bench.source.calls("insights")
        assert asked[1] - recommended >= 5
        assert asked[1] < insights + 30
        assert all(FAILED not in bench.types(event_id) for event_id in ("e1", "e2"))


async def test_recommended_responses_come_before_an_after_finish() -> None:
    async with bench_of() as bench:
        bench.source.takes_s["recommended_responses"] = 10
        bench.deliver("e1", finish="after")
        await bench.quiet()
        await bench.until(lambda: not bench.ledger.dues, "it is finished")
        assert bench.agent.talks[0].finished
        assert [type_ for type_ in extras(bench) if type_ != "conversation-finished"] == list(TYPES)
        (finish,) = bench.agent.calls("finish")
        assert 10 <= finish.at_s - bench.source.calls("recommended_responses")[0] < 15


async def test_the_context_goes_along() -> None:
    async with bench_of(WantedEnrichment(RECOMMENDED, "The user is Ada.")) as bench:
        bench.deliver("e1")
        await bench.quiet()
        assert bench.source.contexts == ["The user is Ada."]


async def test_a_context_that_cannot_be_made_is_told_of_and_costs_nobody_anything() -> None:
    async with bench_of(WantedEnrichment(RECOMMENDED, error="template context: undefined"), INSIGHTS) as bench:
        bench.deliver("e1")
        await bench.quiet()
        assert extras(bench) == [FAILED, "interaction-insights"]
        assert not bench.source.calls("recommended_responses")


@pytest.mark.parametrize(
    "error",
    [NotSent("no"), Lost("reset"), Unavailable("503"), Refused("insights", 500, "no"), SignInRefused("no")],
    ids=str,
)
async def test_what_time_mends_is_tried_again(error: Exception) -> None:
    async with bench_of(INSIGHTS) as bench:
        bench.source.fail("insights", error, error)
        bench.deliver("e1")
        await bench.quiet()
        assert extras(bench) == ["interaction-insights"]
        assert len(bench.source.calls("insights")) == 3


async def test_a_limit_is_waited_for() -> None:
    async with bench_of(INSIGHTS) as bench:
        bench.source.fail("insights", TooEarly("429", 20.0))
        bench.deliver("e1")
        await bench.quiet()
        first, second = bench.source.calls("insights")
        assert second - first >= 20
        assert extras(bench) == ["interaction-insights"]


async def test_a_limit_that_lasts_longer_than_there_is_time_is_not_waited_for() -> None:
    async with bench_of(INSIGHTS) as bench:
        bench.source.fail("insights", TooEarly("429", 61.0))
        bench.deliver("e1")
        began_s = bench.now_s()
        await bench.quiet()
        assert bench.now_s() - began_s < 10
        (body,) = bench.said(FAILED)
        assert body["enrichment"] == "insights"
        assert "429" in body["error"]


@pytest.mark.parametrize("status", [400, 403, 422])
async def test_what_a_person_must_mend_is_given_up_at_once_and_the_event_is_complete(status: int) -> None:
    async with bench_of(INSIGHTS) as bench:
        bench.source.break_down("insights", Refused("insights", status, "no"))
        bench.deliver("e1")
        await bench.quiet()
        assert len(bench.source.calls("insights")) == 1
        (message,) = [each for each in bench.out() if each.type == FAILED]
        assert message.message_id == f"e1:{FAILED}:insights"
        body = orjson.loads(message.body)
        assert body == {
            "type": FAILED,
            "event_id": "e1",
            "conversation_id": bench.agent.talks[0].id,
            "enrichment": "insights",
            "error": f"insights was answered {status}: no",
        }
        assert not bench.dead()
        assert bench.deliveries[0].acked
        assert bench.counters.enrichments == {("interaction-insights", "failed"): 1}


async def test_what_lags_behind_is_looked_for_again_a_few_times() -> None:
    async with bench_of(INSIGHTS) as bench:
        bench.source.fail("insights", Refused("insights", 404, "not found"))
        bench.deliver("e1")
        await bench.quiet()
        assert extras(bench) == ["interaction-insights"]


async def test_messages_that_are_never_shown_are_given_up_soon() -> None:
    async with bench_of(MESSAGES, SOURCE) as bench:
        bench.source.shows_messages = False
        bench.deliver("e1")
        began_s = bench.now_s()
        await bench.quiet()
        assert bench.now_s() - began_s < 30
        assert [body["enrichment"] for body in bench.said(FAILED)] == ["messages", "message-source"]


async def test_all_of_it_has_a_minute_and_no_longer() -> None:
    async with bench_of() as bench:
        for operation in ("recommended_responses", "insights", "interaction_messages"):
            bench.source.break_down(operation, Lost("reset"))
        bench.deliver("e1")
        began_s = bench.now_s()
        await bench.quiet()
        assert bench.now_s() - began_s < 65
        assert extras(bench) == [FAILED] * 4
        assert {body["enrichment"] for body in bench.said(FAILED)} == set(ALL)


async def test_a_call_that_hangs_is_cut_at_the_end_of_the_time_and_the_lane_goes_on() -> None:
    async with bench_of(RECOMMENDED) as bench:
        bench.source.takes_s["recommended_responses"] = 1000
        bench.deliver("e1")
        bench.deliver("e2")
        await bench.until(lambda: len(bench.agent.calls("interact", "create")) == 2, "the next event has its turn", 70)
        await bench.quiet()
        assert extras(bench) == [FAILED]


async def test_one_that_has_to_wait_costs_the_others_nothing() -> None:
    async with bench_of() as bench:
        bench.source.takes_s["insights"] = 1000
        bench.deliver("e1")
        await bench.until(lambda: "conversation-messages" in bench.types(), "the messages are there", 5)
        await bench.quiet()
        assert [body["enrichment"] for body in bench.said(FAILED)] == ["insights"]


async def test_a_bug_is_told_of_and_costs_nobody_anything() -> None:
    async with bench_of(INSIGHTS) as bench:
        bench.bugs_expected = True
        bench.source.fail("insights", KeyError("oops"))
        bench.deliver("e1")
        await bench.quiet()
        assert extras(bench) == [FAILED]
        assert [line.event for line in bench.log.at("critical")] == ["enrichment.unhandled"]


async def test_an_answer_that_names_no_interaction_has_none() -> None:
    async with bench_of() as bench:
        bench.agent.script(Play((opening, b'{"type":"interaction-complete"}\n')))
        bench.deliver("e1")
        await bench.quiet()
        assert extras(bench) == [FAILED] * 4
        assert not bench.source.journal


async def test_what_the_broker_refuses_is_given_up_and_the_event_is_complete() -> None:
    async with bench_of(INSIGHTS) as bench:
        too_large = PublishRefusal(RefusalKind.IMPOSSIBLE, "too large")
        bench.publisher.refuse(9, too_large, lambda message: message.type == "interaction-insights")
        bench.deliver("e1")
        await bench.quiet()
        assert extras(bench) == []
        assert not bench.dead()
        assert bench.counters.enrichments[("interaction-insights", "refused")] == 1


async def test_a_crowd_of_events_is_enriched_side_by_side() -> None:
    async with bench_of() as bench:
        bench.source.takes_s["insights"] = 20
        for number in range(20):
            bench.deliver(f"e{number}", user_id=f"user-{number}")
        began_s = bench.now_s()
        await bench.quiet()
        assert bench.now_s() - began_s < 40
        assert all(sorted(extras(bench, f"e{number}")) == sorted(TYPES) for number in range(20))


async def test_conversations_are_finished_after_silence_as_without_enrichments() -> None:
    async with bench_of(defaults=Defaults(finish_s=30.0)) as bench:
        bench.deliver("e1")
        await bench.quiet()
        began_s = bench.now_s()
        await bench.until(lambda: not bench.ledger.dues, "it is finished")
        assert bench.now_s() - began_s < 45
