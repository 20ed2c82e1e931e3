"""What foreign data cannot make an operator's template do: multiply, raise, repeat, search or count without end.

Nothing here looks at a clock: without its bound each of these takes seconds to years, or gigabytes.
"""

import tracemalloc
from typing import Any

import pytest

from bridge.core import numbers
from bridge.core.errors import InvalidEvent
from bridge.core.event.event import Event
from bridge.core.event.inbound_message import InboundMessage
from bridge.core.event.route import Route
from bridge.edges.jinja import JinjaRoutes

M = 1_000_000
SERVICE = "5f0000000000000000000001"
INCOMING = InboundMessage(b"{}", queue="bridge.events", exchange="bridge.events", routing_key="k")


def nested(deep: int) -> list[Any]:
    made: list[Any] = []
    for _ in range(deep):
        made = [made]
    return made


HOSTILE: dict[str, Any] = {
    "n": 10**9,
    "text": "x" * M,
    "words": "word " * (M // 5),
    "dashes": "-" * M,
    "brackets": ")" * M,
    "lines": "\n" * M,
    "tabs": "\t" * 1000,
    "half": "ab" * (M // 4),
    "sharp": "\u00df" * M,
    "list": list(range(100_000)),
    "texts": ["x" * 10] * 50_000,
    "lists": [[1]] * 90_000,
    "rows": [{"a": number, "b": str(number)} for number in range(30_000)],
    "nested": nested(300),
    "percent": "%1000000000d",
    "percents": "%(text)s" * 100_000,
    "braces": "{:>1000000000}",
    "fields": "{0}" * 300_000,
    "long": numbers.loads(b"9" * 900_000),
    "hex": "f" * 900_000,
    "spy": "{0.__class__.__mro__}",
}

DOUBLED = (
    "{% set ns = namespace(x=[1], y=[1]) %}{% for i in data.list[:60] %}"
    "{% set ns.x = [ns.x, ns.x] %}{% set ns.y = [ns.y, ns.y] %}{% endfor %}"
)
TUPLES = "{% set ns = namespace(d=()) %}{% for i in range(9000) %}{% set ns.d = (ns.d,) %}{% endfor %}"
PLACES = [
    # multiplied and repeated
    "{{ data.text * 100 }}",
    "{{ 100 * data.text }}",
    "{{ 'x' * data.n }}",
    "{{ data.list * 100 }}",
    "{{ ([data.text] * 1000) | join }}",
    "{{ [data.text] * 1000 }}",
    "{{ data.text + data.text }}",
    "{{ data.text ~ data.text }}",
    "{{ data.text }}{{ data.text }}",
    "{% set a %}{{ data.text }}{{ data.text }}{% endset %}{{ a | length }}",
    # widths
    "{{ 'x' | center(data.n) }}",
    "{{ 'x'.center(data.n) }}",
    "{{ 'x'.ljust(data.n) }}",
    "{{ 'x'.rjust(data.n, '-') }}",
    "{{ 'x'.zfill(data.n) }}",
    "{{ data.tabs.expandtabs(data.n) }}",
    "{{ data.tabs.expandtabs(tabsize=data.n) }}",
    "{{ data.lines | indent(data.n) }}",
    "{{ data.lines | indent(data.text) }}",
    "{{ data.percent % 5 }}",
    "{{ data.percent | format(5) }}",
    "{{ '%*d' % (data.n, 5) }}",
    "{{ '%.*f' % (data.n, 5) }}",
    "{{ data.braces.format(5) }}",
    "{{ '{:>{w}}'.format('x', w=data.n) }}",
    "{{ data.braces.format_map({}) }}",
    "{{ data.list | batch(data.n, 'x') | list }}",
    "{{ data.list | slice(data.n) | list }}",
    # text that is marked as safe has methods of its own
    "{{ ('x' | safe).center(data.n) }}",
    "{{ ('x' | e).rjust(data.n) }}",
    "{{ (5 | tojson).zfill(data.n) }}",
    "{{ (data.tabs | forceescape).expandtabs(data.n) }}",
    "{{ (data.words | safe).replace('w', data.text) }}",
    "{{ (data.text | safe).join(data.texts) }}",
    "{{ (data.text | safe).translate({120: data.text}) }}",
    "{{ (data.braces | safe).format(5) }}",
    "{{ (data.braces | safe).format_map({}) }}",
    "{{ (data.spy | e).format(data.n) }}",
    "{% autoescape true %}{% set a %}x{% endset %}{{ a.center(data.n) }}{% endautoescape %}",
    "{% autoescape true %}{% set a %}{{ data.spy }}{% endset %}{{ a.format(data.n) }}{% endautoescape %}",
    "{% macro m() %}{{ data.spy }}{% endmacro %}{{ m().format(data.n) }}",
    # one thing in many places
    "{{ data.percents % data }}",
    "{{ data.fields.format(data.text) }}",
    "{{ data.words | replace('w', data.text) }}",
    "{{ data.words.replace('w', data.text) }}",
    "{{ data.words | replace('', data.text) }}",
    "{{ data.texts | join(data.text) }}",
    "{{ data.text.join(data.texts) }}",
    "{{ data.text.translate({120: data.text}) }}",
    "{{ data.words | wordwrap(5, wrapstring=data.text) }}",
    "{{ '<' | replace('<', data.text) * 2 }}",
    "{{ ('<' * 600000) | escape }}",
    "{{ data.sharp | upper }}",
    "{{ data.nested | tojson(indent=data.n) * 9 }}",
    "{{ data | tojson }}",
    "{{ data | pprint }}",
    "{{ data }}",
    TUPLES + "{{ ns.d | string }}",
    TUPLES + "{{ ns.d | tojson }}",
    TUPLES + "{{ ns.d }}",
    # numbers without end
    "{{ data.hex | int(base=16) }}",
    "{{ (data.hex | int(base=16)) / 3.5 }}",
    "{{ ('0x' ~ data.hex[:200000]) | int(0, 0) // 7.5 }}",
    # loops
    "{% for x in range(data.n) %}x{% endfor %}",
    "{% for x in data.list %}{% endfor %}",
    "{% for x in data.list if x < 0 %}{% endfor %}",
    "{% for x in data.list[:300] %}{% for y in data.list[:300] %}{% endfor %}{% endfor %}",
    "{% for x in [1] recursive %}{{ loop(data.list) }}{% endfor %}",
    "{% for x in [1] recursive %}{{ loop([x]) }}{% endfor %}",
    "{% for x in data.words %}{{ loop.length }}{% endfor %}",
    "{% macro f(n) %}{% if n > 0 %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "{% macro f(n) %}{% if n > 0 %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(data.n) }}",
    "{% macro f() %}{{ caller() }}{{ caller() }}{% endmacro %}" + "{% call f() %}" * 22 + "x" + "{% endcall %}" * 22,
    "{% set ns = namespace(x='x') %}{% for i in data.list[:40] %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
    "{% set ns = namespace(x='x') %}{% for i in data.list[:40] %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
    "{% set ns = namespace(x='x') %}{% for i in range(40) %}{% set ns.x %}{{ ns.x }}{{ ns.x }}{% endset %}{% endfor %}",
    "{% set ns = namespace(x=[1]) %}{% for i in data.list[:40] %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
    "{% set ns = namespace(x=7) %}{% for i in data.list[:40] %}{% set ns.x = ns.x * ns.x %}{% endfor %}",
    # structures that are small and say much
    DOUBLED + "{{ ns.x }}",
    DOUBLED + "{{ ns.x | tojson }}",
    DOUBLED + "{{ ns.x | string }}",
    DOUBLED + "{{ ns.x | join }}",
    DOUBLED + "{{ '%s' % [ns.x] }}",
    DOUBLED + "{{ '{}'.format(ns.x) }}",
    DOUBLED + "{{ ns.x | pprint }}",
    DOUBLED + "{{ ns.x == ns.y }}",
    DOUBLED + "{{ ns.x in [ns.y] }}",
    DOUBLED + "{{ ns.x is eq ns.y }}",
    DOUBLED + "{{ [ns.x, ns.y] | max }}",
    DOUBLED + "{{ [ns.x, ns.y] | sort }}",
    # work in loops that gives nothing
    *(
        "{% for x in data.list[:5000] %}{% set y = " + work + " %}{% endfor %}"
        for work in (
            "data.text | upper",
            "data.text.upper()",
            "data.text[1:]",
            "data.text == data.text ~ ''",
            "'zz' in data.text",
            "data.text.count('z')",
            "data.text.split('x')",
            "data.text is lower",
            "data.list | sort",
            "data.list + [1]",
            "-1 in data.list",
            "-1 is in data.list",
            "data.list[1:]",
            "data.list == data.list[:]",
            "data.list | sum",
            "data.list | list",
            "data.list.count(-1)",
            "data.rows | map(attribute='a') | list",
            "data.rows | tojson",
            "data.list | map('string') | join",
            "dict(data.rows[0], **data.rows[1]) | tojson ~ (data.text | length | string) ~ data.text[5:]",
        )
    ),
    # searches that take the square of a length
    "{{ data.dashes | wordwrap }}",
    "{{ data.dashes[:60000] | wordwrap }}",
    "{{ data.words | wordwrap(1) }}",
    "{{ data.brackets | urlize }}",
    "{{ data.brackets[:12000] | urlize }}",
    "{{ data.half | trim(data.half) }}",
    "{{ data.half.strip(data.half) }}",
    "{{ data.half.rfind(data.half[1:] ~ 'c') }}",
    "{{ data.half.rsplit(data.half[2:250000] ~ 'c') }}",
    "{{ data.lists | sum(start=[]) }}",
    "{{ data.rows | map(attribute='.'.join(data.text[:200000])) | list }}",
    "{{ data.rows | sort(attribute='.'.join(data.text[:200000])) }}",
    "{{ data.rows | groupby('a.' * 500000) }}",
    # what is not there
    "{{ lipsum(n=data.n) }}",
    "{{ range(data.n) | list }}",
    "{{ (5).to_bytes(data.n, 'big') }}",
    "{{ data.fromkeys(range(100000), data.text) }}",
    "{{ cycler(*data.list).next() }}",
]


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place[:100])
def test_foreign_data_multiplies_nothing(place: str) -> None:
    route = Route("r", message=place, service_id=SERVICE, channel="sms")
    routes, event = JinjaRoutes([route]), Event(id="e1", data=HOSTILE)
    tracemalloc.start()
    try:
        with pytest.raises(InvalidEvent, match=r"^route r: template message: ") as invalid:
            routes.render(route, event, INCOMING)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (invalid.value.event_id, invalid.value.channel) == ("e1", "sms")
    assert len(str(invalid.value)) < 400
    assert peak < 48 * M


