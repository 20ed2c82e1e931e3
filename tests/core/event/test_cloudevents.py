"""CloudEvents 1.0: structured mode, binary mode with both prefixes, and what is refused of it."""

import base64
import json
from typing import Any

import pytest

from bridge.core.errors import InvalidEvent
from bridge.core.event.cloudevents import CloudEvent, unwrap
from bridge.core.event.event import Event, read_event
from tests.support.making import HEX, MIB, incoming

STRUCTURED = {"content_type": "application/cloudevents+json"}
ENVELOPE = {"specversion": "1.0", "id": "ce-1", "source": "/billing", "type": "billing.alert"}


def binary(prefix: str = "cloudEvents:", **attributes: Any) -> dict[str, Any]:
    return {f"{prefix}{name}": value for name, value in {**ENVELOPE, **attributes}.items()}


def structured(**fields: Any) -> Event:
    return read_event(incoming({**ENVELOPE, **fields}, properties=STRUCTURED), MIB)


def refused(body: Any, **rest: Any) -> InvalidEvent:
    with pytest.raises(InvalidEvent) as caught:
        read_event(incoming(body, **rest), MIB)
    assert str(caught.value)
    return caught.value


def test_a_message_without_cloudevents_is_none() -> None:
    assert unwrap(incoming({"id": "e-1"}, properties={"content_type": "application/json"}, headers={"a": 1})) is None


def test_structured_data_is_the_event() -> None:
    event = structured(data={"message": "hello", "service_id": HEX})
    assert (event.id, event.message, event.service_id, event.foreign) == ("ce-1", "hello", HEX, False)


def test_structured_foreign_data_is_for_the_templates_and_the_envelopes_id_counts() -> None:
    assert structured(data={"id": "inner", "title": "x"}) == Event(
        id="ce-1", data={"id": "inner", "title": "x"}, foreign=True
    )


@pytest.mark.parametrize("data", [None, 5, "text", [], [1, {"a": 2}], True])
def test_data_may_be_any_json_value(data: Any) -> None:
    assert structured(data=data) == Event(id="ce-1", data=data, foreign=True)


def test_data_may_be_absent() -> None:
    assert structured() == Event(id="ce-1", data=None, foreign=True)


def test_the_content_types_parameters_and_case_do_not_matter() -> None:
    properties = {"content_type": "Application/CloudEvents+JSON; charset=UTF-8"}
    assert unwrap(incoming({**ENVELOPE, "data": 1}, properties=properties)) == CloudEvent("ce-1", 1)


def test_structured_data_may_be_base64_of_json() -> None:
    inner = base64.b64encode(json.dumps({"message": "hello"}).encode()).decode()
    assert structured(data_base64=inner).message == "hello"


@pytest.mark.parametrize("inner", ["%%%", "YQ", "YQ=", 5, [], "ü", base64.b64encode(b"\xff").decode(), "e30=x"])
def test_data_that_is_not_base64_of_json_is_refused_under_the_envelopes_id(inner: Any) -> None:
    assert refused({**ENVELOPE, "data_base64": inner}, properties=STRUCTURED).event_id == "ce-1"


def test_a_member_that_is_null_is_none() -> None:
    """cloudevents.io, JSON format, section 2.2: null is the same as unset."""
    assert structured(data_base64=None) == Event(id="ce-1", data=None, foreign=True)
    assert structured(data_base64=None, data={"message": "hello"}).message == "hello"


@pytest.mark.parametrize("prefix", ["cloudEvents:", "cloudEvents_"])
def test_binary_mode_is_understood_with_both_prefixes(prefix: str) -> None:
    event = read_event(incoming({"message": "hello"}, headers=binary(prefix)), MIB)
    assert (event.id, event.message) == ("ce-1", "hello")


def test_binary_attributes_may_be_bytes() -> None:
    headers = {name: bytearray(value.encode()) for name, value in binary().items()}
    assert read_event(incoming({"message": "hello"}, headers=headers), MIB).id == "ce-1"


def test_binary_mode_without_a_body_has_no_data() -> None:
    assert unwrap(incoming(b"", headers=binary())) == CloudEvent("ce-1", None)


def test_binary_data_that_is_not_json_is_refused_under_the_envelopes_id() -> None:
    assert refused(b"\xff", headers=binary(), properties={"message_id": "amqp"}).event_id == "ce-1"


def test_headers_with_the_prefix_but_no_specversion_are_no_cloudevent() -> None:
    assert unwrap(incoming({}, headers={"cloudEvents:id": "ce-1"})) is None


@pytest.mark.parametrize("content_type", ["application/cloudevents-batch+json", "application/cloudevents+avro"])
def test_a_batch_and_other_formats_are_refused_by_their_name(content_type: str) -> None:
    error = refused([ENVELOPE], properties={"content_type": content_type, "message_id": "amqp"})
    assert content_type in str(error)
    assert error.event_id == "amqp"


@pytest.mark.parametrize("version", ["0.3", "1.1", "", 1.0, None, ["1.0"], {"a": 1}])
def test_another_specversion_is_refused_in_both_modes(version: Any) -> None:
    assert "specversion" in str(refused({**ENVELOPE, "specversion": version}, properties=STRUCTURED))
    assert "specversion" in str(refused({}, headers=binary(specversion=version)))


def test_a_structured_envelope_without_specversion_is_refused() -> None:
    assert "specversion" in str(refused({"id": "ce-1", "data": {}}, properties=STRUCTURED))


@pytest.mark.parametrize("version", ["0.3", None])
def test_where_only_the_version_is_wrong_the_id_is_known_all_the_same(version: Any) -> None:
    properties = {"message_id": "amqp"}
    broken = {**ENVELOPE, "specversion": version}
    assert refused(broken, properties={**STRUCTURED, **properties}).event_id == "ce-1"
    assert refused({}, headers=binary(specversion=version), properties=properties).event_id == "ce-1"


@pytest.mark.parametrize("event_id", [5, True, ["x"], {}])
def test_an_id_that_is_no_string_is_refused_in_both_modes(event_id: Any) -> None:
    said = "the CloudEvents id is not a string"
    assert str(refused({**ENVELOPE, "id": event_id}, properties=STRUCTURED)) == said
    assert str(refused({}, headers=binary(id=event_id))) == said


def test_an_absent_or_empty_id_leaves_it_to_the_message_id() -> None:
    properties = {**STRUCTURED, "message_id": "amqp"}
    assert read_event(incoming({**ENVELOPE, "id": ""}, properties=properties), MIB).id == "amqp"
    assert read_event(incoming({**ENVELOPE, "id": None}, properties=properties), MIB).id == "amqp"
    assert refused({**ENVELOPE, "id": None}, properties=STRUCTURED).event_id is None


def test_an_id_that_is_too_long_is_refused_and_the_ending_goes_under_the_message_id() -> None:
    properties = {**STRUCTURED, "message_id": "amqp"}
    assert refused({**ENVELOPE, "id": "x" * 201}, properties=properties).event_id == "amqp"


@pytest.mark.parametrize("body", [b"", b"[]", b"5", b"\xff", b"[" * 5000, b'{"specversion": "1.0"'])
def test_a_broken_envelope_is_refused_under_the_message_id(body: bytes) -> None:
    assert refused(body, properties={**STRUCTURED, "message_id": "amqp"}).event_id == "amqp"


@pytest.mark.parametrize("deep", [500, 1000, 1020])
def test_a_deeply_nested_specversion_is_refused_like_any_other(deep: int) -> None:
    body = b'{"specversion": ' + b"[" * deep + b"]" * deep + b"}"
    assert "specversion" in str(refused(body, properties=STRUCTURED))
