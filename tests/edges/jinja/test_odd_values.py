"""null, true, false and what is no finite number: told as everywhere else, and never a user's id."""

import pytest

from bridge.core.errors import InvalidEvent
from bridge.core.event.event import read_event
from bridge.core.event.inbound_message import InboundMessage
from bridge.core.event.route import Route
from bridge.edges.jinja import JinjaRoutes

DATA = b"""{"id": "e1", "data": {"null": null, "yes": true, "no": false, "one": 1, "text": "a b&c/\xc3\xa9",
    "half": 1.5, "object": {"a": null, "b c": true}, "list": [1, null, true], "huge": 1e999999, "digits": %s}}""" % (
    b"9" * 6000
)
INCOMING = InboundMessage(DATA)


def rendered(template: str, *, as_id: bool = False) -> str | None:
    """What a message or, as the user's id, a strict template makes of the data."""
    route = Route("r", message="m" if as_id else template, user_id=template if as_id else None)
    made = JinjaRoutes([route]).render(route, read_event(INCOMING, 1024 * 1024), INCOMING)
    return made.user_id if as_id else made.message


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ data.null | urlencode }}", "null"),
        ("{{ data.yes | urlencode }}/{{ data.no | urlencode }}", "true/false"),
        ("{{ data.object | urlencode }}", "a=null&b+c=true"),
        ("{{ [['a', none], [true, 1.50]] | urlencode }}", "a=null&true=1.5"),
        ("{{ data.text | urlencode }}", "a%20b%26c/%C3%A9"),
        ("{{ {'a b': data.text} | urlencode }}", "a+b=a+b%26c%2F%C3%A9"),
        ("{{ data.huge | urlencode }}", "1e999999"),
        ("{{ {'a': data.yes, 'b': none, 'c': data.half} | xmlattr }}", ' a="true" c="1.5"'),
        ("{{ {'a': '<'} | xmlattr(false) }}", 'a="&lt;"'),
        ("{{ data.object | tojson }}", '{"a": null, "b c": true}'),
        ("{{ data.null | tojson }}{{ data.null | pprint }}", "nullnull"),
        ("{{ '%s' % data.yes }}", "true"),
        ("{{ data.yes | int }}", "1"),
        ("{{ data.null | int }}", "0"),
        ("{{ 'x' | int(5) }} {{ 'x' | float(2.5) }} {{ '1.5' | float }}", "5 2.5 1.5"),
        ("{{ data.half is odd }} {{ data.half is even }} {{ data.half is divisibleby 0.5 }}", "false false true"),
        (
            "{{ data.one is odd }} {{ -3 is odd }} {{ (10 ** 300) is even }} {{ 9 is divisibleby 3 }}",
            " ".join(["true"] * 4),
        ),
        ("{{ 1000000 | filesizeformat }} {{ '2048' | filesizeformat(true) }}", "1.0 MB 2.0 KiB"),
        (
            "{{ range(1, 6) | slice(3) | list }} {{ range(1, 6) | slice(3, 0) | list }}",
            "[[1,2],[3,4],[5]] [[1,2],[3,4],[5,0]]",
        ),
    ],
)
def test_a_message_has_them_as_json_has_them(template: str, text: str) -> None:
    assert rendered(template) == text


@pytest.mark.parametrize(
    "value",
    [
        f"data.{name}{way}"
        for name in ("null", "yes", "no", "list", "object")
        for way in (" | tojson", " | pprint", " | tojson(2)", " | urlencode", " | string", " | upper", "")
    ]
    + ["{'a': data.yes} | xmlattr", "data.null | int", "data.yes | int", "data.null | float", "data.no | float"],
)
def test_none_of_them_is_a_users_id(value: str) -> None:
    with pytest.raises(InvalidEvent, match=r"^route r: template user_id: .* came where a text or a number belongs$"):
        rendered(f"{{{{ {value} }}}}", as_id=True)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ data.one | tojson }}", "1"),
        ("{{ data.half | tojson }}", "1.5"),
        ("{{ data.text[:1] | tojson }}", '"a"'),
        ("{{ data.null | int(7) }}", "7"),
        ("{{ data.null | default('nobody', true) }}", "nobody"),
        ("{{ data.text | urlencode }}", "a%20b%26c/%C3%A9"),
    ],
)
def test_text_and_numbers_still_are(template: str, text: str) -> None:
    assert rendered(template, as_id=True) == text


@pytest.mark.parametrize("as_id", [False, True])
@pytest.mark.parametrize(
    "template",
    [
        *(f"{{{{ '%{kind}' % data.yes }}}}" for kind in "diouxXeEfFgGc"),
        "{{ '%d' | format(data.no) }}",
        "{{ '%(a)d' % {'a': data.yes} }}",
        "{{ '%*d' % (data.yes, 5) }}",
        "{{ data.yes | abs }}",
        "{{ data.yes | round }}",
        "{{ data.yes | filesizeformat }}",
        "{{ data.null | filesizeformat }}",
        "{{ data.huge | filesizeformat }}",
        "{{ data.digits | filesizeformat }}",
        "{{ 'inf' | filesizeformat }}",
        "{{ 'nan' | float }}",
        "{{ '1e400' | float }}",
        "{{ 'nan' | float < 1 }}",
        "{{ data.huge is odd }}",
        "{{ data.huge is even }}",
        "{{ data.huge is divisibleby 3 }}",
        "{{ data.digits is odd }}",
        "{{ data.yes is odd }}",
        "{{ data.null is even }}",
        "{{ '%d' is odd }}",
        "{{ data.one is divisibleby 0 }}",
        "{{ data.one is divisibleby true }}",
    ],
)
def test_what_is_no_number_fails_the_template_in_words(template: str, *, as_id: bool) -> None:
    where = "user_id" if as_id else "message"
    with pytest.raises(InvalidEvent, match=rf"^route r: template {where}: ") as error:
        rendered(template, as_id=as_id)
    assert "<class" not in str(error.value)
