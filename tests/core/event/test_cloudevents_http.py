"""CloudEvents at the webhook door, in both modes: one id is one event, and what the queue gets is the data."""

import base64
import json
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.broker.topology import Inbound
from bridge.core.event.event import read_event
from bridge.core.webhook import webhook
from bridge.core.webhook.problem import Problem
from bridge.core.webhook.signature import HmacForm, HttpRequest, Source
from bridge.core.webhook.webhook import Webhook
from tests.support.making import MIB, incoming, thrown
from tests.support.webhooks import percent

DOOR = Source("door", "bearer")
INBOUND = Inbound("bridge.events", "bridge.events", ("#",), 1, MIB)
HEX = "67d871c23eb91293ecfae8b0"
STRUCTURED = "application/cloudevents+json"
ENVELOPE = {
    "specversion": "1.0",
    "id": "A234-1234-1234",
    "source": "/mycontext/4",
    "type": "com.example.someevent",
    "time": "2018-04-05T17:31:00Z",
    "subject": "Größe",
    "comexampleextension1": "value",
    "comexampleothervalue": 5,
    "flag": True,
    "data": {"severity": "high"},
}
SHOWN = {
    "ce-specversion": "1.0",
    "ce-id": "A234-1234-1234",
    "ce-source": "/mycontext/4",
    "ce-type": "com.example.someevent",
    "ce-time": "2018-04-05T17:31:00Z",
    "ce-subject": "Größe",
    "ce-comexampleextension1": "value",
    "ce-comexampleothervalue": "5",
    "ce-flag": "true",
    "content-type": "application/json",
}


def structured(envelope: Any, content_type: str = STRUCTURED, **headers: str) -> HttpRequest:
    body = envelope if isinstance(envelope, bytes) else orjson.dumps(envelope)
    named = {name.replace("_", "-"): (value,) for name, value in headers.items()}
    return HttpRequest({"content-type": (content_type,), **named}, body)


def binary(body: bytes, content_type: str = "application/json", **attributes: str) -> HttpRequest:
    found = {"specversion": "1.0", "id": "b-1", "source": "/s", "type": "t", **attributes}
    headers = {f"ce-{name}": (value,) for name, value in found.items()}
    return HttpRequest({**({"content-type": (content_type,)} if content_type else {}), **headers}, body)


def read(request: HttpRequest, source: Source = DOOR) -> Webhook:
    webhook.check_type(source, request)
    return webhook.read(source, request, None)


def refused(request: HttpRequest) -> int:
    with pytest.raises(Problem) as caught:
        webhook.inbound_message(read(request), INBOUND, 0.0)
    return caught.value.status


def as_queued(found: Webhook) -> Any:
    """What the reader of the queue makes of it."""
    message = webhook.inbound_message(found, INBOUND, 2e9)
    properties = {"message_id": message.message_id, "content_type": "application/json"}
    return read_event(incoming(message.body, properties=properties, headers=message.headers), MIB)


def test_both_modes_are_the_same_event() -> None:
    in_envelope = read(structured(ENVELOPE))
    texts = {name.removeprefix("ce-"): percent(text.encode()) for name, text in SHOWN.items() if name != "content-type"}
    in_headers = read(binary(b'{"severity":"high"}', **texts))
    for found in (in_envelope, in_headers):
        assert (found.id, found.keys) == ("door:A234-1234-1234", ("door:A234-1234-1234",))
        assert (found.body, found.data) == (b'{"severity":"high"}', {"severity": "high"})
        assert found.headers == SHOWN
        event = as_queued(found)
        assert (event.id, event.data, event.foreign) == ("door:A234-1234-1234", {"severity": "high"}, True)


def test_one_id_is_one_event_whatever_else_is_said_again() -> None:
    later = {**ENVELOPE, "time": "2018-04-05T17:32:00Z", "attempt": 2}
    assert read(structured(later)).id == read(structured(ENVELOPE)).id
    assert read(structured({**ENVELOPE, "id": "B"})).id == "door:B"


def test_data_that_is_an_event_is_one() -> None:
    body = {"message": "Hello", "service_id": HEX, "id": "chosen"}
    for request in (structured({**ENVELOPE, "data": body}), binary(orjson.dumps(body), id="A234-1234-1234")):
        event = as_queued(read(request))
        assert (event.id, event.message, event.service_id) == ("door:A234-1234-1234", "Hello", HEX)
    assert refused(structured({**ENVELOPE, "data": {"message": " "}})) == 422


