"""The import of the HTTP server's edge ends with a clear sentence where the library lacks what is used of it."""

from bridge.edges.http._internals import AIOHTTP
from tests.support.library import message_without


def test_a_missing_member_is_named() -> None:
    message = message_without(AIOHTTP, "aiohttp.web:RequestHandler", "handle_error")
    assert message.startswith(f"{AIOHTTP.name} 99.0 is installed, which has no ")
    assert "aiohttp.web.RequestHandler.handle_error" in message
    assert f"works with {AIOHTTP.name} {AIOHTTP.read_in}" in message
