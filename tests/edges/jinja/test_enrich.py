"""Enrichments of routes as Jinja expressions and templates: nothing that is wrong with one is the event's fault."""

from typing import Any

import pytest

from bridge.core.event.enrichment import Enrichment, EnrichmentKind, WantedEnrichment
from bridge.core.event.event import Event
from bridge.core.event.event_fields import EventKind
from bridge.core.event.inbound_message import InboundMessage
from bridge.core.event.route import Route
from bridge.edges.jinja import JinjaRoutes

INSIGHTS, RECOMMENDED = EnrichmentKind.INSIGHTS, EnrichmentKind.RECOMMENDED_RESPONSES
SERVICE = "5f0000000000000000000001"


def wanted(data: Any, *enrich: Enrichment, kind: EventKind = EventKind.EXTERNAL_EVENT) -> tuple[WantedEnrichment, ...]:
    route = Route("r", message="hello", service_id=SERVICE, enrich=enrich)
    incoming = InboundMessage(b"{}", headers={"tier": "gold"}, exchange="bridge.events", routing_key="crm.alert")
    return JinjaRoutes([route]).render(route, Event(id="e1", data=data, kind=kind), incoming).enrich


@pytest.mark.parametrize(
    ("when", "holds"),
    [
        (None, True),
        ("data.vip", True),
        ("not data.vip", False),
        ("headers.tier == 'gold'", True),
        ("routing_key == 'crm.alert'", True),
        ("data.nothing.at.all", False),
        ("data.vip > 'x'", False),
    ],
)
def test_when_decides_and_one_that_fails_does_not_hold(when: str | None, holds: bool) -> None:
    assert wanted({"vip": 1}, Enrichment(INSIGHTS, when)) == ((WantedEnrichment(INSIGHTS),) if holds else ())


def test_the_context_is_filled_in() -> None:
    enrichment = Enrichment(RECOMMENDED, context="The user is {{ data.name }}.")
    assert wanted({"name": "Ada"}, enrichment) == (WantedEnrichment(RECOMMENDED, "The user is Ada."),)


@pytest.mark.parametrize("context", ["{{ data.name }}", "{{ 1 / 0 }}", "{{ 'x' * 9999999 }}"])
def test_a_context_that_fails_is_an_error_of_the_enrichment_alone(context: str) -> None:
    (one,) = wanted({}, Enrichment(RECOMMENDED, context=context))
    assert one.context is None
    assert one.error is not None
    assert one.error.startswith("template context: ")


@pytest.mark.parametrize("kind", [EventKind.FINISH, EventKind.TAG, EventKind.CANCEL])
def test_events_that_the_agent_does_not_answer_want_none(kind: EventKind) -> None:
    assert wanted({}, Enrichment(INSIGHTS), kind=kind) == ()


@pytest.mark.parametrize("kind", [EventKind.USER_MESSAGE, EventKind.AGENT_FIRST])
def test_all_others_do(kind: EventKind) -> None:
    assert wanted({}, Enrichment(INSIGHTS), kind=kind) == (WantedEnrichment(INSIGHTS),)
