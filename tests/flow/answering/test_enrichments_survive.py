"""Enrichments through deaths, lost leases, and times without ledger or broker: none is lost, none is doubled."""

import pytest

from bridge.core.answer.outbound_message import Outbound
from bridge.core.event.enrichment import EnrichmentKind
from bridge.core.event.route import Defaults
from bridge.flow.failpoints import ENRICH_LABELS
from tests.flow.answering.test_enrichments import ALL, FAILED, INSIGHTS, RECOMMENDED, TYPES, bench_of, extras
from tests.flow.test_ledger import Death, immortal
from tests.support.fakes import FakeLedger
from tests.support.flow_bench import KEY, Bench

__all__ = ["immortal"]
STEPS = ("confirmed", *ENRICH_LABELS, "before-complete", "before-ack")


def bodies_of(bench: Bench) -> dict[str, set[bytes]]:
    """Every body that was published under an id."""
    bodies: dict[str, set[bytes]] = {}
    for message in bench.publisher.confirmed:
        bodies.setdefault(message.message_id, set()).add(message.body)
    return bodies


@pytest.mark.parametrize("label", STEPS)
@pytest.mark.parametrize("passing", [1, 2, 3])
async def test_a_process_that_dies_at_any_step_loses_none_and_doubles_none(label: str, passing: int) -> None:
    async with bench_of() as bench:
        death = Death(label, passing) if label in ENRICH_LABELS else Death(label)
        bench.deliver("e1")
        await bench.until(lambda: death.happened, "the process dies")
        await bench.restart()
        await bench.quiet()
        assert extras(bench) == list(TYPES)
        assert all(len(bodies) == 1 for bodies in bodies_of(bench).values())
        assert bench.ledger.entries["e1"].is_final
        assert bench.agent.heard("Tell e1") == 1


async def test_a_repeat_while_they_are_seen_to_takes_over_the_right_to_ack() -> None:
    async with bench_of(INSIGHTS) as bench:
        bench.source.takes_s["insights"] = 10
        first = bench.deliver("e1")
        await bench.until(lambda: bench.source.journal, "insights are asked for")
        second = bench.redeliver(first)
        await bench.quiet()
        assert second.acked
        assert len(bench.source.calls("insights")) == 1


async def test_a_repeat_of_one_that_is_complete_with_enrichments_due_does_them_then_acks() -> None:
    async with bench_of(INSIGHTS) as bench:
        death = Death("enrichment-recorded")
        bench.deliver("e1")
        await bench.until(lambda: death.happened, "the process dies")
        await bench.restart()
        await bench.quiet()
        assert len(bench.source.calls("insights")) == 1  # its bytes were known
        assert bench.attempts() == 1
        assert bench.counters.repeats == 1


async def test_what_is_recovered_from_history_is_enriched_too() -> None:
    async with bench_of() as bench:
        death = Death("complete-read")
        bench.deliver("e1")
        await bench.until(lambda: death.happened, "the process dies")
        await bench.restart()
        await bench.quiet()
        assert bench.out()[-4].headers.get("recovered") is True
        assert extras(bench) == list(TYPES)


async def test_after_its_time_what_could_not_be_read_is_told_of_by_whoever_comes_next() -> None:
    async with bench_of(INSIGHTS) as bench:
        death = Death("confirmed")
        bench.deliver("e1")
        await bench.until(lambda: death.happened, "the process dies")
        await bench.restart()
        await bench.quiet()
        death = Death("enrichment-read")
        bench.deliver("e2")
        await bench.until(lambda: death.happened, "the process dies")
        await bench.wait(100)
        await bench.restart()
        await bench.quiet()
        assert extras(bench, "e1") == ["interaction-insights"]
        assert extras(bench, "e2") == [FAILED]


async def test_another_replica_leaves_them_alone_while_the_lease_runs() -> None:
    ledger = FakeLedger()
    async with bench_of(INSIGHTS, ledger=ledger) as bench, bench_of(ledger=FakeLedger(beside=ledger)) as other:
        bench.source.takes_s["insights"] = 20
        bench.deliver("e1")
        await bench.until(lambda: bench.source.journal, "insights are asked for")
        other.deliver("e1")
        await bench.quiet()
        await other.quiet()
        assert not other.source.journal
        assert not other.publisher.confirmed


