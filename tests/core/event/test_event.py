"""docs/semantics.md, The external event, field by field, and which body counts as an event of the bridge's own form."""

from typing import Any

import pytest

from bridge.core.errors import InvalidEvent
from bridge.core.event.channel import CHANNELS
from bridge.core.event.event import Event, read_event
from bridge.core.event.event_fields import EventKind, OnBusy
from tests.support.making import HEX, MIB, incoming

WHOLE: dict[str, Any] = {
    "id": "e-1",
    "kind": "user-message",
    "message": "hello",
    "user_id": "user-1",
    "service_id": HEX,
    "channel": "sms",
    "version_set": "release_2-b",
    "conversation_id": "ABCDEFabcdef012345678901".lower(),
    "tags": {"source": "billing"},
    "data": {"any": [1, None, {"deep": True}]},
}


SOUND = {"content_type": "audio/wav", "data": "AA=="}


def read(body: Any, **rest: Any) -> Event:
    return read_event(incoming(body, **rest), MIB)


def refused(body: Any, **rest: Any) -> InvalidEvent:
    with pytest.raises(InvalidEvent) as caught:
        read(body, **rest)
    assert str(caught.value)
    return caught.value


def test_every_field_is_taken_as_it_was_published() -> None:
    assert read(WHOLE) == Event(**{**WHOLE, "kind": EventKind.USER_MESSAGE})


def test_an_event_needs_nothing_but_an_id() -> None:
    assert read({"id": "e-1"}) == Event(id="e-1", kind=EventKind.EXTERNAL_EVENT)


def test_null_is_the_same_as_absent() -> None:
    assert read({**dict.fromkeys(WHOLE), "id": "e-1"}) == Event(id="e-1")


ODD_DATA: list[Any] = [0, False, "", [], {}, "text", 1.5, [[[]]]]
GOOD: list[tuple[str, Any]] = [
    ("id", "x"),
    ("id", "x" * 200),
    ("id", "with space, ünicode and \u2028"),
    *[("kind", kind.value) for kind in (EventKind.EXTERNAL_EVENT, EventKind.USER_MESSAGE)],
    ("message", "x"),
    ("message", " x "),
    ("message", "\x00"),
    ("message", {}),
    ("user_id", "x"),
    ("user_id", "x" * 200),
    ("user_id", "a b"),
    ("service_id", "0" * 24),
    ("service_id", "abcdef" * 4),
    *[("channel", channel) for channel in CHANNELS],
    ("version_set", "v"),
    ("version_set", "aZ9_-" * 8),
    ("conversation_id", "f" * 24),
    ("tags", {}),
    ("tags", {"k": "v"}),
    ("tags", {"k" * 100: "v" * 100}),
    ("tags", {"Key 9_": "Value 9_"}),
    ("tags", {f"k{n}": "v" for n in range(17)}),
    *[("on_busy", wish) for wish in OnBusy],
    ("is_test", True),
    ("is_test", False),
    *[("data", value) for value in ODD_DATA],
]


@pytest.mark.parametrize(("field", "value"), GOOD, ids=repr)
def test_a_good_value_is_taken(field: str, value: Any) -> None:
    event = read({**WHOLE, field: value})
    expected = "{}" if (field, value) == ("message", {}) else value
    assert getattr(event, field) == expected
    assert not event.foreign


