"""Routes as Jinja templates: sandboxed, strict, and never more than an invalid event."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from jinja2 import TemplateError

from bridge.core.errors import InvalidEvent, NoRoute
from bridge.core.event.event import Event
from bridge.core.event.inbound_message import InboundMessage
from bridge.core.event.route import Rendered, Route
from bridge.edges.jinja import JinjaRoutes

SERVICE = "5f0000000000000000000001"


def event(data: Any = None, **changes: Any) -> Event:
    return Event(id="e1", data=data, **changes)


def incoming(headers: dict[str, Any] | None = None, routing_key: str = "crm.alert.eu") -> InboundMessage:
    return InboundMessage(b"{}", headers=headers or {}, exchange="bridge.events", routing_key=routing_key)


def filled(template: str, data: Any, **more: Any) -> str | None:
    route = Route("r", message=template, service_id=SERVICE)
    return JinjaRoutes([route]).render(route, event(data), incoming(**more)).message


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
        ("data.items | length > 1", {"items": [1, 2]}, True),  # a key wins over the mapping's method
        ("data.items", {}, False),
        ("data.items is defined", {}, False),
        ("data['items'] is defined", {}, False),
        ("data.count is defined", {"count": 0}, True),
        ("data.get('a') == 1", {"a": 1}, True),
        ("data.get('a') == 1", {"a": 1, "get": 2}, True),
        ("data.amount > 9.99", {"amount": Decimal("10.00")}, True),
        ("data.amount > 9.99", {"amount": Decimal("9.99")}, False),
        ("data.amount == 9.99", {"amount": Decimal("9.990")}, True),
        ("data.amount in [1.1, 9.99]", {"amount": Decimal("9.99")}, True),
        ("data.amount in (5, 7)", {"amount": Decimal("5.0")}, True),
        ("data.cents / 100 == 19.99", {"cents": 1999}, True),
        ("{1.1: true}[data.amount]", {"amount": Decimal("1.10")}, True),
        ("data.amount is eq(1.1)", {"amount": Decimal("1.10")}, True),
        ("0 < data.amount <= 1.1", {"amount": Decimal("1.10")}, True),
        ("data.id == 123456789012345678901234567890", {"id": 123456789012345678901234567890}, True),
        ("data.id == 123456789012345678901234567891", {"id": 123456789012345678901234567890}, False),
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
        ("{{ data.n }} {{ data.l }}", {"n": None, "l": [True, {"a": Decimal("1.10")}]}, 'null [true,{"a":1.10}]'),
        ("{{ data.n ~ data.t }}", {"n": None, "t": True}, "nulltrue"),
        ("{{ data.t | string }}{{ data.t | upper }}", {"t": True}, "trueTRUE"),
        ("{{ data.l | join(', ') }}", {"l": [1, None, "a", Decimal("1.10")]}, "1, null, a, 1.10"),
        ("{{ 'v=%s %s' % (data.t, data.n) }}", {"t": True, "n": None}, "v=true null"),
        ("{{ 'v={} {n!r}'.format(data.t, n=data.n) }}", {"t": True, "n": None}, "v=true null"),
        ("{{ data.l | map('upper') }}", {"l": ["a"]}, '["A"]'),
        ("{{ data.keys }}", {"keys": "a"}, "a"),
        ("{{ data.items() }}", {"a": 1}, '[["a",1]]'),
        ("{% for k, v in data.items() %}{{ k }}={{ v }};{% endfor %}", {"items": 1, "b": 2}, "items=1;b=2;"),
        ("{{ data.get('x', 'none') }}{{ data.text.upper() }}", {"text": "a"}, "noneA"),
        ("{{ data.list.index }}", {"list": {"index": 3}}, "3"),
        ("{{ loop }}{% for x in data.l %}{{ loop.index }}/{{ loop.length }}{{ x }} {% endfor %}", {"l": "ab"}, None),
        ("{% for x in data.l %}{{ loop.index }}/{{ loop.length }}{{ x }} {% endfor %}", {"l": "ab"}, "1/2a 2/2b "),
        ("{% for x in data.l if x > 1 %}{{ x }}{% else %}-{% endfor %}", {"l": [1, 2, 3]}, "23"),
        ("{% for x in data.l recursive %}{{ x.n }}{{ loop(x.l) }}{% endfor %}", {"l": [{"n": 1, "l": []}]}, "1"),
        (
            "{% set ns = namespace(n=0) %}{% for x in data.l %}{% set ns.n = ns.n + x %}{% endfor %}{{ ns.n }}",
            {"l": [1, 2]},
            "3",
        ),
        ("{% macro m(a, b=2) %}{{ a }}-{{ b }}{% endmacro %}{{ m(data.a) }}", {"a": 1}, "1-2"),
        ("{% filter upper %}{{ data.a }}{% endfilter %}{% set x %}b{{ data.a }}{% endset %}{{ x }}", {"a": "a"}, "Aba"),
        ("{{ data.text[1:3] }}{{ data.l[-1] }}{{ data.l[:1] | first }}", {"text": "abcd", "l": [1, 2]}, "bc21"),
        ("{{ [1.5, 2.5] | sum }} {{ (1, 2)[0] }} {{ not data.a }}", {"a": 0}, "4.0 1 true"),
    ],
)
def test_a_message_is_filled_in_as_it_stands(template: str, data: Any, text: str | None) -> None:
    if text is None:
        with pytest.raises(InvalidEvent):
            filled(template, data)
    else:
        assert filled(template, data) == text


def with_template(field: str, template: str, name: str = "r") -> Route:
    """A route with the template in this field alone."""
    fields: dict[str, Any] = {field: {"where": template} if field == "tags" else template}
    return Route(name, channel="sms", **fields)


@pytest.mark.parametrize("template", ["{{ data.missing }}", "{{ data.a.b }}", "{{ missing }}", "{{ 1 / 0 }}"])
def test_what_cannot_be_filled_in_names_route_and_template(template: str) -> None:
    for field, name in (("message", "message"), ("user_id", "user_id"), ("tags", "tags.where")):
        route = with_template(field, template, "alerts")
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


METHODS = [
    "{{ data.items }}",
    "{{ data['keys'] }}",
    "{{ data.text.upper }}",
    "{{ data.list.count }}",
    "{{ data.text.format }}",
]


@pytest.mark.parametrize("template", METHODS)
def test_a_method_that_is_not_called_is_an_error_and_never_python_in_the_agents_ear(template: str) -> None:
    with pytest.raises(InvalidEvent, match="template message"):
        filled(template, {"text": "a", "list": []})


@pytest.mark.parametrize(
    "name", ["items", "keys", "values", "get", "pop", "update", "copy", "count", "index", "format"]
)
def test_a_key_of_the_data_wins_over_a_method_of_the_same_name(name: str) -> None:
    data = {name: "mine", "in": {name: 5}}
    for template in (
        f"{{{{ data.{name} }}}}",
        f"{{{{ data['{name}'] }}}}",
        f"{{{{ [data] | map(attribute='{name}') | first }}}}",
    ):
        assert filled(template, data) == "mine"
    assert takes(f"data.in.{name} == 5", data)
    assert filled(f"{{{{ headers.{name} }}}}", {}, headers={name: "h"}) == "h"


@pytest.mark.parametrize("value", [None, True, False, {}, {"a": 1}, [], [1]], ids=repr)
@pytest.mark.parametrize(
    "template",
    [
        "{{ data.x }}",
        "u-{{ data.x }}",
        "{{ 'u' ~ data.x }}",
        "{{ data.x | string }}",
        "{{ data.x | lower }}",
        "{{ [data.x] | join }}",
        "{{ '%s' % (data.x,) }}",
        "{{ '{}'.format(data.x) }}",
        "{% set x = data.x %}{{ x }}",
        "{% macro m(x) %}{{ x }}{% endmacro %}{{ m(data.x) }}",
    ],
)
def test_null_booleans_and_containers_are_no_name_and_no_tag(template: str, value: Any) -> None:
    for field in ("user_id", "tags"):
        route = with_template(field, template)
        with pytest.raises(InvalidEvent, match=f"route r: template {field}.*belongs") as invalid:
            JinjaRoutes([route]).render(route, event({"x": value}), incoming())
        assert (invalid.value.event_id, invalid.value.channel) == ("e1", "sms")


def test_constants_are_held_to_the_same() -> None:
    route = Route("r", user_id="{{ none }}")
    with pytest.raises(InvalidEvent, match="null came"):
        JinjaRoutes([route]).render(route, event({}), incoming())


@pytest.mark.parametrize(
    ("value", "text"), [("ada", "ada"), (42, "42"), (2**70, str(2**70)), (Decimal("1.10"), "1.10")]
)
def test_text_and_numbers_are_a_name(value: Any, text: str) -> None:
    route = Route("r", user_id="{{ data.x }}", tags={"t": "a {{ data.x }}"})
    rendered = JinjaRoutes([route]).render(route, event({"x": value}), incoming())
    assert (rendered.user_id, rendered.tags) == (text, {"t": f"a {text}"})


def test_headers_of_other_kinds_are_told_as_text() -> None:
    headers = {"b": b"caf\xc3\xa9", "t": datetime(2024, 5, 1, 12, tzinfo=UTC), "d": Decimal("1.10"), "n": None}
    said = filled("{{ headers.b }} {{ headers.t }} {{ headers.d }} {{ headers.n }}", {}, headers=headers)
    assert said == "café 2024-05-01T12:00:00+00:00 1.10 null"


@pytest.mark.parametrize(
    "route",
    [
        Route("r", when="data.a =="),
        Route("r", when="data.a data.b"),
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
