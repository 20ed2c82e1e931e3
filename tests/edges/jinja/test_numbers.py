"""Numbers in templates: exact, as they were written, and never more digits than somebody can have meant."""

from typing import Any

import pytest

from bridge.core.errors import InvalidEvent
from bridge.core.event.event import read_event
from bridge.core.event.inbound_message import InboundMessage
from bridge.core.event.route import Route
from bridge.edges.jinja import JinjaRoutes


def told(template: str, data: str) -> str | None:
    """What a message template makes of `data`, JSON as it was published."""
    incoming = InboundMessage(b'{"id": "e1", "data": %s}' % data.encode())
    route = Route("r", message=template)
    return JinjaRoutes([route]).render(route, read_event(incoming, 1024 * 1024), incoming).message


TOKENS = [
    "0",
    "-0",
    "1.10",
    "1e3",
    "1E+3",
    "-1.50e-7",
    "0.00000001",
    "1e999999",
    "9" * 30,
    "-" + "9" * 6000,
    "5.0",
    "1e400",
]


@pytest.mark.parametrize("token", TOKENS, ids=lambda token: token[:20])
@pytest.mark.parametrize(
    ("template", "around"),
    [
        ("{{ data.x }}", "%s"),
        ("a {{ data.x }} b", "a %s b"),
        ("{{ data }}", '{"x":%s}'),
        ("{{ [data.x] }}", "[%s]"),
        ("{{ data | tojson }}", '{"x": %s}'),
        ("{{ [data.x, data.x] | tojson(indent=2) }}", "[\n  %s,\n  %s\n]"),
        ("{{ data.x ~ '' }}", "%s"),
        ("{{ data.x | string }}", "%s"),
        ("{{ [data.x] | join }}", "%s"),
        ("{{ '%s' % data.x }}", "%s"),
        ("{{ '{}'.format(data.x) }}", "%s"),
        ("{{ '{x}'.format(**data) }}", "%s"),
        ("{{ data.values() | first }}", "%s"),
        ("{{ data.x | default(1) }}", "%s"),
    ],
)
def test_a_number_is_told_as_it_was_written(token: str, template: str, around: str) -> None:
    assert told(template, f'{{"x": {token}}}') == around.replace("%s", token)


CASES: list[tuple[str, str, str]] = [
    ("{{ data.x * 2 }}", "1.10", "2.20"),
    ("{{ data.x * 1.19 }}", "19.99", "23.7881"),
    ("{{ 1.19 * data.x }}", "19.99", "23.7881"),
    ("{{ data.x * 0.01 }}", "1999", "19.99"),
    ("{{ data.x + 0.2 }}", "0.1", "0.3"),
    ("{{ data.x - 0.2 }}", "0.3", "0.1"),
    ("{{ data.x / 3 }}", "10.5", "3.5"),
    ("{{ data.x / 3 }}", "1.0", "0.3333333333333333333333333333"),
    ("{{ data.x / 100 }}", "1999", "19.99"),
    ("{{ data.x / 2 }}", "10", "5.0"),
    ("{{ data.x / 100 }}", "123456789012345678901234567890", "1234567890123456789012345678.9"),
    ("{{ data.x / 3 }}", "1" + "0" * 40, "3" * 40 + "." + "3" * 28),
    ("{{ data.x / 10 ** 18 }}", "1234567890123456789", "1.234567890123456789"),
    ("{{ data.x // 2 }} {{ data.x % 2 }}", "-7", "-4 1"),
    ("{{ data.x // 2 }} {{ data.x % 2 }}", "-7.5", "-4 0.5"),
    ("{{ data.x // -2 }} {{ data.x % -2 }}", "7.5", "-4 -0.5"),
    ("{{ data.x ** 2 }}", "1.05", "1.1025"),
    ("{{ data.x ** 3 }} {{ 10 ** -data.x }}", "2", "8 0.01"),
    ("{{ -data.x }} {{ +data.x }}", "-1.10", "1.10 -1.10"),
    ("{{ -data.x }}", "9" * 60 + ".10", "-" + "9" * 60 + ".10"),
    ("{{ data.x + 1 }}", "9" * 60, "1" + "0" * 60),
    ("{{ data.x + 0.5 }}", "1e3", "1000.5"),
    ("{{ data.x * 2 }}", "1e3", "2000"),
    ("{{ data.x | round(2) }}", "19.999", "20.00"),
    ("{{ data.x | round }}", "19.6", "20"),
    ("{{ data.x | round(1, 'floor') }} {{ data.x | round(1, 'ceil') }}", "19.96", "19.9 20.0"),
    ("{{ data.x | round(1, 'ceil') }}", "9" * 60 + ".91", "1" + "0" * 60 + ".0"),
    ("{{ (data.x / 4) | round(1, 'ceil') }}", "10", "2.5"),
    ("{{ data.x | int }}", "19.96", "19"),
    ("{{ data.x | int }}", "1e3", "1000"),
    ("{{ data.x | int }}", "9" * 30, "9" * 30),
    ("{{ data.x | int }}", "9" * 5000, "9" * 5000),
    ("{{ data.x | float }}", "1.10", "1.1"),
    ("{{ data.x | float * 2 }}", "1.10", "2.2"),
    ("{{ data.x | abs }}", "-" + "9" * 60 + ".10", "9" * 60 + ".10"),
    ("{{ [data.x, data.x, 1, 0.5] | sum }}", "1.10", "3.70"),
    ("{{ [{'p': data.x}, {'p': 1}] | sum(attribute='p') }}", "1.10", "2.10"),
    (
        "{{ '%.2f' % data.x }} {{ '%d' % data.x }} {{ '%08.1f|%-6.1f|%+d' % (data.x, data.x, data.x) }}",
        "19.999",
        "20.00 19 000020.0|20.0  |+19",
    ),
    ("{{ '%.2f' | format(data.x) }}", "12345678901234567890.125", "12345678901234567890.12"),
    ("{{ '%.2f' % data.x }}", "12345678901234567890", "12345678901234567890.00"),
    ("{{ '{:.2f} {:,} {:>8}'.format(data.x, data.x, data.x) }}", "1234.5", "1234.50 1,234.5   1234.5"),
    ("{{ '%05d %x %s%%' % (data.x, data.x, data.x) }}", "42", "00042 2a 42%"),
    ("{{ [3, data.x, 2.5] | sort | join(' ') }} {{ [1, data.x] | max }}", "2.75", "2.5 2.75 3 2.75"),
    ("{{ {5: 'five', 1.5: 'half'}[data.x] }}", "1.50", "half"),
    ("{{ data.x is number }} {{ data.x == 1.1 }} {{ data.x is gt 1 }}", "1.10", "true true true"),
    ("{{ 1.0 }} {{ 1e3 }} {{ 2 * 1.5 }}", "0", "1.0 1000.0 3.0"),
]


