"""The import of the API's edge ends with a clear sentence where the library lacks what is used of it."""

from bridge.edges.amigo._internals import AIOHTTP
from tests.support.library import message_without


def test_a_missing_member_is_named() -> None:
    message = message_without(AIOHTTP, "aiohttp.client_proto:ResponseHandler", "_drop_timeout")
    assert message.startswith(f"{AIOHTTP.name} 99.0 is installed, which has no ")
    assert "aiohttp.client_proto.ResponseHandler._drop_timeout" in message
    assert f"works with {AIOHTTP.name} {AIOHTTP.read_in}" in message
