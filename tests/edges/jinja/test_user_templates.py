"""Templates of a route's user: text and numbers alone, and not rendered where the event says who it is."""

from typing import Any

import pytest

from bridge.core.errors import InvalidEvent
from bridge.core.event.event import Event
from bridge.core.event.event_fields import EventKind
from bridge.core.event.inbound_message import InboundMessage
from bridge.core.event.route import Route
from bridge.core.event.user import UserByEmail
from bridge.edges.jinja import JinjaRoutes

SERVICE = "5f0000000000000000000001"
INCOMING = InboundMessage(b"{}", exchange="bridge.events", routing_key="crm.alert")
USER = {"email": "{{ data.email }}", "create.first_name": "{{ data.first }}"}
ROUTE = Route("r", user=USER, message="x", service_id=SERVICE)


def rendered(data: Any, **fields: Any) -> dict[str, str]:
    return dict(JinjaRoutes([ROUTE]).render(ROUTE, Event("e1", data=data, **fields), INCOMING).user)


def test_the_user_is_made_of_the_data() -> None:
    made = rendered({"email": "ada@example.com", "first": 7})
    assert made == {"email": "ada@example.com", "create.first_name": "7"}


@pytest.mark.parametrize("value", [None, True, False, [], {}, ["ada@example.com"]])
@pytest.mark.parametrize(("name", "template"), [("email", "user.email"), ("first", "user.create.first_name")])
def test_null_booleans_and_containers_fail_the_template(value: object, name: str, template: str) -> None:
    with pytest.raises(InvalidEvent, match=f"template {template}"):
        rendered({"email": "ada@example.com", "first": "Ada", name: value})


def test_what_is_missing_fails_the_template() -> None:
    with pytest.raises(InvalidEvent, match=r"template user\.create\.first_name"):
        rendered({"email": "ada@example.com"})


@pytest.mark.parametrize(
    "fields", [{"user_id": "user-1"}, {"user": UserByEmail("bob@example.com")}, {"kind": EventKind.CANCEL}]
)
def test_where_the_event_says_it_nothing_is_rendered(fields: dict[str, Any]) -> None:
    assert rendered({}, **fields) == {}
