"""An event is planned once, when something is asked for it: docs/semantics.md, Planned once."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import orjson
import pytest

from bridge.core.answer.outbound_message import Outbound, RoutingKey
from bridge.core.delivery.progress import RequestKind
from bridge.core.delivery.retry import RetryPolicy
from bridge.core.errors import Lost, Refused
from bridge.core.event.event_fields import OnBusy
from bridge.core.event.inbound_message import PROGRESS
from bridge.core.event.route import ChannelDefaults, Defaults, Rendered, Route
from bridge.core.ledger.ledger_entry import Entry, State
from bridge.core.ledger.planned_event import PlannedEvent
from bridge.flow import failpoints
from tests.flow.test_ledger import Death
from tests.support.fakes import FakeLedger, FakeRoutes, Fate, Gate, Play, refused
from tests.support.flow_bench import Bench
from tests.support.making import unproved

SERVICE_A, SERVICE_B = "5f00000000000000000000aa", "5f00000000000000000000bb"
KEY = Outbound("agent.events", RoutingKey("{route}.{channel}.{version_set}.{user_id}.{source}.{type}"))
AS_A = {"route": "a", "channel": "sms", "user_id": "user-a", "service_id": SERVICE_A, "version_set": "canary"}
AS_B = {"route": "b", "channel": "email", "user_id": "user-b", "service_id": SERVICE_B, "version_set": "edge"}
DEFAULTS = Defaults(channels={"email": ChannelDefaults()})


@pytest.fixture(autouse=True)
def immortal() -> Iterator[None]:
    yield
    failpoints.listen(None)


def routes_a(text: str = "Tell e1", on_busy: OnBusy = OnBusy.INTERACT) -> FakeRoutes:
    routes = FakeRoutes()
    route = Route("a", service_id=SERVICE_A, channel="sms", version_set="canary", finish_s=60.0, on_busy=on_busy)
    routes.add(route, Rendered(message=text, user_id="user-a", tags={"source": "old"}))
    return routes


def routes_b(text: str = "Tell e1") -> FakeRoutes:
    routes = FakeRoutes()
    route = Route("b", service_id=SERVICE_B, channel="email", version_set="edge", finish_s=7_200.0)
    routes.add(route, Rendered(message=text, user_id="user-b", tags={"source": "new"}))
    return routes


def bench(routes: FakeRoutes | None = None, **more: Any) -> Bench:
    return Bench(routes=routes or routes_a(), outbounds=(KEY,), defaults=DEFAULTS, **more)


def deliver(it: Bench, event_id: str = "e1", **fields: Any) -> None:
    it.deliver(event_id, body=b'{"id": "%s", "data": {}}' % event_id.encode(), **fields)


def headers(it: Bench, event_id: str = "e1") -> dict[str, object]:
    (ending,) = [message for message in it.out(event_id) if message.type == "interaction-complete"]
    return {name: ending.headers.get(name) for name in AS_A}


def keys(it: Bench, event_id: str = "e1") -> set[str]:
    return {message.routing_key.rpartition(".")[0] for message in it.out(event_id)}


async def test_what_was_asked_is_looked_for_and_told_as_it_was_asked() -> None:
    async with bench() as it:
        it.agent.script(Play((Gate(),), Fate.SAVED))
        deliver(it)
        await it.until(lambda: it.agent.calls("create"), "it is asked")
        assert it.ledger.entries["e1"].progress.planned == PlannedEvent(
            user_id="user-a",
            service_id=SERVICE_A,
            channel="sms",
            version_set="canary",
            route="a",
            finish_s=60.0,
            response_format="text",
            tags={"source": "old"},
        )
        it.routes = routes_b("Another text")
        await it.restart()
        await it.quiet()
        assert {call.user_id for call in it.agent.calls("create", "conversations")} == {"user-a"}
        assert headers(it) == AS_A
        assert keys(it) == {"a.sms.canary.user-a.old"}
        due = next(iter(it.ledger.dues.values()))
        assert (due.user_id, due.service_id, due.channel, due.finish_s) == ("user-a", SERVICE_A, "sms", 60.0)


async def test_what_has_not_started_is_planned_anew() -> None:
    async with bench() as it:
        it.agent.script(Play((Gate(),), Fate.SAVED))
        deliver(it)
        await it.until(lambda: it.agent.calls("create"), "the first is asked")
        deliver(it, "e2")
        it.routes = routes_b()
        await it.restart()
        await it.quiet()
        assert headers(it) == AS_A
        assert headers(it, "e2") == AS_B
        assert keys(it, "e2") == {"b.email.edge.user-b.new"}


@pytest.mark.parametrize(
    "label", ["before-post", "post-answered", "line", "complete-read", "ending-recorded", "confirmed"]
)
async def test_at_whatever_step_the_process_dies_the_next_one_goes_on_as_planned(label: str) -> None:
    death = Death(label)
    async with bench() as it:
        deliver(it)
        await it.until(lambda: death.happened, "the process dies")
        it.routes = routes_b("Another text")
        await it.restart()
        await it.quiet()
        assert headers(it) == AS_A
        assert keys(it) == {"a.sms.canary.user-a.old"}
        assert sum(len(talk.messages) > 0 for talk in it.agent.talks) == 1


async def test_what_left_nothing_is_repeated_as_planned() -> None:
    async with bench() as it:
        it.agent.script(Play((Gate(),), Fate.ROLLED_BACK))
        deliver(it)
        await it.until(lambda: it.agent.calls("create"), "it is asked")
        it.routes = routes_b()
        await it.restart()
        await it.quiet()
        assert [call.user_id for call in it.agent.calls("create")] == ["user-a", "user-a"]
        assert headers(it) == AS_A


async def test_a_message_that_the_route_would_write_otherwise_now_is_found_by_what_it_was() -> None:
    async with bench() as it:
        talk = it.agent.open("user-a", SERVICE_A)
        it.agent.converse(talk, "Before")
        it.agent.script(Play((Gate(),), Fate.SAVED))
        deliver(it)
        await it.until(lambda: it.agent.calls("interact"), "it is asked")
        it.routes = routes_b("Another text")
        await it.restart()
        await it.quiet()
        assert (it.agent.heard("Tell e1"), it.agent.heard("Another text")) == (1, 0)
        assert headers(it) == {**AS_A, "version_set": None}


async def test_a_delayed_copy_carries_the_plan_where_the_ledger_has_it_no_more() -> None:
    now = ["a"]
    routes = FakeRoutes()
    for name, known in (("a", routes_a()), ("b", routes_b())):
        (entry,) = known.entries
        routes.add(entry.route, entry.rendered, lambda _, name=name: now == [name])  # type: ignore[misc]
    async with bench(routes, park_after_s=0.5) as it:
        it.agent.script(refused(Lost("the connection broke"), Fate.SAVED, settles_s=60.0))
        deliver(it)
        await it.until(lambda: it.republisher.delayed, "it waits in a delay queue")
        (copy,) = it.republisher.delayed
        assert orjson.loads(str(copy.headers[PROGRESS]))["planned"][:2] == ["user-a", SERVICE_A]
        it.ledger.entries.clear()
        now[:] = ["b"]
        await it.quiet()
        assert {call.user_id for call in it.agent.calls("create", "conversations")} == {"user-a"}
        assert headers(it) == AS_A


@pytest.mark.parametrize("error", [Lost("the connection broke"), Refused("create-conversation", 422, "No.")])
@pytest.mark.parametrize("label", ["dead-lettering", "dead-lettered"])
async def test_a_failure_is_told_as_it_was_planned(label: str, error: Exception) -> None:
    death = Death(label)
    async with bench(policy=RetryPolicy(attempts=1)) as it:
        it.agent.script(refused(error, Fate.HEARD))
        deliver(it)
        await it.until(lambda: death.happened, "the process dies")
        it.routes = routes_b()
        await it.restart()
        await it.quiet()
        assert keys(it) == {"a.sms.canary.user-a.old"}
        assert it.types() == ["bridge-failed"]


async def test_an_answer_is_published_as_planned_where_its_way_is_not_known() -> None:
    ledger = FakeLedger()
    planned = PlannedEvent("user-a", False, SERVICE_A, "sms", "canary", "a", 60.0, "text", {"source": "old"})
    progress = replace(unproved(RequestKind.CREATE, "c1", "0" * 12, 3), planned=planned, version_set="canary")
    body = b'{"type": "interaction-complete"}'
    ledger.entries["e1"] = Entry("e1", State.ANSWERED, b"", progress, ending=body)
    async with bench(routes_b(), ledger=FakeLedger(beside=ledger)) as it:
        deliver(it, redelivered=True)
        await it.quiet()
        assert headers(it) == AS_A
        assert it.attempts() == 0
