"""The header `version_set`: the conversation's own, where it is known (docs/semantics.md, Outbound messages)."""

from typing import Any

import pytest

from bridge.core.answer.outbound_message import Outbound, RoutingKey
from bridge.core.event.route import Defaults, Route
from bridge.core.event.version_weights import version_set_of
from tests.support.fakes import FakeLedger, FakeRoutes
from tests.support.flow_bench import SERVICE, USER, Bench

WEIGHTS = {"release": 50.0, "canary": 50.0}
KEY = Outbound("agent.events", RoutingKey("{version_set}.{type}"))


def headers(it: Bench, event_id: str = "e1") -> set[Any]:
    return {message.headers.get("version_set") for message in it.out(event_id)}


def weighed() -> FakeRoutes:
    return FakeRoutes(Route("weighed", version_set=WEIGHTS))


async def test_a_conversation_that_the_bridge_started_has_its_version_set_also_for_who_joins() -> None:
    async with Bench() as it:
        it.deliver(version_set="canary")
        await it.quiet()
        it.deliver("e2", version_set="release")
        await it.quiet()
        assert len(it.agent.talks) == 1
        assert (headers(it), headers(it, "e2")) == ({"canary"}, {"canary"})


@pytest.mark.parametrize("version_set", ["edge", None])
async def test_a_conversation_of_somebody_else_has_it_where_it_is_listed(version_set: str | None) -> None:
    async with Bench(outbounds=(KEY,)) as it:
        talk = it.agent.open(USER, SERVICE)
        talk.version_set = version_set
        it.agent.converse(talk, "hello")
        it.deliver(version_set="canary")
        await it.quiet()
        assert headers(it) == {version_set}
        assert {message.routing_key.split(".")[0] for message in it.out()} == {version_set or "canary"}


async def test_the_users_id_decides_by_weight_where_a_conversation_is_started() -> None:
    async with Bench(routes=weighed()) as it:
        for number in range(8):
            it.deliver(f"e{number}", user_id=f"user-{number}")
        await it.quiet()
        chosen = [version_set_of(f"user-{number}", WEIGHTS) for number in range(8)]
        assert set(chosen) == set(WEIGHTS)
        assert [headers(it, f"e{number}") for number in range(8)] == [{one} for one in chosen]
        counts = {("weighed", name): chosen.count(name) for name in WEIGHTS}
        assert dict(it.counters.version_sets) == counts


async def test_weights_decide_only_at_create() -> None:
    async with Bench(routes=weighed()) as it:
        talk = it.agent.open(USER, SERVICE)
        talk.version_set = "edge"
        it.agent.converse(talk, "hello")
        it.deliver()
        await it.quiet()
        assert headers(it) == {"edge"}
        assert not it.counters.version_sets


async def test_a_user_who_is_found_by_e_mail_stays_with_one_too() -> None:
    async with Bench(routes=weighed(), defaults=Defaults(user_id="bridge-bot")) as it:
        for number in range(8):
            it.accounts.users[f"c{number}@example.com"] = [f"user-{number}"]
            it.deliver(f"e{number}", user_id=None, user={"email": f"c{number}@example.com"})
        await it.quiet()
        for number in range(8):
            assert headers(it, f"e{number}") == {version_set_of(f"user-{number}", WEIGHTS)}


async def test_what_never_became_a_conversation_has_none() -> None:
    async with Bench() as it:
        it.deliver(version_set="canary", conversation_id=None, message=" ")
        await it.quiet()
        assert headers(it) == {None}


async def test_an_ending_from_the_ledger_has_the_version_set_that_it_had() -> None:
    ledger = FakeLedger()
    async with Bench(ledger=ledger) as it:
        it.deliver(version_set="canary")
        await it.quiet()
        entry = next(entry for entry in it.ledger.written if entry.state == "answered")
    ledger.gone()
    ledger.entries["e1"] = entry
    async with Bench(ledger=FakeLedger(beside=ledger)) as other:
        other.deliver(version_set="canary")
        await other.quiet()
        assert headers(other) == {"canary"}