NO_TEXT: list[Any] = [0, 1, 1.5, True, False, ["x"]]
NO_STRING: list[Any] = [*NO_TEXT, {"x": "y"}]
BAD: list[tuple[str, Any]] = [
    *[("id", value) for value in ("", "x" * 201, "é" * 101, *NO_STRING)],
    *[("kind", value) for value in ("", "External-Event", "event", "external-event ", *NO_STRING)],
    *[("message", value) for value in ("", " ", "\t\r\n", "\u00a0\u2003", *NO_TEXT)],
    *[("user_id", value) for value in ("", " x", "x ", "x" * 201, "ünicode", "a\nb", "x\n", "\x7f", *NO_STRING)],
    *[("channel", value) for value in ("", "SMS", "fax", " sms", "text", *NO_STRING)],
    *[("version_set", value) for value in ("", "v" * 41, "a b", "a.b", "ü", "v\n", *NO_STRING)],
    *[
        (field, value)
        for field in ("service_id", "conversation_id")
        for value in ("", "0" * 23, "0" * 25, "A" * 24, "g" * 24, " " + "0" * 23, "0" * 24 + "\n", *NO_STRING)
    ],
    *[("tags", value) for value in ("", "text", *NO_TEXT)],
    *[("tags", {key: "v"}) for key in ("", " ", "k" * 101, "a-b", "a.b", "ü", "k\n", "channel", "bridge_event ")],
    *[("tags", {"k": value}) for value in ("", " ", "v" * 101, "a-b", "ü", "v\n", None, {}, *NO_TEXT)],
    ("tags", {"channel_type": "text"}),
    ("tags", {f"k{n}": "v" for n in range(18)}),
    *[("on_busy", value) for value in ("", "Wait", "join", *NO_STRING)],
    *[("finish", value) for value in ("", "later", "1w", "10", "-1s", "0", "40000d", "9" * 900_000 + "h", *NO_STRING)],
    *[("is_test", value) for value in ("", "true", 0, 1)],
    *[("delete_tags", value) for value in ("", "k", 0, True)],
    *[("delete_tags", [value]) for value in ("a-b", "", 1, None, "channel")],
    *[("cancels", value) for value in ("", "x" * 201, "é" * 101, *NO_STRING)],
    *[("audio", value) for value in ("", "x", *NO_TEXT)],
    *[("audio", value) for value in ({}, {"data": "AA=="}, {"content_type": "audio/wav"})],
    *[("audio", {"content_type": "audio/wav", "data": data}) for data in ("", "?", "AA", "A" * 5, 5, None, "ü")],
    *[("audio", {"content_type": value, "data": "AA=="}) for value in ("", " ", None, 5)],
    ("audio", {"content_type": "audio/wav", "data": "AA==", "more": 1}),
]


@pytest.mark.parametrize(("field", "value"), BAD, ids=repr)
def test_a_bad_value_is_refused_and_the_reason_names_the_field(field: str, value: Any) -> None:
    error = refused({**WHOLE, field: value})
    assert field.removesuffix("s") in str(error)
    assert error.event_id == (None if field == "id" else "e-1")


def test_all_faults_of_an_event_are_named_at_once() -> None:
    error = refused({"id": "e-1", "kind": "no", "message": 1, "channel": "fax", "service_id": 5, "tags": []})
    for name in ("kind", "message", "channel", "service_id", "tags"):
        assert name in str(error)


def test_a_refused_event_keeps_its_good_channel_so_that_its_ending_can_be_routed() -> None:
    assert refused({**WHOLE, "message": ""}).channel == "sms"
    assert refused({**WHOLE, "message": "", "channel": "fax"}).channel is None
    assert refused({"id": "e-1", "message": ""}).channel is None


@pytest.mark.parametrize(
    "fields", [{"kind": "finish"}, {"kind": "cancel"}, {"kind": "agent-first"}], ids=lambda fields: fields["kind"]
)
def test_an_event_refused_over_its_kind_keeps_its_channel_too(fields: dict[str, str]) -> None:
    assert refused({**WHOLE, **fields}).channel == "sms"


@pytest.mark.parametrize(
    ("kind", "lost"),
    [
        *[(kind, {"message": "x"}) for kind in ("agent-first", "finish", "tag", "cancel")],
        *[(kind, {"audio": SOUND}) for kind in ("external-event", "agent-first", "finish", "tag", "cancel")],
        *[(kind, {"tags": {"k": "v"}}) for kind in ("finish", "cancel")],
        *[(kind, {"delete_tags": ["k"]}) for kind in EventKind if kind is not EventKind.TAG],
        *[(kind, {"cancels": "e-2"}) for kind in EventKind if kind is not EventKind.CANCEL],
    ],
    ids=str,
)
def test_content_that_a_kind_would_lose_is_refused(kind: str, lost: dict[str, Any]) -> None:
    needs: dict[str, dict[str, Any]] = {"cancel": {"cancels": "e-2"}, "tag": {"tags": {"k": "v"}}}
    needed = needs.get(kind, {})
    error = refused({"id": "e-1", "kind": kind, **needed, **lost})
    assert f"kind {kind} takes no {next(iter(lost))}" in str(error)


