"""What subscribers get: routing keys, properties, headers, ids."""

import re
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.answer.outbound_message import EventContext, Outbound, RoutingKey, confine, ending_id, line_ids
from bridge.core.event.channel import CHANNELS
from tests.support.making import HEX, NOW_S, OTHER_HEX, context, factory, routed, thrown

CONFINED = re.compile(r"[A-Za-z0-9_-]+")


# --- routing keys


def test_the_key_names_type_of_channel_channel_and_type() -> None:
    keys = {}
    for channel in CHANNELS:
        message = factory().messages(context(channel=channel), "new-message", "id", b"", {})[0]
        keys[channel] = message.routing_key
    assert keys == {channel: f"{type_}.{channel}.new-message" for channel, type_ in CHANNELS.items()}
    assert keys["sms"] == "text.sms.new-message"


def test_the_key_says_async_api_where_the_channel_is_not_known() -> None:
    message = factory().own(EventContext(event_id="e-1"), "bridge-failed", "id", {}, {})[0]
    assert message.routing_key == "async.api.bridge-failed"


def test_every_name_that_the_design_lists_and_every_tag_can_be_used() -> None:
    event = routed(conversation_id=OTHER_HEX, route="r", version_set="v2", tags={"source": "billing"})
    names = {**EventContext.of(event, 1, None).names, "type": "t"}
    expected = {
        "channel_type": "text",
        "channel": "sms",
        "type": "t",
        "route": "r",
        "service_id": HEX,
        "user_id": "user-1",
        "conversation_id": OTHER_HEX,
        "version_set": "v2",
        "source": "billing",
    }
    assert set(names) == {*expected, "bridge_event"}
    for name, value in expected.items():
        assert RoutingKey(f"a.{{{name}}}.b").render(names) == f"a.{value}.b"


def test_a_tag_cannot_take_a_names_place() -> None:
    event = routed(tags={"type": "evil", "channel": "evil", "user_id": "evil"})
    out = factory(Outbound("x", RoutingKey("{type}.{channel}.{user_id}")))
    assert out.messages(EventContext.of(event, 1, None), "t", "id", b"", {})[0].routing_key == "t.sms.user-1"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a.b", "a_b"),
        ("#", "_"),
        ("*", "_"),
        ("a b", "a_b"),
        ("é", "_"),
        ("\ud800", "_"),
        ("a-b_C9", "a-b_C9"),
        ("", "_"),
        (None, "_"),
        (5, "5"),
        ("{channel}", "_channel_"),
    ],
)
def test_a_value_is_confined(value: object, expected: str) -> None:
    assert confine(value) == expected


def test_an_unknown_name_becomes_one_word() -> None:
    assert RoutingKey("a.{no such}.{}.b").render({}) == "a._._.b"


@pytest.mark.parametrize("template", ["{", "}", "a.{b", "a.b}", "{{a}}", "{a{b}c}", "}{"])
def test_a_brace_out_of_place_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match="brace"):
        RoutingKey(template)


@given(
    st.lists(st.sampled_from(["{channel}", "{type}", "{user_id}", "{tag}", "{ type }", "x", "fix-ed", "{no}{type}"])),
    st.dictionaries(
        st.sampled_from(["channel", "type", "user_id", "tag"]), st.one_of(st.text(max_size=300), st.none())
    ),
)
@thrown(500)
def test_no_value_adds_a_word_or_a_character_to_the_key(parts: list[str], values: dict[str, str | None]) -> None:
    key = RoutingKey(".".join(parts)).render(values)
    assert len(key.encode()) <= 255
    words = key.split(".")
    assert len(words) <= len(parts) or not parts
    whole = all(CONFINED.fullmatch(word) for word in words if word)
    assert whole
    if len(key) < 255 and parts:
        assert len(words) == len(parts)
        assert all(words)


def test_a_long_template_is_cut_between_characters() -> None:
    key = RoutingKey("é" * 200 + ".{type}").render({"type": "t"})
    assert key == "é" * 127


# --- properties and headers


def test_the_properties_of_every_message_are_those_of_the_design() -> None:
    message = factory().messages(context(), "new-message", "e-1:s:1", b"{}", {"stream": "s", "sequence": 1})[0]
    assert message.timestamp_s == int(NOW_S)
    assert message.correlation_id == "e-1"
    assert message.message_id == "e-1:s:1"
    assert message.type == "new-message"
    assert message.body == b"{}"
    assert message.mandatory is False


def test_all_headers_are_there_when_all_is_known() -> None:
    about = EventContext.of(routed(route="r", conversation_id=OTHER_HEX), 2, "00-ab-cd-01")
    message = factory().messages(about, "t", "id", b"", {"stream": "s", "sequence": 3, "recovered": True})[0]
    assert message.headers == {
        "event_id": "e-1",
        "conversation_id": OTHER_HEX,
        "user_id": "user-1",
        "service_id": HEX,
        "channel": "sms",
        "channel_type": "text",
        "route": "r",
        "attempt": 2,
        "traceparent": "00-ab-cd-01",
        "stream": "s",
        "sequence": 3,
        "recovered": True,
    }
    assert type(message.headers["attempt"]) is int


