"""Headers and properties as values: whatever came can be written again (RELIABILITY P7, P8), by pamqp's own reader."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pamqp import decode, encode

from bridge.edges.rabbitmq.properties import MOST_HEADER_BYTES, of_copy, of_outbound, writable

from .rig import outgoing


def written(headers: dict[str, Any]) -> dict[str, Any]:
    """What comes out of the broker when these headers went in."""
    return decode.field_table(encode.field_table(writable(headers)))[1]


@pytest.mark.parametrize(
    "value",
    [
        True,
        0,
        -1,
        2**63 - 1,
        -(2**63),
        "",
        "ü✓",
        1.5,
        -0.0,
        None,
        [],
        {},
        [1, "a", [None, {"b": True}]],
        {"a": {"b": {"c": [1]}}},
        datetime(2026, 1, 1, tzinfo=UTC),
        Decimal("12.5"),
        "x" * 60_000,
    ],
)
def test_what_amqp_knows_passes_as_it_is(value: Any) -> None:
    assert written({"h": value}) == {"h": value}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1, "0.1"),
        (1e300, "1e+300"),
        (1764000000.123, "1764000000.123"),
        (2**64, str(2**64)),
        (float("inf"), None),
        (float("nan"), None),
        (object, str(object)),
    ],
)
def test_what_would_be_changed_or_refused_becomes_text(value: Any, text: str | None) -> None:
    found = written({"h": value, "in": {"list": [value]}})
    if text is not None:
        assert found == {"h": text, "in": {"list": [text]}}


@pytest.mark.parametrize("value", [b"", b"\x00\xff", bytearray(b"ab")])
def test_bytes_stay_bytes(value: bytes) -> None:
    assert bytes(written({"h": value})["h"]) == bytes(value)


def test_long_names_are_cut_and_stay_different() -> None:
    found = written({"n" * 200 + "a": 1, "n" * 200 + "b": 2, "ü" * 100: 3, "n" * 128: 4})
    assert sorted(found.values()) == [1, 2, 3, 4]
    assert all(len(name.encode()) <= 128 for name in found)


def test_the_largest_are_left_out_and_named() -> None:
    found = written({"a": "x" * 60_000, "b": "y" * 60_000, "c": "z" * 80_000, "x-bridge-reason": "r", "small": 1})
    assert set(found) == {"a", "x-bridge-reason", "small", "x-bridge-headers-left-out"} or "b" in found
    assert "c" in found["x-bridge-headers-left-out"]
    assert len(encode.field_table(found)) <= MOST_HEADER_BYTES + 1_100


def test_no_foreign_name_makes_headers_unwritable() -> None:
    found = written({"x-bridge-foreign": "x" * 120_000, "x-bridge-reason": "r"})
    assert found["x-bridge-reason"] == "r"


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=50)
    | st.binary(max_size=50)
    | st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(2100, 1, 1), timezones=st.just(UTC))
    | st.decimals(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.text(max_size=150), VALUES, max_size=8))
def test_any_headers_can_be_written(headers: dict[str, Any]) -> None:
    try:
        names = [name.encode() for name in headers]
    except UnicodeEncodeError:
        return
    found = written(headers)
    assert len(found) == len(names)


def test_an_outbound_message_has_no_priority_and_lives_on_disk() -> None:
    properties = of_outbound(outgoing("m"))
    assert (properties.priority, properties.delivery_mode, properties.expiration, properties.user_id) == (
        None,
        2,
        None,
        None,
    )


def test_a_copy_is_always_persistent() -> None:
    assert of_copy({"delivery_mode": 1, "message_id": "m", "unknown": 5}, {}).delivery_mode == 2