def test_a_cancel_names_an_event_and_a_tag_has_something_to_change() -> None:
    assert read({"id": "e-1", "kind": "cancel", "cancels": "e-0"}).cancels == "e-0"
    assert "cancels is missing" in str(refused({"id": "e-1", "kind": "cancel"}))
    assert read({"id": "e-1", "kind": "tag", "delete_tags": [" k ", "k", "l"]}).delete_tags == ("k", "l")
    nothings: list[dict[str, Any]] = [{}, {"tags": {}}, {"delete_tags": []}, {"tags": {}, "delete_tags": None}]
    for nothing in nothings:
        assert "neither tags nor delete_tags" in str(refused({"id": "e-1", "kind": "tag", **nothing}))


@pytest.mark.parametrize(
    ("wish", "silence_s"),
    [
        ("after", 0.0),
        ("never", float("inf")),
        ("1h", 3600.0),
        ("250ms", 0.25),
        (" 10m ", 600.0),
        ("0s", 0.0),
        (None, None),
    ],
)
def test_when_a_conversation_is_finished_is_seconds_of_silence(wish: str | None, silence_s: float | None) -> None:
    assert read({"id": "e-1", "finish": wish}).finish_s == silence_s


def test_message_and_audio_exclude_each_other() -> None:
    both = {"id": "e-1", "kind": "user-message", "message": "x", "audio": SOUND}
    assert "exclude each other" in str(refused(both))


def test_agent_first_takes_no_message() -> None:
    assert read({"id": "e-1", "kind": "agent-first"}).message is None
    assert read({"id": "e-1", "kind": "agent-first", "message": None}).kind is EventKind.AGENT_FIRST
    assert "agent-first" in str(refused({"id": "e-1", "kind": "agent-first", "message": "x"}))


def test_an_object_as_message_becomes_compact_json_with_its_keys_in_order() -> None:
    assert read({"id": "e-1", "message": {"b": 1, "a": ["ü", None, True]}}).message == '{"b":1,"a":["ü",null,true]}'


def test_tags_are_trimmed_as_the_api_trims_them() -> None:
    assert read({"id": "e-1", "tags": {" a b ": " c "}}).tags == {"a b": "c"}


# --- which id


@pytest.mark.parametrize(
    ("own", "envelope", "message_id", "expected"),
    [
        ("own", "envelope", "amqp", "own"),
        (None, "envelope", "amqp", "envelope"),
        (None, None, "amqp", "amqp"),
        ("own", None, None, "own"),
        (None, "envelope", None, "envelope"),
    ],
)
def test_the_bodys_id_wins_over_the_cloudevents_id_over_the_message_id(
    own: str | None, envelope: str | None, message_id: str | None, expected: str
) -> None:
    body = {"message": "x"} | ({"id": own} if own else {})
    headers = {"cloudEvents:specversion": "1.0", "cloudEvents:id": envelope} if envelope else {}
    properties = {"message_id": message_id} if message_id else {}
    assert read(body, headers=headers, properties=properties).id == expected


def test_no_id_anywhere_is_refused_with_no_id() -> None:
    error = refused({"message": "x"})
    assert "no id" in str(error)
    assert error.event_id is None


@pytest.mark.parametrize("own", [5, "", "x" * 201, ["x"], {}])
def test_a_bad_id_is_not_replaced_by_the_message_id_but_the_ending_goes_under_it(own: Any) -> None:
    error = refused({"id": own, "message": "x"}, properties={"message_id": "amqp"})
    assert error.event_id == "amqp"


def test_a_message_id_that_is_too_long_to_be_an_id_is_refused() -> None:
    assert refused({"message": "x"}, properties={"message_id": "x" * 201}).event_id is None


# --- the bridge's own form, or a foreign one


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"message": "x"},
        {"data": 1},
        {"kind": "user-message", "unknown": 1},
        {"service_id": HEX, "unknown": 1, "severity": "high"},
    ],
    ids=repr,
)
def test_known_fields_only_or_a_kind_or_a_service_id_make_it_an_event_of_our_own(body: dict[str, Any]) -> None:
    assert not read({**body, "id": "e-1"}).foreign


