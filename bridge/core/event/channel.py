"""The nine channels of a conversation and their three types (docs/api-contract.md, 3.1)."""

from collections.abc import Mapping
from types import MappingProxyType

CHANNELS: Mapping[str, str] = MappingProxyType(
    {
        "phone": "voice",
        "web_voice": "voice",
        "mobile_voice": "voice",
        "sms": "text",
        "whatsapp": "text",
        "web_chat": "text",
        "mobile_chat": "text",
        "email": "async",
        "api": "async",
    }
)

DEFAULT_CHANNEL = "api"


def channel_type(channel: str) -> str:
    """`voice`, `text` or `async` for one of the nine channel names; KeyError for any other."""
    return CHANNELS[channel]
