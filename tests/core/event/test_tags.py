"""Conversation tags: the bridge's own, the reserved ones, and what the API accepts."""

import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.event.channel import CHANNELS
from bridge.core.event.tags import changes, channel_tags, event_tag, faults, own_tags
from tests.support.making import thrown


def test_the_event_tag_is_the_first_32_hex_digits_of_the_ids_sha_256() -> None:
    assert event_tag("e-1") == hashlib.sha256(b"e-1").hexdigest()[:32]
    assert event_tag("é") == hashlib.sha256("é".encode()).hexdigest()[:32]


@given(st.text(max_size=20))
@thrown(200)
def test_every_id_has_an_event_tag_that_the_api_takes_as_a_tag(event_id: str) -> None:
    assert re.fullmatch(r"[0-9a-f]{32}", event_tag(event_id))
    assert faults({"x": event_tag(event_id)}) == []


@pytest.mark.parametrize("channel", CHANNELS)
def test_the_bridges_own_tags(channel: str) -> None:
    assert own_tags("e-1", channel) == {
        "channel": channel,
        "channel_type": CHANNELS[channel],
        "bridge_event": event_tag("e-1"),
    }
    assert own_tags("e-1", channel).keys() - channel_tags(channel).keys() == {"bridge_event"}


@pytest.mark.parametrize("text", ["a", "a" * 100, "a b", "A_9", "_", " a "])
def test_good_text_is_good_as_key_and_as_value(text: str) -> None:
    assert faults({text: "v", "other": text}) == []


@pytest.mark.parametrize("text", ["", " ", "   ", "a" * 101, "a-b", "a.b", "é", "a\n", "\t", "٣", "a\u00a0b"])
def test_bad_text_is_bad_as_key_and_as_value(text: str) -> None:
    assert len(faults({text: "v"})) == 1
    assert len(faults({"k": text})) == 1


@pytest.mark.parametrize("value", [None, 5, True, b"x", [], {}])
def test_only_strings_are_tags(value: object) -> None:
    assert len(faults({"k": value})) == 1
    if not isinstance(value, list | dict):
        assert len(faults({value: "v"})) == 1


@pytest.mark.parametrize("key", ["channel", "channel_type", "bridge_event", " channel", "bridge_event  "])
def test_reserved_keys_are_refused_however_they_are_padded(key: str) -> None:
    assert "reserved" in faults({key: "v"})[0]


def test_twenty_tags_in_all_leave_seventeen_beside_the_bridges_own() -> None:
    assert faults({f"k{n}": "v" for n in range(17)}) == []
    assert faults({f"k{n}": "v" for n in range(18)}) == ["18 tags, at most 17 beside the bridge's own"]


def test_every_fault_is_named_with_its_key() -> None:
    found = faults({"a-b": "v", "good": "v", "bad": "-", "channel": "sms"})
    assert len(found) == 3
    for key in ("a-b", "bad", "channel"):
        assert any(repr(key) in fault for fault in found)


def test_only_what_differs_is_written() -> None:
    present = {"channel": "sms", "source": None, "kept": "x"}
    assert changes({"channel": "sms", "source": "billing", "new": "y"}, present) == {"source": "billing", "new": "y"}
    assert changes({}, present) == {}
