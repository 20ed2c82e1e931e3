"""The nine channels and their three types."""

import pytest

from bridge.core.event.channel import CHANNELS, DEFAULT_CHANNEL, channel_type


def test_the_nine_channels_have_the_types_of_the_contract() -> None:
    by_type = {type_: {name for name in CHANNELS if channel_type(name) == type_} for type_ in CHANNELS.values()}
    assert by_type == {
        "voice": {"phone", "web_voice", "mobile_voice"},
        "text": {"sms", "whatsapp", "web_chat", "mobile_chat"},
        "async": {"email", "api"},
    }
    assert len(CHANNELS) == 9


def test_the_default_is_one_of_them() -> None:
    assert channel_type(DEFAULT_CHANNEL) == "async"


@pytest.mark.parametrize("name", ["", "SMS", "fax", "text"])
def test_any_other_name_is_a_key_error(name: str) -> None:
    with pytest.raises(KeyError):
        channel_type(name)