EXPRESSIONS = [
    "data.text * 100 == ''",
    "10 ** data.n > 5",
    "data.list | map('string') | join == ''",
    "'x' | center(data.n) == ''",
    "(data.rows | selectattr('a', 'gt', 5) | list | length) > 5",
    "(range(100000) | sum) > 5",
    "data.long + 1 > 5",
]


@pytest.mark.parametrize("when", EXPRESSIONS)
def test_a_when_that_is_too_much_does_not_take_the_event_and_the_next_route_is_asked(when: str) -> None:
    greedy, sober = (
        Route("greedy", when=when, service_id=SERVICE),
        Route("sober", when="data.n > 5", service_id=SERVICE),
    )
    assert JinjaRoutes([greedy, sober]).match(Event(id="e1", data=HOSTILE), INCOMING) is sober


def test_each_template_has_a_budget_of_its_own() -> None:
    heavy = "{% for x in data.list[:6000] %}{% endfor %}a"
    route = Route("r", message=heavy, user_id=heavy, tags={"a": heavy, "b": heavy})
    rendered = JinjaRoutes([route]).render(route, Event(id="e1", data=HOSTILE), INCOMING)
    assert (rendered.message, rendered.user_id, rendered.tags) == ("a", "a", {"a": "a", "b": "a"})


