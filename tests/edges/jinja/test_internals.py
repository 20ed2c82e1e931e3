"""The import of the templates' edge ends with a clear sentence where the library lacks what is used of it."""

from bridge.edges.jinja._internals import JINJA
from tests.support.library import message_without


def test_a_missing_member_is_named() -> None:
    message = message_without(JINJA, "jinja2.filters", "make_attrgetter")
    assert message.startswith(f"{JINJA.name} 99.0 is installed, which has no ")
    assert "jinja2.filters.make_attrgetter" in message
    assert f"works with {JINJA.name} {JINJA.read_in}" in message
