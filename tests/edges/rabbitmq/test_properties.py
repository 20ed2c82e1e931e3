"""Headers and properties as values: whatever came can be written again, by pamqp's own reader.

See docs/reliability.md, P7, P8.
"""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pamqp import decode, encode

from bridge.core.broker.republished_copy import RepublishedCopy
from bridge.edges.rabbitmq.properties import lightened, of_copy, of_outbound, without_largest, writable
from tests.support.rig import outgoing


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


def test_the_largest_foreign_ones_are_left_out_until_enough_is_gone() -> None:
    headers = {"a": "x" * 600, "b": "y" * 500, "c": "z" * 800, "x-bridge-reason": "r" * 900, "small": 1}
    kept, left_out = without_largest(headers, {"a", "b", "c", "small"}, 1000)
    assert (left_out, set(kept)) == (["c", "a"], {"b", "x-bridge-reason", "small"})
    assert without_largest(headers, {"small"}, 1000)[0].keys() == headers.keys() - {"small"}


def test_a_copy_is_lightened_by_what_may_be_left_out_and_says_so() -> None:
    copy = RepublishedCopy(
        "e", "k", b"{}", {}, {"own": "o", "x-bridge-foreign": "x" * 120_000}, frozenset({"x-bridge-foreign"})
    )
    lighter = lightened(copy, 1)
    assert lighter is not None
    assert lighter.headers == {
        "own": "o",
        "x-bridge-truncated": "headers",
        "x-bridge-headers-left-out": "x-bridge-foreign",
    }
    assert lightened(lighter, 1) is None


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
    copy = RepublishedCopy("e", "k", b"{}", {"delivery_mode": 1, "message_id": "m", "unknown": 5}, {})
    assert of_copy(copy).delivery_mode == 2