def test_data_keeps_its_bytes() -> None:
    data = b'{ "n": 123456789012345678901234567890,\n "d": 1.10, "s": "\\u00e9\\"}," , "e": 1E300 }'
    start = b' {"data" :'
    rest = b', "specversion":"1.0" , "id":"1", "source":"/s","type":"t", "x": [1, {"y": "}"}] } '
    assert read(structured(start + data + rest)).body == data
    assert read(structured(start + b"9" * 300 + rest)).body == b"9" * 300
    assert read(binary(data)).body == data
    huge = b'{"n": ' + b"9" * 5000 + b', "e": 1E400}'
    assert read(structured(start + huge + rest)).body == read(binary(huge)).body == huge
    assert as_queued(read(binary(huge))).data["e"] == Decimal("1E400")
    twice = b'{"data": 1, "data": {"a": 2}, "d\\u0061ta": [3], "specversion": "1.0", "id": "1"}'
    assert (read(structured(twice)).body, read(structured(twice)).data) == (b"[3]", [3])


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('ab"\\{},:', max_size=3), inner, max_size=4),
    max_leaves=12,
)


@thrown(300)
@given(VALUES, st.permutations(["data", *ENVELOPE]), st.sampled_from([None, 1, 3]), st.booleans())
def test_whatever_the_data_is_its_own_bytes_are_taken(
    data: Any, order: list[str], indent: int | None, ascii_only: bool
) -> None:
    envelope = {**ENVELOPE, "data": data}
    written = json.dumps({name: envelope[name] for name in order}, indent=indent, ensure_ascii=ascii_only)
    found = read(structured(written.encode()))
    assert json.loads(found.body) == data == found.data
    assert found.body in written.encode()
    assert found.headers == SHOWN


@pytest.mark.parametrize(
    ("changed", "body"),
    [
        ({"data": None}, b"null"),
        ({"data": "text"}, b'"text"'),
        ({"data": [1, 2]}, b"[1,2]"),
        ({"data": 0}, b"0"),
        ({"data_base64": base64.b64encode(b'{"a": 1.0}').decode()}, b'{"a": 1.0}'),
        ({"data": [1, 2], "data_base64": None}, b"[1,2]"),
        ({"data": None, "data_base64": None}, b"null"),
    ],
)
def test_data_may_be_any_json(changed: dict[str, Any], body: bytes) -> None:
    found = read(structured({**ENVELOPE, **changed}))
    assert (found.body, found.data) == (body, json.loads(body))
    assert as_queued(found).foreign


def test_there_may_be_no_data() -> None:
    without = {name: value for name, value in ENVELOPE.items() if name != "data"}
    for request in (structured(without), binary(b""), binary(b"", content_type="")):
        found = read(request)
        assert (found.body, found.data, as_queued(found).data) == (b"null", None, None)


def test_a_form_may_be_data() -> None:
    found = read(binary(b"a=1&b=2", content_type="application/x-www-form-urlencoded"))
    assert (found.id, found.body) == ("door:b-1", b'{"a":"1","b":"2"}')


@pytest.mark.parametrize(
    "kind",
    [
        "application/cloudevents-batch+json",
        "Application/CloudEvents-Batch+JSON; charset=utf-8",
        "application/cloudevents",
        "application/cloudevents+xml",
        "application/cloudevents+avro",
        "application/cloudevents-batch",
    ],
)
def test_batches_and_other_formats_are_415(kind: str) -> None:
    assert refused(structured([ENVELOPE], kind)) == 415
    assert refused(structured([ENVELOPE], kind, ce_specversion="1.0", ce_id="1")) == 415


@pytest.mark.parametrize("kind", [STRUCTURED, "Application/CloudEvents+JSON; charset=UTF-8"])
def test_an_envelope_is_one_whatever_headers_say(kind: str) -> None:
    found = read(structured(ENVELOPE, kind, ce_id="other", ce_specversion="0.3", ce_more="x"))
    assert found.id == "door:A234-1234-1234"
    assert found.headers == SHOWN


def test_data_that_is_nested_as_deep_as_python_may_go_is_taken_whole_or_refused() -> None:
    """Python 3.11 reads a thousand levels, 3.13 more."""
    data = b"[" * 1010 + b"]" * 1010
    request = structured(b'{"specversion": "1.0", "id": "1", "data": ' + data + b"}")
    assert outcome(request) in (400, data)


def outcome(request: HttpRequest) -> int | bytes:
    """The status of the refusal, or the data in bytes."""
    try:
        return read(request).body
    except Problem as refusal:
        return refusal.status


@pytest.mark.parametrize(
    ("envelope", "status"),
    [
        ([ENVELOPE], 422),
        ("text", 422),
        ({**ENVELOPE, "specversion": "0.3"}, 422),
        ({**ENVELOPE, "specversion": 1.0}, 422),
        ({"id": "1"}, 422),
        ({**ENVELOPE, "id": 5}, 422),
        ({**ENVELOPE, "data_base64": "%"}, 422),
        ({**ENVELOPE, "data_base64": base64.b64encode(b"\xff").decode()}, 422),
        (b"{", 400),
        (b"", 400),
        (b"\xff", 400),
        (b'{"specversion": "1.0", "id": "\\ud800"}', 400),
        (b'{"specversion": "1.0", "id": "1", "data": ' + b"[" * 9999 + b"]" * 9999 + b"}", 400),
    ],
)
def test_what_is_no_cloudevent_is_refused(envelope: Any, status: int) -> None:
    assert refused(structured(envelope)) == status


