"""The routes port: the fake of the flow's tests, and Jinja."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest

from bridge.core.errors import InvalidEvent, NoRoute
from bridge.core.event.event import Event
from bridge.core.event.inbound_message import InboundMessage
from bridge.core.event.route import Rendered, Route
from bridge.edges.jinja import JinjaRoutes
from bridge.flow.ports.api import Routes
from tests.support.fakes import FakeRoutes

SERVICE = "5f0000000000000000000001"
INCOMING = InboundMessage(b"{}", headers={"region": "eu"}, exchange="bridge.events", routing_key="crm.alert")


def jinja(routes: Sequence[Route]) -> Routes:
    return JinjaRoutes(routes)


def is_wanted(severity: str | None, event: Event) -> bool:
    return severity is None or event.data["severity"] == severity


def fake(routes: Sequence[Route]) -> Routes:
    """What the templates of these tests come to, said in Python."""
    made = FakeRoutes()
    for route in routes:
        rendered: Rendered | Exception = Rendered(
            message="Tell Ada" if route.message else None,
            user_id="ada" if route.user_id else None,
            tags=dict(route.tags),
        )
        if route.message == "{{ data.missing }}":
            rendered = InvalidEvent("template message: missing is undefined", "e1", "sms")
        wanted = route.when.split("'")[1] if route.when else None
        made.add(route, rendered, partial(is_wanted, wanted))
    return made


@pytest.fixture(params=[fake, jinja], ids=["fake", "real"])
def make(request: pytest.FixtureRequest) -> Any:
    return request.param


def event(**changes: Any) -> Event:
    return Event(**{"id": "e1", "data": {"severity": "high", "name": "Ada"}, **changes})


HIGH = Route("high", when="data.severity == 'high'", service_id=SERVICE)
LOW = Route("low", when="data.severity == 'low'", service_id=SERVICE)
REST = Route("rest", service_id=SERVICE)


def test_the_first_route_that_takes_the_event_is_the_one(make: Any) -> None:
    routes = make([LOW, HIGH, REST])
    assert routes.match(event(), INCOMING) is HIGH
    assert routes.match(event(data={"severity": "low"}), INCOMING) is LOW
    assert routes.match(event(data={"severity": "odd"}), INCOMING) is REST


def test_without_a_route_the_event_must_name_its_service_itself(make: Any) -> None:
    for routes in (make([]), make([LOW])):
        assert routes.match(event(service_id=SERVICE), INCOMING) is None
        with pytest.raises(NoRoute) as none:
            routes.match(event(channel="sms"), INCOMING)
        assert (none.value.event_id, none.value.channel) == ("e1", "sms")


def test_templates_are_filled_in(make: Any) -> None:
    route = Route("r", message="Tell {{ data.name }}", user_id="{{ data.name | lower }}", tags={"source": "crm"})
    found = make([route]).render(route, event(), INCOMING)
    assert found == Rendered(message="Tell Ada", user_id="ada", tags={"source": "crm"})


def test_a_route_without_templates_renders_nothing(make: Any) -> None:
    assert make([REST]).render(REST, event(), INCOMING) == Rendered()


def test_a_template_that_cannot_be_filled_in_makes_the_event_invalid(make: Any) -> None:
    route = Route("r", message="{{ data.missing }}", channel="sms")
    with pytest.raises(InvalidEvent) as invalid:
        make([route]).render(route, event(), INCOMING)
    assert (invalid.value.event_id, invalid.value.channel) == ("e1", "sms")
    assert "message" in str(invalid.value)