@pytest.mark.parametrize(
    "body",
    [
        {"severity": "high"},
        {"message": 5, "channel": "fax", "severity": "high"},
        {"kind": "Alert", "title": "x"},
        {"kind": ["tag"], "title": "x"},
        {"service_id": "billing", "title": "x"},
        {"service_id": HEX.upper() + "A", "title": "x"},
    ],
    ids=repr,
)
def test_any_other_object_is_foreign_and_held_to_nothing(body: dict[str, Any]) -> None:
    event = read({**body, "id": "e-1"})
    assert event == Event(id="e-1", data={**body, "id": "e-1"}, foreign=True)


def test_of_a_foreign_body_the_id_is_taken_where_it_is_a_string() -> None:
    assert read({"id": "own", "title": "x"}, properties={"message_id": "amqp"}).id == "own"
    assert read({"id": 17, "title": "x"}, properties={"message_id": "amqp"}).id == "amqp"
    assert "no id" in str(refused({"id": 17, "title": "x"}))


# --- not to be read


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"not json",
        b'{"id": "e-1"',
        b'{"id": "e-1"} x',
        b"\xff\xfe{}",
        b'{"id": "\xff"}',
        '{"id": "e-1"}'.encode("utf-16"),
        b'\xef\xbb\xbf{"id": "e-1"}',
        b'{"id": NaN}',
        b'{"id": "\\ud800"}',
        b"[" * 5000 + b"]" * 5000,
        b'{"id": "e-1", "data": ' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"id": "e-1", "data": ' + b'{"a":' * 5000 + b"1" + b"}" * 5001,
        b"[" * 5000,
    ],
    ids=lambda body: repr(body[:24]),
)
def test_what_is_not_json_in_utf_8_is_refused_under_its_message_id(body: bytes) -> None:
    assert refused(body, properties={"message_id": "amqp"}).event_id == "amqp"
    assert refused(body).event_id is None


@pytest.mark.parametrize("field", ["id", "kind", "message", "channel", "tags", "user_id", "service_id", "version_set"])
@pytest.mark.parametrize("deep", [100, 500, 950, 1000, 1020])
def test_a_value_nested_as_deep_as_json_can_be_is_refused_like_any_wrong_type(field: str, deep: int) -> None:
    value = b"[" * deep + b"]" * deep
    error = refused(b'{"id": "e-1", "%s": %s}' % (field.encode(), value))
    assert field.removesuffix("s") in str(error)


@pytest.mark.parametrize(("body", "name"), [([], "array"), ("x", "string"), (5, "number"), (None, "null"), (True, "b")])
def test_json_that_is_no_object_is_refused_by_its_name(body: Any, name: str) -> None:
    assert f"JSON {name}" in str(refused(body))


def test_a_body_is_taken_up_to_the_limit_and_not_a_byte_beyond() -> None:
    body = b'{"id": "e-1"}'
    assert read_event(incoming(body), len(body)).id == "e-1"
    with pytest.raises(InvalidEvent, match=f"{len(body)} bytes, at most {len(body) - 1}") as caught:
        read_event(incoming(body, properties={"message_id": "amqp"}), len(body) - 1)
    assert caught.value.event_id == "amqp"


@pytest.mark.parametrize("encoding", ["utf-8", "UTF-8", "utf8", "identity", None, ""])
def test_plain_content_encodings_are_taken(encoding: str | None) -> None:
    assert read({"id": "e-1"}, properties={"content_encoding": encoding}).id == "e-1"


def test_a_compressed_body_is_refused_by_its_encoding() -> None:
    error = refused(b"\x1f\x8b", properties={"content_encoding": "gzip", "message_id": "amqp"})
    assert "gzip" in str(error)
    assert error.event_id == "amqp"


def test_a_property_that_could_not_be_read_refuses_the_message_by_its_name() -> None:
    error = refused({"id": "e-1"}, unreadable=("app_id", "timestamp"))
    assert "app_id, timestamp" in str(error)


@pytest.mark.parametrize("field", [{"delete_tags": ["é"] * 20_000}, {"tags": {f"é{n}": "v" for n in range(20_000)}}])
def test_of_very_many_faults_the_first_ones_are_named(field: dict[str, Any]) -> None:
    with pytest.raises(InvalidEvent, match=r"and 1999\d more$") as invalid:
        read({"id": "e-1", "kind": "tag", **field})
    assert len(str(invalid.value)) < 2_000