@pytest.mark.parametrize("turns", [10_000, 10_100])
def test_a_loop_takes_some_ten_thousand_turns(turns: int) -> None:
    route = Route("r", message=f"{{% for x in range({turns}) %}}{{% endfor %}}done")
    routes = JinjaRoutes([route])
    if turns == 10_000:
        assert routes.render(route, Event(id="e1"), INCOMING).message == "done"
    else:
        with pytest.raises(InvalidEvent, match="too much work"):
            routes.render(route, Event(id="e1"), INCOMING)


@pytest.mark.parametrize("place", ["{{ data.t }}", "{{ data.t }}é"])
def test_what_is_rendered_may_be_as_long_as_a_body_of_its_inbound_and_not_a_byte_longer(place: str) -> None:
    route = Route("r", message=place)
    routes = JinjaRoutes([route], {"small": 100, "bridge.events": 1000})
    own = len(place.encode()) - len("{{ data.t }}")
    for queue, most in (("small", 100), ("bridge.events", 1000), ("other", 1024 * 1024)):
        seen = InboundMessage(b"{}", queue=queue)
        text = "x" * (most - own)
        assert len((routes.render(route, Event(id="e1", data={"t": text}), seen).message or "").encode()) == most
        with pytest.raises(InvalidEvent, match=f"longer than {most} "):
            routes.render(route, Event(id="e1", data={"t": text + "x"}), seen)


def test_what_a_sober_template_does_with_a_large_body_is_not_too_much() -> None:
    data = {"text": "wörd " * 100_000, "rows": [{"id": number, "name": f"n{number}"} for number in range(5000)]}
    for place in (
        "{{ data.text }}",
        "{{ data.text | upper | trim }}",
        "{{ data.text | truncate(100) }}",
        "{{ data.text[:100] }} {{ data.text | length }}",
        "{{ data.rows | tojson }}",
        "{{ data }}",
        "{% for row in data.rows %}{{ row.id }}: {{ row.name }}\n{% endfor %}",
        "{{ data.rows | map(attribute='id') | join(', ') }}",
        "{{ data.rows | selectattr('id', 'gt', 4000) | list | length }}",
        "{{ data.rows | sort(attribute='name', reverse=true) | first }}",
        "{{ data.rows | sum(attribute='id') }}",
        "{{ data.text.split(' ') | length }}",
        "{{ (data.text | wordwrap(60, break_on_hyphens=false))[:0] if false else 'x' }}",
    ):
        route = Route("r", message=place)
        assert JinjaRoutes([route]).render(route, Event(id="e1", data=data), INCOMING).message
