"""What a message says of itself: its media type, its counts and where it was first published."""

from typing import Any

import pytest

from bridge.core.event.inbound_message import (
    ATTEMPT,
    COPIES,
    ORIGIN_EXCHANGE,
    ORIGIN_ROUTING_KEY,
    PAUSES,
    InboundMessage,
)
from tests.support.making import incoming


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ("application/json", "application/json"),
        (" Application/JSON ; charset=utf-8", "application/json"),
        ("", ""),
        (None, ""),
        (";", ""),
    ],
)
def test_the_media_type_is_lower_case_and_without_parameters(sent: Any, expected: str) -> None:
    assert incoming(properties={"content_type": sent}).content_type == expected


def test_unset_properties_are_none_or_empty() -> None:
    bare = InboundMessage(b"")
    assert (bare.message_id, bare.content_type, bare.attempt, bare.pauses, bare.copies) == (None, "", 0, 0, 0)
    assert bare.origin == ("", "")
    assert incoming(properties={"message_id": ""}).message_id is None
    assert incoming(properties={"message_id": "m-1"}).message_id == "m-1"


@pytest.mark.parametrize("header", [ATTEMPT, PAUSES, COPIES])
@pytest.mark.parametrize(
    ("sent", "expected"),
    [(0, 0), (3, 3), (999_999, 999_999), (1_000_000, 0), (-1, 0), (True, 0), ("3", 0), (2.0, 0), (None, 0), ([3], 0)],
)
def test_a_count_that_is_no_plausible_integer_is_nought(header: str, sent: Any, expected: int) -> None:
    seen = incoming(headers={header: sent})
    assert {ATTEMPT: seen.attempt, PAUSES: seen.pauses, COPIES: seen.copies}[header] == expected


def test_the_origin_is_that_of_the_first_publish() -> None:
    fresh = incoming(exchange="bridge.events", routing_key="billing.alert")
    assert fresh.origin == ("bridge.events", "billing.alert")
    back = incoming(
        exchange="",
        routing_key="bridge.events",
        headers={ORIGIN_EXCHANGE: "bridge.events", ORIGIN_ROUTING_KEY: "billing.alert"},
    )
    assert back.origin == ("bridge.events", "billing.alert")


def test_an_origin_of_another_type_becomes_text() -> None:
    assert incoming(headers={ORIGIN_EXCHANGE: 5, ORIGIN_ROUTING_KEY: None}).origin == ("5", "None")