@pytest.mark.parametrize(("template", "token", "text"), CASES, ids=[f"{one[0][:40]} of {one[1][:12]}" for one in CASES])
def test_numbers_are_worked_with_exactly(template: str, token: str, text: str) -> None:
    assert told(template, f'{{"x": {token}}}') == text


BEYOND: list[tuple[str, Any]] = [
    ("{{ data.x / 10 ** data.n }}", "500000000"),
    ("{{ data.x / 1.1 ** data.n }}", "500000000000"),
    ("{{ 2 ** data.n }}", "1e999999"),
    ("{{ 1.5 ** data.n }}", "9" * 5000),
    ("{{ data.n ** data.n }}", "123456789"),
    ("{{ data.n * data.n }}", "9" * 3000),
    ("{{ data.n + 1 }}", "1e999999"),
    ("{{ data.n + 0.1 }}", "1e-999999"),
    ("{{ data.n * 2 }}", "9" * 100_000),
    ("{{ data.n % 7 }}", "1e999999"),
    ("{{ data.n // 7 }}", "1e999999"),
    ("{{ data.n | int }}", "1e999999999"),
    ("{{ '%d' % data.n }}", "1e999999999"),
    ("{{ '%.1f' % data.n }}", "1e999999999"),
    ("{{ '{:f}'.format(data.n) }}", "1e999999999"),
    ("{{ '{:,}'.format(data.n) }}", "1e999999999"),
    ("{{ '{:.2%}'.format(data.n) }}", "1e999999999"),
    ("{{ data.n | round(2) }}", "1e999999999"),
    ("{{ data.x | round(data.n) }}", "999999999"),
    ("{{ data.x | round(-data.n, 'ceil') }}", "999999999"),
    ("{{ 5.5 | round(data.n) }}", "-999999999"),
    ("{{ data.n | float }}", "1e400"),
    ("{{ data.n | float - data.n | float }}", "1e400"),
    ("{{ data.x / (data.n - data.n) }}", "1.5"),
    ("{{ data.x % (data.n - data.n) }}", "1.5"),
    ("{{ data.n.as_integer_ratio() }}", "1e999999"),
    ("{{ data.x.to_bytes(data.n, 'big') }}", "999999999"),
    ("{{ [data.n, 1] | sum }}", "1e999999"),
    ("{{ (-1.5) ** (data.n) }}", "1.5"),
]


@pytest.mark.parametrize(("template", "token"), BEYOND, ids=[f"{one[0]} of {one[1][:12]}" for one in BEYOND])
def test_what_has_no_sober_result_is_an_invalid_event(template: str, token: str) -> None:
    with pytest.raises(InvalidEvent, match="template message: ") as invalid:
        told(template, f'{{"x": 5, "n": {token}}}')
    assert "<class" not in str(invalid.value)
    assert len(str(invalid.value)) < 400


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ '{:.2f}'.format(data.x) }}", "123456789012345678901234567890.00"),
        ("{{ '{:f}'.format(data.x) }}", "123456789012345678901234567890.000000"),
        ("{{ '{:,.0f}'.format(data.x) }}", "123,456,789,012,345,678,901,234,567,890"),
        ("{{ '{:.3e}'.format(data.x) }}", "1.235e+29"),
        ("{{ '%.1f' % data.x }}", "123456789012345678901234567890.0"),
    ],
)
def test_a_format_for_fractions_keeps_all_digits_of_a_whole_number(template: str, expected: str) -> None:
    assert told(template, '{"x": 123456789012345678901234567890}') == expected


def test_a_format_for_fractions_is_pythons_own_for_what_a_float_can_say() -> None:
    for spec in ("{:f}", "{:.2e}", "{:g}", "{:%}", "{:08.1f}"):
        assert told(f"{{{{ '{spec}'.format(data.x) }}}}", '{"x": 1500}') == spec.format(1500)


def test_a_fractional_power_of_a_number_with_very_many_digits_is_rounded_like_any() -> None:
    few, many = (f'{{"x": 2.{"0" * zeros}1}}' for zeros in (60, 100_000))
    assert told("{{ data.x ** 0.5 }}", many) == told("{{ data.x ** 0.5 }}", few)
    assert told("{{ 4 ** data.x }}", many) == "16"


def test_a_whole_number_in_another_base_is_read_up_to_the_digits_that_any_may_have() -> None:
    assert told("{{ data.x | int(base=16) }}", '{"x": "%s"}' % ("f" * 100)) == str(16**100 - 1)
    assert told("{{ data.x | int }}", '{"x": "%s"}' % ("9" * 4000)) == "9" * 4000
