"""JSON whose numbers stay as they were written."""

import copy
import json
import pickle
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.errors import InvalidEvent
from bridge.core.event.event import read_event
from bridge.core.numbers import Number, dumps, loads, written
from tests.support.making import MIB, incoming, thrown

TOKENS = [
    "0",
    "-0",
    "7",
    "-7",
    "1.10",
    "-0.0",
    "0.1",
    "1e3",
    "1E3",
    "1e+3",
    "1.50e-7",
    "-1E-400",
    "1e400",
    "1e999999",
    "0.0000000000000000000001",
    "9007199254740993",
    "18446744073709551615",
    "18446744073709551616",
    "-9223372036854775808",
    "-9223372036854775809",
    "123456789012345678901234567890",
    "123456789012345678901234567890.123456789012345678901234567890",
    "9" * 4300,
    "-" + "9" * 6000,
    "0." + "0" * 5000 + "1",
]
SHORT = [token[:40] for token in TOKENS]


@pytest.mark.parametrize("token", TOKENS, ids=SHORT)
@pytest.mark.parametrize(
    ("before", "after"), [(b"", b""), (b"[", b"]"), (b' {"a":\n\t', b" } "), (b'["1.5 x",', b",1.5]")]
)
def test_a_number_is_written_again_as_it_came(token: str, before: bytes, after: bytes) -> None:
    value = loads(before + token.encode() + after)
    found = value if not before else value["a"] if b"a" in before else value[0] if before == b"[" else value[1]
    assert type(found) is int or isinstance(found, Decimal)
    assert dumps(found) == dumps([found])[1:-1] == dumps({"x": found})[5:-1] == token.encode()
    assert str(loads(dumps(found))) == str(found)


@pytest.mark.parametrize("token", TOKENS, ids=SHORT)
def test_a_message_that_is_an_object_keeps_its_tokens(token: str) -> None:
    message = f'{{"account":{token},"list":[{token},{{"é":{token}}}],"text":"1.50, 2e3"}}'
    body = f'{{"id": "e-1", "message": {message}, "data": [{token}]}}'
    assert read_event(incoming(body.encode()), MIB).message == message


@pytest.mark.parametrize(("token", "kind"), [("5", int), ("9" * 30, int), ("1.0", Decimal), ("1e2", Decimal)])
def test_a_template_sees_int_or_decimal(token: str, kind: type) -> None:
    data = read_event(incoming(b'{"id": "e-1", "amount": %s}' % token.encode()), MIB).data
    assert isinstance(data["amount"], kind)
    assert data["amount"] == kind(token)


def test_of_keys_that_come_twice_the_last_one_counts() -> None:
    assert loads(b'{"a": 1.5, "a": 2.50}') == {"a": Decimal("2.50")}
    assert dumps(loads(b'{"a": 1.5, "a": 2.50}')) == b'{"a":2.50}'


BAD = [
    b"NaN",
    b"[1.5, Infinity]",
    b"-Infinity",
    b"[1e400, NaN]",
    b"01.5",
    b"1.",
    b".5",
    b"+1.5",
    b"1.5e",
    b"[1.5,]",
    b"1.5 2.5",
    b"1-2",
    b"[1e400, 1-2]",
    b'[1e400, "\\ud800"]',
    b'[1.5, "\\ud800"]',
    b'[1e400, "\x01"]',
    b'[1e400, "\xff"]',
    b"\xef\xbb\xbf1.5",
    b"1e99999999999999999999",
    b"-1.5e-99999999999999999999",
    b"[" * 5000 + b"1.5" + b"]" * 5000,
    b"[1e400," * 900 + b"1" + b"]" * 900 + b"]",
    b"1.5" + b"0" * 10 + b".",
]


@pytest.mark.parametrize("body", BAD, ids=lambda body: repr(body[:20]))
def test_what_is_no_json_stays_refused(body: bytes) -> None:
    with pytest.raises(ValueError):
        loads(body)
    with pytest.raises(InvalidEvent):
        read_event(incoming(b'{"id": "e-1", "data": %s}' % body), MIB)


@pytest.mark.parametrize("deep", [100, 253, 300, 900, 990, 1000, 1020])
@pytest.mark.parametrize("field", ["data", "message"])
def test_a_number_at_any_depth_is_read_or_cleanly_refused(deep: int, field: str) -> None:
    value = b'{"a":' * deep + b"1.50" + b"}" * deep
    try:
        event = read_event(incoming(b'{"id": "e-1", "%s": %s}' % (field.encode(), value)), MIB)
    except InvalidEvent as error:
        assert "deep" in str(error) or "ecursion" in str(error)  # noqa: PT017
        assert deep > 250
    else:
        assert event.message is None or event.message.encode() == value


def test_a_number_that_is_no_number_field_is_refused_as_before() -> None:
    for field in ("id", "kind", "channel", "user_id", "service_id", "tags", "message"):
        with pytest.raises(InvalidEvent, match=field.removesuffix("s")):
            read_event(incoming(b'{"id": "e-1", "%s": 1.50}' % field.encode()), MIB)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal(2000).normalize(), "2000"),
        (Decimal("1E-9"), "0.000000001"),
        (Decimal("1E+100"), "1E+100"),
        (Decimal("19.90"), "19.90"),
        (Number("1e3"), "1e3"),
    ],
)
def test_what_was_worked_out_is_written_without_an_exponent_where_that_is_no_lie(value: Decimal, text: str) -> None:
    assert written(value) == text
    assert dumps([value]) == f"[{text}]".encode()


def test_a_number_stays_what_it_is_in_copies_and_in_formats() -> None:
    number = Number("1e3")
    for same in (copy.deepcopy(number), pickle.loads(pickle.dumps(number))):
        assert (str(same), same) == ("1e3", Decimal(1000))
    assert f"{number} {number:.2f} {number!s}" == "1e3 1000.00 1e3"
    known: dict[Decimal, int] = {number: 1}
    assert known[Decimal(1000)] == 1


@pytest.mark.parametrize("value", [{1, 2}, object(), {"a": b"x"}, Decimal("NaN"), {(1,): 1}, "\ud800"])
def test_what_json_cannot_say_is_an_error(value: Any) -> None:
    with pytest.raises(ValueError):
        dumps(value)


NUMBERS = st.one_of(
    st.integers(),
    st.decimals(allow_nan=False, allow_infinity=False).map(lambda value: Number(str(value).lower().replace("e+", "e"))),
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, st.text(st.characters(codec="utf-8"))),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(st.characters(codec="utf-8")), inner)),
)


@given(VALUES)
@thrown(300)
def test_whatever_is_written_is_read_again_and_written_alike(value: Any) -> None:
    text = dumps(value)
    assert loads(text) == value
    assert dumps(loads(text)) == text
    assert json.loads(text, parse_float=Decimal, parse_int=Decimal) == json.loads(
        dumps(loads(text)), parse_float=Decimal, parse_int=Decimal
    )


@given(st.binary(max_size=40).map(lambda middle: b'{"id":"e","a":1.50,"b":"' + middle))
@thrown(500)
def test_any_bytes_are_read_or_are_a_value_error(body: bytes) -> None:
    for one in (body, body + b'"}', body[13:], body[:-3]):
        try:
            value = loads(one)
        except ValueError:
            continue
        assert loads(dumps(value)) == value


def test_many_long_whole_numbers_are_read_one_by_one() -> None:
    """Looking for one that is too long from each of their digits would take the square of their length."""
    long = "9" * 3_999
    assert loads(f"[{','.join([long] * 260)}]".encode()) == [int(long)] * 260
