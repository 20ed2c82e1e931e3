"""The import of the broker's edge ends with a clear sentence where a library lacks what is used of it."""

import pytest

from bridge.core.library import Library
from bridge.edges.rabbitmq._internals import AIO_PIKA, AIORMQ, PAMQP
from tests.support.library import message_without


@pytest.mark.parametrize(
    ("library", "place", "member"),
    [
        (AIORMQ, "aiormq:Connection", "_rpc"),
        (AIORMQ, "aiormq:Channel", "_on_confirm_frame"),
        (AIORMQ, "aiormq:Channel", "write_queue"),
        (AIORMQ, "aiormq.connection", "exception_by_code"),
        (AIO_PIKA, "aio_pika:Connection", "_on_connected"),
        (PAMQP, "pamqp.decode", "METHODS"),
    ],
)
def test_a_missing_member_is_named(library: Library, place: str, member: str) -> None:
    missing = f"{place.replace(':', '.')}.{member}"
    message = message_without(library, place, member)
    assert message.startswith(f"{library.name} 99.0 is installed, which has no ")
    assert missing in message
    assert f"works with {library.name} {library.read_in}" in message
