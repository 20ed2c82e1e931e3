"""Copies of inbound messages: what is kept, what would act again and is left out, and where they came from."""

from typing import Any

import pytest

from bridge.core.broker.republished_copy import RepublishedCopy, dead, delay_queue, delayed
from bridge.core.event.inbound_message import InboundMessage
from tests.support.making import HEX

ACTING_HEADERS = {
    "x-delivery-count": 3,
    "x-acquired-count": 4,
    "x-death": [{"queue": "q", "count": 2}],
    "x-first-death-exchange": "e",
    "x-first-death-queue": "q",
    "x-first-death-reason": "expired",
    "x-last-death-exchange": "e",
    "x-last-death-queue": "q",
    "x-last-death-reason": "expired",
    "CC": ["other"],
    "BCC": ["other"],
}
KEPT_HEADERS = {
    "traceparent": "00-ab",
    "cloudEvents:id": "ce-1",
    "cc": "in lower case it is nothing to the broker",
    "x-bridge-requeue": 2,
    "nested": {"a": [1, None]},
}
KEPT_PROPERTIES = {
    "message_id": "m-1",
    "content_type": "application/json",
    "correlation_id": "c",
    "reply_to": "r",
    "priority": 5,
    "type": "t",
    "app_id": "a",
}
ACTING_PROPERTIES = {"expiration": "60000", "user_id": "guest"}


def original(**headers: Any) -> InboundMessage:
    return InboundMessage(
        body=b"\xff not even json",
        queue="bridge.events",
        exchange="bridge.events",
        routing_key="billing.alert",
        properties={**KEPT_PROPERTIES, **ACTING_PROPERTIES},
        headers={**KEPT_HEADERS, **ACTING_HEADERS, **headers},
    )


def buried(
    message: InboundMessage, conversation_id: str | None = HEX, error: str = "no such service"
) -> RepublishedCopy:
    return dead(
        message,
        "bridge.dead",
        reason="rejected",
        error=error,
        attempts=2,
        failed_at="2026-01-01T00:00:00.000+00:00",
        conversation_id=conversation_id,
    )


def back(copy: RepublishedCopy) -> InboundMessage:
    """The copy as the broker delivers it again, from the delay queue through the delay exchange."""
    return InboundMessage(
        body=copy.body,
        queue="bridge.events",
        exchange=copy.exchange,
        routing_key="bridge.events",
        properties=copy.properties,
        headers={**copy.headers, "x-death": [{"reason": "expired"}], "x-first-death-queue": copy.routing_key},
    )


# --- dead letters


def test_a_dead_letter_is_the_original_body_under_its_reason() -> None:
    message = original()
    copy = buried(message)
    assert (copy.exchange, copy.routing_key) == ("bridge.dead", "rejected")
    assert copy.body is message.body


def test_a_dead_letter_tells_everything_that_the_design_lists() -> None:
    told = {name: value for name, value in buried(original()).headers.items() if name not in KEPT_HEADERS}
    assert told == {
        "x-bridge-reason": "rejected",
        "x-bridge-error": "no such service",
        "x-bridge-attempts": 2,
        "x-bridge-failed-at": "2026-01-01T00:00:00.000+00:00",
        "x-bridge-exchange": "bridge.events",
        "x-bridge-routing-key": "billing.alert",
        "x-bridge-conversation-id": HEX,
    }


def test_the_conversation_is_absent_where_it_is_not_known() -> None:
    assert "x-bridge-conversation-id" not in buried(original(), None).headers


def test_a_dead_letter_forgets_the_counts_of_its_delays() -> None:
    parked = delayed(original(), "bridge.delay", 5, attempt=3, pauses=2, progress="{}")
    assert buried(back(parked)).headers == buried(original()).headers


def test_a_replayed_dead_letter_that_dies_again_tells_of_the_last_death() -> None:
    again = InboundMessage(
        body=b"", queue="bridge.events", exchange="", routing_key="bridge.events", headers=buried(original()).headers
    )
    copy = dead(
        again, "bridge.dead", reason="exhausted", error="new", attempts=6, failed_at="later", conversation_id=None
    )
    assert copy.headers["x-bridge-reason"] == "exhausted"
    assert copy.headers["x-bridge-error"] == "new"
    assert copy.headers["x-bridge-exchange"] == "bridge.events"
    assert copy.headers["x-bridge-routing-key"] == "billing.alert"


def test_a_long_error_is_cut() -> None:
    assert buried(original(), error="x" * 5000).headers["x-bridge-error"] == "x" * 997 + "…"


# --- both kinds of copies

COPIES = [buried(original()), delayed(original(), "bridge.delay", 5, attempt=1, pauses=0, progress=None)]


@pytest.mark.parametrize("copy", COPIES, ids=["dead", "delayed"])
def test_what_would_act_again_is_left_out_and_all_else_is_kept(copy: RepublishedCopy) -> None:
    assert not ACTING_HEADERS.keys() & copy.headers.keys()
    assert {name: copy.headers[name] for name in KEPT_HEADERS} == KEPT_HEADERS
    kept = {name: value for name, value in copy.properties.items() if name != "priority"}
    assert kept == {name: value for name, value in KEPT_PROPERTIES.items() if name != "priority"}


