"""docs/semantics.md, Lifetime: the times of an event, and what follows from them at a given time."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.delivery.retry import DELAY_LEVELS_S, level_within
from bridge.core.errors import InvalidEvent
from bridge.core.event.event import Event, read_event
from bridge.core.event.event_fields import EventKind
from bridge.core.event.inbound_message import FIRST_SEEN, REQUEUE, InboundMessage
from bridge.core.event.lifetime import Lifetime, duration_text, time_s
from bridge.core.event.route import Defaults, Rendered, Route, RoutedEvent, resolve, timed
from tests.support.making import HEX, MIB, incoming

T = 1_700_000_000.0
DAY = 86_400.0


def text(offset_s: float) -> str:
    return datetime.fromtimestamp(T + offset_s, UTC).isoformat()


def routed(max_wait_s: float | None = None, **fields: Any) -> RoutedEvent:
    whole = {"id": "e-1", "message": "x", "user_id": "u", "service_id": HEX, **fields}
    event = read_event(incoming(whole), MIB)
    return resolve(event, Route("r", max_wait_s=max_wait_s), Rendered(), Defaults())


@pytest.mark.parametrize(
    ("written", "expected_s"),
    [
        ("1970-01-01T00:00:00Z", 0.0),
        ("1970-01-01t01:00:00.25+01:00", 0.25),
        ("1969-12-31T19:00:00-05:00", 0.0),
        ("1970-01-01T00:00:00z", 0.0),
    ],
)
def test_a_time_with_its_zone_is_a_moment(written: str, expected_s: float) -> None:
    assert time_s(written) == expected_s


NO_TIMES = ["", "tomorrow", "2026-03-01", "2026-03-01T09:00:00", "2026-03-01 09:00:00Z", "2026-13-01T09:00:00Z"]
NO_TIMES += ["2026-03-01T09:00Z", "2026-03-01T09:00:00+0100", "2026-W01-1T09:00:00Z", "٢026-03-01T09:00:00Z"]


@pytest.mark.parametrize("value", [*NO_TIMES, 5, True, [], {}], ids=repr)
@pytest.mark.parametrize("field", ["not_before", "expires_at"])
def test_anything_else_is_invalid_and_the_reason_names_the_field(field: str, value: object) -> None:
    with pytest.raises(InvalidEvent, match=field) as caught:
        read_event(incoming({"id": "e-1", field: value}), MIB)
    assert caught.value.event_id == "e-1"


def test_the_fields_are_taken_as_they_were_published() -> None:
    times: dict[str, Any] = {"not_before": "2026-03-01T09:00:00Z", "expires_at": "2026-03-01T12:00:00+01:00"}
    event = read_event(incoming({"id": "e-1", **times}), MIB)
    assert event == Event("e-1", **times)


@pytest.mark.parametrize("expires_at", ["2026-03-01T09:00:00Z", "2026-03-01T10:00:00+01:00", "2026-03-01T08:59:59Z"])
def test_an_event_that_could_never_start_is_invalid(expires_at: str) -> None:
    with pytest.raises(InvalidEvent, match="expires_at is not after not_before"):
        routed(not_before="2026-03-01T09:00:00Z", expires_at=expires_at)


@pytest.mark.parametrize("field", ["not_before", "expires_at"])
def test_a_cancel_takes_neither_and_the_other_kinds_do(field: str) -> None:
    value: dict[str, Any] = {field: text(60)}
    with pytest.raises(InvalidEvent, match=f"kind cancel takes no {field}"):
        read_event(incoming({"id": "c", "kind": "cancel", "cancels": "e", **value}), MIB)
    kinds: list[dict[str, Any]] = [{"kind": "finish", "message": None}, {"kind": "agent-first", "message": None}]
    for kind in (*kinds, {"kind": "tag", "message": None, "tags": {"k": "v"}}, {"kind": "user-message"}):
        assert routed(**kind, **value).lifetime is not None


def test_what_uses_none_of_it_has_no_lifetime() -> None:
    assert routed().lifetime is None
    cancel = Event("c", kind=EventKind.CANCEL, cancels="e")
    assert resolve(cancel, Route("r", max_wait_s=1.0), Rendered(), Defaults()).lifetime is None


@pytest.mark.parametrize(
    ("ahead_s", "state"), [(-1.0, "in line"), (0.0, "in line"), (0.5, "alone"), (7 * DAY, "alone"), (7 * DAY + 1, None)]
)
def test_not_before_is_at_most_seven_days_ahead(ahead_s: float, state: str | None) -> None:
    event, seen = routed(not_before=text(ahead_s)), incoming({})
    if state is None:
        with pytest.raises(InvalidEvent, match="more than 7 days ahead") as caught:
            timed(event, seen, T)
        assert (caught.value.event_id, caught.value.channel) == ("e-1", "api")
    else:
        assert timed(event, seen, T).alone == (state == "alone")


def test_one_that_stands_alone_holds_up_nobody_and_takes_its_place_in_its_lane() -> None:
    early = timed(routed(not_before=text(60)), incoming({}), T)
    assert (early.lane, early.line) == (("", "e-1"), ("u", HEX))
    assert early.in_line().lane == ("u", HEX)


def message(timestamp_s: float | None, seen_s: float | None, requeue: int) -> InboundMessage:
    properties = {} if timestamp_s is None else {"timestamp": datetime.fromtimestamp(T + timestamp_s, UTC)}
    headers = {REQUEUE: requeue} if requeue else {}
    if seen_s is not None:
        headers[FIRST_SEEN] = round((T + seen_s) * 1000)
    return InboundMessage(b"", properties=properties, headers=headers)


# Seconds from T: not_before, expires_at, max_wait, timestamp, first sight; the requeue; when it is over, and by what.
ROWS: list[tuple[float | None, float | None, float | None, float | None, float, int, float | None, str]] = [
    (None, 100, None, None, 0, 0, 100, "expires_at"),
    (None, 100, None, -500, 50, 0, 100, "expires_at"),
    (None, None, 60, None, 0, 0, 60, "max_wait"),
    (None, None, 60, None, 30, 0, 90, "max_wait"),
    (None, None, 60, -20, 30, 0, 40, "max_wait"),
    (None, None, 60, -20, 30, 1, 90, "max_wait"),
    (None, None, 60, 40, 30, 1, 100, "max_wait"),
    (200, None, 60, -20, 30, 0, 260, "max_wait"),
    (200, None, 60, 500, 30, 0, 560, "max_wait"),
    (200, 230, 60, None, 0, 0, 230, "expires_at"),
    (200, 300, 60, None, 0, 0, 260, "max_wait"),
    (200, None, None, None, 0, 0, None, ""),
]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_the_limit_that_is_over_first_ends_it(row: tuple[Any, ...]) -> None:
    not_before, expires_at, max_wait_s, timestamp_s, seen_s, requeue, end_s, limit = row
    lifetime = Lifetime(
        None if not_before is None else T + not_before, None if expires_at is None else text(expires_at), max_wait_s
    )
    seen = message(timestamp_s, seen_s, requeue)
    assert seen.first_seen_s == T + seen_s
    if end_s is None:
        assert lifetime.overdue(seen, T + seen_s, T + 30 * DAY) is None
        return
    assert lifetime.overdue(seen, T + seen_s, T + end_s - 0.001) is None
    overdue = lifetime.overdue(seen, T + seen_s, T + end_s)
    assert overdue is not None
    value = text(expires_at) if limit == "expires_at" else duration_text(max_wait_s)
    assert overdue.facts == {limit: value, "waited_s": overdue.waited_s}
    assert limit == "expires_at" or overdue.waited_s == max_wait_s


def test_how_long_it_has_waited_is_never_negative() -> None:
    overdue = Lifetime(expires_at=text(0)).overdue(message(500, 0, 0), T, T)
    assert overdue is not None
    assert overdue.waited_s == 0.0


@pytest.mark.parametrize(("seconds", "expected"), [(600.0, "600s"), (0.25, "0.25s"), (1e6, "1000000s"), (90.0, "90s")])
def test_max_wait_is_said_as_the_configuration_writes_durations(seconds: float, expected: str) -> None:
    assert duration_text(seconds) == expected


@pytest.mark.parametrize("value", [None, "1", True, 0, -5, 2**60, 1.5, {}], ids=repr)
def test_a_first_sight_that_is_none_is_none(value: object) -> None:
    assert InboundMessage(b"", headers={FIRST_SEEN: value}).first_seen_s is None


@pytest.mark.parametrize(
    ("wait_s", "level_s"),
    [(0.0, None), (0.99, None), (1.0, 1), (1.9, 1), (59.9, 30), (60, 60), (599, 300), (1e6, 3600)],
)
def test_the_longest_queue_that_is_over_in_time_is_taken(wait_s: float, level_s: int | None) -> None:
    assert level_within(wait_s) == level_s


@given(st.floats(0.0, 7 * DAY), st.floats(0.0, 60.0))
def test_a_wait_by_levels_is_never_late_and_ends_in_memory(left_s: float, in_memory_s: float) -> None:
    copies = 0
    while left_s > in_memory_s and (level_s := level_within(left_s)) is not None:
        assert 0 < level_s <= left_s
        left_s -= level_s
        copies += 1
    assert 0.0 <= left_s <= max(in_memory_s, DELAY_LEVELS_S[0])
    assert copies <= 7 * DAY / DELAY_LEVELS_S[-1] + len(DELAY_LEVELS_S) * 2