async def test_a_lease_that_is_lost_leaves_them_to_who_has_it_now() -> None:
    async with bench_of(INSIGHTS) as bench:
        bench.source.takes_s["insights"] = 20
        bench.deliver("e1")
        await bench.until(lambda: bench.source.journal, "insights are asked for")
        other = FakeLedger(beside=bench.ledger)
        await bench.ledger.release(["e1"])
        await other.claim("e1", b"")
        bench.source.takes_s["insights"] = 0
        await bench.wait(30)
        assert extras(bench) == []
        await other.release(["e1"])
        await bench.quiet()
        assert extras(bench) == ["interaction-insights"]
        assert bench.deliveries[0].acked


@pytest.mark.parametrize("kind", ALL)
async def test_without_the_ledger_nothing_is_said_that_it_does_not_have(kind: EnrichmentKind) -> None:
    async with bench_of(kind) as bench:
        bench.source.takes_s["insights"] = bench.source.takes_s["recommended_responses"] = 1
        bench.source.takes_s["interaction_messages"] = 1
        bench.deliver("e1")
        await bench.until(lambda: bench.source.journal, "it is asked for")
        bench.ledger.break_down()
        await bench.wait(30)
        assert extras(bench) == []
        bench.ledger.mend()
        await bench.quiet()
        assert FAILED not in extras(bench)
        assert bench.ledger.entries["e1"].is_final


async def test_where_the_ledger_is_done_without_they_are_seen_to_all_the_same() -> None:
    async with bench_of(when_lost="ask") as bench:
        bench.ledger.break_down()
        bench.deliver("e1")
        await bench.quiet()
        assert extras(bench) == list(TYPES)
        bench.ledger.mend()


async def test_a_stop_leaves_the_rest_to_the_next_process() -> None:
    async with bench_of(INSIGHTS) as bench:
        bench.source.takes_s["insights"] = 50
        bench.deliver("e1")
        await bench.until(lambda: bench.source.journal, "insights are asked for")
        assert await bench.stop(5) == 1
        assert not bench.deliveries[0].acked
        bench.source.takes_s["insights"] = 0
        await bench.restart()
        await bench.quiet()
        assert extras(bench) == ["interaction-insights"]


async def test_without_the_broker_a_replica_lets_go_of_them() -> None:
    async with bench_of(INSIGHTS) as bench:
        bench.source.takes_s["insights"] = 50
        delivery = bench.deliver("e1")
        await bench.until(lambda: bench.source.journal, "insights are asked for")
        bench.publisher.lose()
        delivery.die()
        await bench.until(lambda: not bench.event_intake.in_hand, "it is let go", 45)
        assert not bench.ledger.in_hand
        bench.publisher.reconnect()
        bench.source.takes_s["insights"] = 0
        bench.redeliver(delivery)
        await bench.quiet()
        assert FAILED not in extras(bench)


async def test_an_outbound_that_is_configured_no_more_is_left_out() -> None:
    async with bench_of(INSIGHTS, outbounds=(Outbound("a", KEY), Outbound("b", KEY))) as bench:
        death = Death("enrichment-recorded")
        bench.deliver("e1")
        await bench.until(lambda: death.happened, "the process dies")
        bench.reconfigure(Outbound("b", KEY))
        await bench.restart()
        await bench.quiet()
        assert {each.exchange for each in bench.publisher.confirmed if each.type == "interaction-insights"} == {"b"}


@pytest.mark.parametrize("label", STEPS)
async def test_an_after_finish_waits_for_recommended_responses_through_a_death_too(label: str) -> None:
    async with bench_of(RECOMMENDED) as bench:
        death = Death(label)
        bench.deliver("e1", finish="after")
        await bench.until(lambda: death.happened, "the process dies")
        await bench.restart()
        await bench.quiet()
        await bench.until(lambda: not bench.ledger.dues, "it is finished")
        assert "recommended-responses" in bench.types()
        assert FAILED not in bench.types()


@pytest.mark.parametrize("label", STEPS)
async def test_of_a_user_by_e_mail_they_are_seen_to_in_that_users_name(label: str) -> None:
    async with bench_of(RECOMMENDED, INSIGHTS, defaults=Defaults(user_id="bridge-bot")) as bench:
        bench.accounts.users["ada@example.com"] = ["user-7"]
        death = Death(label)
        bench.deliver("e1", user_id=None, user={"email": "ada@example.com"})
        await bench.until(lambda: death.happened, "the process dies")
        await bench.restart()
        await bench.quiet()
        assert extras(bench) == ["recommended-responses", "interaction-insights"]
        assert {message.headers["user_id"] for message in bench.out()} == {"user-7"}