@pytest.mark.parametrize("name", ["x-first-death-", "x-first-death-anything", "x-last-death-", "x-last-death-anything"])
def test_every_header_about_first_and_last_deaths_is_left_out(name: str) -> None:
    assert name not in buried(original(**{name: 1})).headers


def test_the_original_is_not_changed() -> None:
    message = original()
    buried(message)
    delayed(message, "bridge.delay", 5, attempt=1, pauses=0, progress="{}")
    assert message.headers == {**KEPT_HEADERS, **ACTING_HEADERS}
    assert message.properties == {**KEPT_PROPERTIES, **ACTING_PROPERTIES}


# --- delayed copies


def test_a_delayed_copy_waits_in_the_queue_of_its_delay_by_way_of_the_exchange_for_delays() -> None:
    copy = delayed(original(), "bridge.delay", 300, attempt=2, pauses=1, progress=None)
    assert (copy.exchange, copy.routing_key) == ("bridge.delay", "bridge.events.delay.300")
    assert delay_queue("other", 5) == "other.delay.5"


def test_a_delayed_copy_carries_its_counts_and_its_origin() -> None:
    copy = delayed(original(), "bridge.delay", 5, attempt=2, pauses=1, progress='{"request":"create"}')
    told = {name: value for name, value in copy.headers.items() if name not in KEPT_HEADERS}
    assert told == {
        "x-bridge-attempt": 2,
        "x-bridge-pauses": 1,
        "x-bridge-copies": 1,
        "x-bridge-exchange": "bridge.events",
        "x-bridge-routing-key": "billing.alert",
        "x-bridge-priority": 5,
        "x-bridge-progress": '{"request":"create"}',
    }


def test_the_origin_stays_the_first_one_across_two_delays_and_a_death() -> None:
    once = back(delayed(original(), "bridge.delay", 5, attempt=1, pauses=0, progress="{}"))
    twice = back(delayed(once, "bridge.delay", 10, attempt=2, pauses=0, progress=None))
    assert once.origin == twice.origin == ("bridge.events", "billing.alert")
    assert (twice.attempt, twice.copies) == (2, 2)
    letter = buried(twice)
    assert letter.headers["x-bridge-exchange"] == "bridge.events"
    assert letter.headers["x-bridge-routing-key"] == "billing.alert"


def test_an_old_record_does_not_outlive_a_new_one() -> None:
    once = back(delayed(original(), "bridge.delay", 5, attempt=1, pauses=0, progress="old"))
    assert "x-bridge-progress" not in delayed(once, "bridge.delay", 5, attempt=2, pauses=0, progress=None).headers
    assert delayed(once, "bridge.delay", 5, attempt=2, pauses=0, progress="new").headers["x-bridge-progress"] == "new"


# --- priority


def test_a_delayed_copy_has_no_priority_however_often_it_waits() -> None:
    once = delayed(original(), "bridge.delay", 5, attempt=1, pauses=0, progress=None)
    twice = delayed(back(once), "bridge.delay", 10, attempt=2, pauses=0, progress=None)
    assert "priority" not in once.properties
    assert "priority" not in twice.properties


def test_a_dead_letter_has_the_originals_priority_also_after_delays() -> None:
    once = back(delayed(original(), "bridge.delay", 5, attempt=1, pauses=0, progress=None))
    twice = back(delayed(once, "bridge.delay", 10, attempt=2, pauses=0, progress=None))
    for message in (original(), once, twice):
        letter = buried(message)
        assert letter.properties["priority"] == 5
        assert "x-bridge-priority" not in letter.headers


def test_a_message_without_priority_gets_none() -> None:
    plain = InboundMessage(b"", "bridge.events", properties={"message_id": "m"})
    parked = delayed(plain, "bridge.delay", 5, attempt=1, pauses=0, progress=None)
    assert "x-bridge-priority" not in parked.headers
    assert "priority" not in buried(back(parked)).properties


@pytest.mark.parametrize("forged", ["9", -1, 256, True, None, 2**40, [9], 1.5])
def test_a_forged_priority_makes_no_copy_impossible(forged: Any) -> None:
    message = InboundMessage(b"", "bridge.events", properties={}, headers={"x-bridge-priority": forged})
    assert "priority" not in buried(message).properties
    copy = delayed(message, "bridge.delay", 5, attempt=1, pauses=0, progress=None)
    assert "x-bridge-priority" not in copy.headers


def test_a_priority_of_its_own_wins_over_a_forged_one() -> None:
    message = InboundMessage(b"", "bridge.events", properties={"priority": 2}, headers={"x-bridge-priority": 9})
    assert buried(message).properties["priority"] == 2


# --- first sight


def test_a_delayed_copy_says_when_the_event_was_first_seen_and_a_dead_letter_does_not() -> None:
    once = back(delayed(original(), "bridge.delay", 5, attempt=1, pauses=0, progress=None, first_seen_s=17.25))
    assert once.headers["x-bridge-first-seen"] == 17_250
    assert once.first_seen_s == 17.25
    twice = back(delayed(once, "bridge.delay", 5, attempt=1, pauses=0, progress=None, first_seen_s=once.first_seen_s))
    assert twice.first_seen_s == 17.25
    assert "x-bridge-first-seen" not in buried(twice).headers