def test_a_header_whose_value_is_not_known_is_absent() -> None:
    assert factory().own(EventContext(event_id="e-1"), "bridge-failed", "id", {}, {})[0].headers == {"event_id": "e-1"}


def test_what_is_known_of_the_conversation_is_not_forgotten() -> None:
    assert context(conversation_id=HEX).within(None).conversation_id == HEX
    assert context(conversation_id=HEX).within(OTHER_HEX).conversation_id == OTHER_HEX
    assert context().within(None).conversation_id is None


@pytest.mark.parametrize(
    ("types", "type_", "taken"),
    [
        (("*",), "anything", True),
        (("interaction-complete",), "interaction-complete", True),
        (("interaction-complete",), "interaction-completed", False),
        (("new-*", "bridge-*"), "bridge-failed", True),
        (("New-*",), "new-message", False),
        (("*-message",), "new-message", True),
        (("[ab]",), "a", True),
    ],
)
def test_an_outbound_takes_what_its_filter_names(types: tuple[str, ...], type_: str, taken: bool) -> None:
    outbound = Outbound("x", RoutingKey("k"), types)
    assert outbound.takes(type_) is taken
    assert len(factory(outbound).messages(context(), type_, "id", b"", {})) == taken


def test_a_required_outbound_is_published_mandatory() -> None:
    out = factory(Outbound("x", RoutingKey("k"), required=True), Outbound("y", RoutingKey("k")))
    assert [message.mandatory for message in out.messages(context(), "t", "id", b"", {})] == [True, False]


def test_an_outbound_knows_its_place_even_where_earlier_ones_take_nothing() -> None:
    out = factory(Outbound("x", RoutingKey("k"), ("other",)), Outbound("y", RoutingKey("k")))
    assert [message.to.outbound for message in out.messages(context(), "t", "id", b"", {})] == [1]


def test_cloudevents_headers_are_added_where_asked_and_only_there() -> None:
    out = factory(Outbound("x", RoutingKey("k"), cloudevents=True), Outbound("y", RoutingKey("k")))
    with_them, without = out.messages(context(conversation_id=HEX), "t", "e-1:s:1", b"", {"sequence": 1})
    added = {name: value for name, value in with_them.headers.items() if name.startswith("cloudEvents:")}
    assert added == {
        "cloudEvents:specversion": "1.0",
        "cloudEvents:id": "e-1:s:1",
        "cloudEvents:source": "/amigo-bridge",
        "cloudEvents:type": "t",
        "cloudEvents:time": "2023-11-14T22:13:20Z",
        "cloudEvents:subject": HEX,
    }
    assert {name: value for name, value in with_them.headers.items() if name not in added} == without.headers


def test_cloudevents_subject_is_absent_where_no_conversation_is_known() -> None:
    out = factory(Outbound("x", RoutingKey("k"), cloudevents=True))
    assert "cloudEvents:subject" not in out.messages(context(), "t", "id", b"", {})[0].headers


# --- ids and own events


def test_the_forms_of_message_ids() -> None:
    assert line_ids("e-1", "0123456789ab") + "7" == "e-1:0123456789ab:7"
    assert ending_id("e-1", "interaction-complete") == "e-1:interaction-complete"


def test_the_longest_event_id_leaves_room_for_every_message_id() -> None:
    longest = "é" * 100
    for message_id in (
        line_ids(longest, "0" * 12) + str(10**9),
        ending_id(longest, "bridge-coalesced") + ":1000000",
        ending_id(longest, "recommended-responses"),
        f"{longest}:{'0' * 12}:voided-before",
        f"{longest}:message-source:{HEX}",
    ):
        assert len(message_id.encode()) <= 255


@pytest.mark.parametrize("conversation_id", [None, HEX])
def test_an_own_event_says_what_it_is_and_what_it_is_about(conversation_id: str | None) -> None:
    facts: dict[str, Any] = {"reason": "rejected", "error": "no such “service”", "attempts": 2}
    message = factory().own(context(conversation_id=conversation_id), "bridge-failed", "id", facts, {"stream": "s"})[0]
    about = {"conversation_id": HEX} if conversation_id else {}
    assert orjson.loads(message.body) == {"type": "bridge-failed", "event_id": "e-1", **about, **facts}
    assert (message.type, message.headers["stream"]) == ("bridge-failed", "s")


def test_within_a_conversation_the_subject_keeps_everything_else() -> None:
    whole = EventContext("e", "u", "s", "sms", "release", "r", 2, None, "00-1", "stream", {"a": "b"}, "other")
    assert whole.within(HEX) == replace(whole, conversation_id=HEX)