@pytest.mark.parametrize(
    ("attributes", "status"),
    [
        ({"specversion": "0.3"}, 422),
        ({"specversion": ""}, 422),
        ({"id": "%FF"}, 400),
        ({"id": "%C0%A0"}, 400),
        ({"subject": "%ED%A0%80"}, 400),
        ({"subject": "\udcff"}, 400),
    ],
)
def test_attributes_that_are_none_are_refused(attributes: dict[str, str], status: int) -> None:
    assert refused(binary(b"{}", **attributes)) == status


def test_an_attribute_stands_once() -> None:
    request = binary(b"{}")
    assert refused(HttpRequest({**request.headers, "ce-id": ("1", "2")}, b"{}")) == 422


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ("Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"),
        ("Euro €", "Euro €"),
        ("100%25", "100%"),
        ("%2525", "%25"),
        ("100%", "100%"),
        ("%zz", "%zz"),
        ("%41%62%63", "Abc"),
        ("a+b", "a+b"),
        ('"quoted \\"text\\" and %22"', 'quoted "text" and "'),
    ],
)
def test_attributes_in_headers_are_decoded_once(sent: str, said: str) -> None:
    found = read(binary(b"{}", id=sent, subject=sent))
    assert (found.id, found.headers["ce-subject"]) == (f"door:{said}", said)


def test_without_a_version_there_is_no_cloudevent() -> None:
    request = HttpRequest({"content-type": ("application/json",), "ce-id": ("%FF",)}, b'{"a":1}')
    found = read(request)
    assert (len(found.id), found.headers["ce-id"]) == (69, "%FF")
    assert refused(HttpRequest({"ce-id": ("1",)}, b"{}")) == 415
    assert refused(HttpRequest({"content-type": ("text/plain",), "ce-specversion": ("1.0",)}, b"{}")) == 415


def test_an_id_that_the_scheme_has_goes_before() -> None:
    headers = {"x-github-delivery": "d-1", "x-own": "o-1", "webhook-id": "w-1"}
    for source, expected in (
        (Source("s", "github"), "s:d-1"),
        (Source("s", "bearer", id_header="X-Own"), "s:o-1"),
        (Source("s", "hmac", hmac=HmacForm("X-S", id_header="X-Own")), "s:o-1"),
        (Source("s", "standard-webhooks"), "s:w-1"),
        (Source("s", "bearer"), "s:A234-1234-1234"),
        (Source("s", "bearer", id_header="X-Absent"), "s:A234-1234-1234"),
        (Source("s", "stripe"), "s:A234-1234-1234"),
    ):
        named = {name.replace("-", "_"): value for name, value in headers.items()}
        inner = {**ENVELOPE, "data": {"id": "of-the-data", "event_id": "of-the-data"}}
        assert read(structured(inner, **named), source).id == expected
    assert read(binary(b'{"id": "evt_1"}'), Source("s", "stripe")).id == "s:evt_1"


def test_without_an_id_the_bodys_digest_is_it() -> None:
    for id_ in ("", None):
        assert len(read(structured({**ENVELOPE, "id": id_})).id) == len("door:") + 64
    assert len(read(binary(b"{}", id="")).id) == len("door:") + 64


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("2018-04-05T17:31:00Z", 1_522_949_460),
        ("2018-04-05T17:31:00.123456789Z", 1_522_949_460),
        ("2018-04-05T19:31:00+02:00", 1_522_949_460),
        ("2018-04-05T17:31:00", 1_600_000_000),
        ("2999-04-05T17:31:00Z", 1_600_000_000),
        ("1914-07-28T00:00:00Z", 1_600_000_000),
        ("0001-01-01T00:00:00+14:00", 1_600_000_000),
        ("yesterday", 1_600_000_000),
        (5, 1_600_000_000),
        (None, 1_600_000_000),
    ],
)
def test_the_messages_time_is_the_events_where_that_can_be(time: Any, expected: int) -> None:
    found = read(structured({**ENVELOPE, "time": time}))
    assert webhook.inbound_message(found, INBOUND, 1_600_000_000.5).timestamp_s == expected


def test_attributes_are_headers_like_others() -> None:
    odd = {"wide": "é" * 513, "token": "canary", "Upper": "x", "with-dash": "x", "list": [1], "null": None}
    found = read(structured({**ENVELOPE, **odd}))
    assert found.headers == SHOWN
    kind = read(structured({**ENVELOPE, "datacontenttype": "application/vnd.thing+json"}))
    assert kind.headers["content-type"] == "application/vnd.thing+json"


def test_what_the_platform_sends_stays_as_it_is() -> None:
    found = read(structured(ENVELOPE, x_amigo_idempotent_key="k"), Source("platform", "amigo"))
    assert found.id == "platform:k"
    assert isinstance(found.data, dict)
    assert found.data["id"] == "A234-1234-1234"
