"""Routes as Jinja templates: sandboxed, strict, and never more than an invalid event."""

from typing import Any

import pytest
from jinja2 import TemplateError

from bridge.core.event import Event
from bridge.core.failure import InvalidEvent, NoRoute
from bridge.core.incoming import Incoming
from bridge.core.route import Rendered, Route
from bridge.edges.templates import JinjaRoutes

SERVICE = "5f0000000000000000000001"


def event(data: Any = None, **changes: Any) -> Event:
    return Event(id="e1", data=data, **changes)


def incoming(headers: dict[str, Any] | None = None, routing_key: str = "crm.alert.eu") -> Incoming:
    return Incoming(b"{}", headers=headers or {}, exchange="bridge.events", routing_key=routing_key)


def takes(when: str, data: Any, **more: Any) -> bool:
    route = Route("r", when=when, service_id=SERVICE)
    return JinjaRoutes([route]).match(event(data, service_id=SERVICE), incoming(**more)) is route


@pytest.mark.parametrize(
    ("when", "data", "taken"),
    [
        ("data.severity == 'high'", {"severity": "high"}, True),
        ("data.severity == 'high'", {"severity": "low"}, False),
        ("data.severity == 'high'", {}, False),
        ("data.severity == 'high'", None, False),
        ("data.severity == 'high'", "text", False),
        ("data.severity == 'high'", [1], False),
        ("data.a.b.c", {"a": {}}, False),
        ("data.count > 3", {"count": "many"}, False),
        ("data.items | length > 1", {"items": [1, 2]}, False),  # `items` is a method of the mapping
        ("data['items'] | length > 1", {"items": [1, 2]}, True),
        ("'x' in data.tags", {"tags": ["x"]}, True),
        ("data.a is defined and data.a", {}, False),
        ("routing_key.startswith('crm.')", None, True),
        ("headers.region == 'eu'", None, True),
        ("headers['x-missing'] == 1", None, False),
        ("source == ''", None, True),
        ("true", None, True),
        ("data", {}, False),
        ("1 / 0", None, False),
        ("no_such_name", None, False),
    ],
)
def test_an_expression_takes_an_event_or_not_and_never_fails(when: str, data: Any, taken: bool) -> None:
    assert takes(when, data, headers={"region": "eu"}) is taken


def test_the_origin_of_a_delayed_copy_is_what_the_templates_see() -> None:
    headers = {"x-bridge-exchange": "bridge.events", "x-bridge-routing-key": "crm.first"}
    assert takes("routing_key == 'crm.first'", None, headers=headers, routing_key="bridge.events")


def test_no_route_says_which_expressions_failed_and_how() -> None:
    routes = JinjaRoutes([Route("broken", when="data.a.b == 1"), Route("sober", when="false")])
    with pytest.raises(NoRoute) as none:
        routes.match(event({}), incoming())
    assert "broken" in str(none.value)
    assert "sober" not in str(none.value)
    assert none.value.event_id == "e1"


ATTACKS = [
    "{{ data.__class__ }}",
    "{{ data.__class__.__mro__[1].__subclasses__() }}",
    "{{ ''.__class__.__base__ }}",
    "{{ data.update({'a': 1}) }}",
    "{{ data.clear() }}",
    "{{ headers.pop('region') }}",
    "{{ self._TemplateReference__context }}",
    "{{ ''.format.__globals__ }}",
    "{{ '{0.__class__}'.format(data) }}",
    "{% include 'other' %}",
    "{% for number in range(10000000) %}x{% endfor %}",
]


@pytest.mark.parametrize("template", ATTACKS)
def test_a_template_reaches_nothing_but_what_it_is_given(template: str) -> None:
    data, headers = {"region": "eu"}, {"region": "eu"}
    route = Route("r", message=template, service_id=SERVICE)
    with pytest.raises(InvalidEvent):
        JinjaRoutes([route]).render(route, event(data), incoming(headers))
    assert (data, headers) == ({"region": "eu"}, {"region": "eu"})


@pytest.mark.parametrize(
    ("template", "data", "text"),
    [
        ("URGENT: {{ data.title }}", {"title": "fire"}, "URGENT: fire"),
        ("{{ data | tojson }}", {"a": "<&>"}, '{"a": "\\u003c\\u0026\\u003e"}'),
        ("{{ data.text }}", {"text": "<b>&amp;</b> {{ 7*7 }}"}, "<b>&amp;</b> {{ 7*7 }}"),
        ("{{ data.missing | default('none') }}", {}, "none"),
        ("{{ data.n }}", {"n": 7}, "7"),
        ("{% if data.a %}yes{% else %}no{% endif %}", {"a": False}, "no"),
    ],
)
def test_a_message_is_filled_in_as_it_stands(template: str, data: Any, text: str) -> None:
    route = Route("r", message=template, service_id=SERVICE)
    assert JinjaRoutes([route]).render(route, event(data), incoming()).message == text


@pytest.mark.parametrize("template", ["{{ data.missing }}", "{{ data.a.b }}", "{{ missing }}", "{{ 1 / 0 }}"])
def test_what_cannot_be_filled_in_names_route_and_template(template: str) -> None:
    for field, name in (("message", "message"), ("user_id", "user_id"), ("tags", "tags.where")):
        route = Route("alerts", channel="sms", **{field: {"where": template} if field == "tags" else template})
        with pytest.raises(InvalidEvent, match=f"route alerts: template {name}") as invalid:
            JinjaRoutes([route]).render(route, event({}), incoming())
        assert (invalid.value.event_id, invalid.value.channel) == ("e1", "sms")


def test_what_the_event_says_itself_needs_no_template() -> None:
    route = Route("r", message="{{ data.missing }}", user_id="{{ data.missing }}")
    rendered = JinjaRoutes([route]).render(route, event({}, message="own", user_id="own"), incoming())
    assert rendered == Rendered()


def test_an_error_of_a_template_does_not_repeat_the_events_data() -> None:
    """Errors are logged; bodies are not."""
    route = Route("r", message="{{ data.name.missing }}")
    with pytest.raises(InvalidEvent) as invalid:
        JinjaRoutes([route]).render(route, event({"name": "canary " * 50}), incoming())
    assert "canary" not in str(invalid.value)


@pytest.mark.parametrize(
    "route",
    [
        Route("r", when="data.a =="),
        Route("r", when=""),
        Route("r", message="{{ data.a "),
        Route("r", user_id="{% if %}"),
        Route("r", tags={"a": "{{ | }}"}),
        Route("r", message="{{ data | no_such_filter }}"),
    ],
)
def test_a_template_that_does_not_compile_is_an_error_at_the_start(route: Route) -> None:
    with pytest.raises((ValueError, TemplateError)):
        JinjaRoutes([route])
