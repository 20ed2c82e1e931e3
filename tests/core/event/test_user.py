"""docs/semantics.md, Users: the field `user`, row by row, and which of the names of a user wins."""

from dataclasses import replace
from typing import Any

import pytest

from bridge.core.errors import InvalidEvent
from bridge.core.event.event import read_event
from bridge.core.event.event_fields import EventKind
from bridge.core.event.route import Defaults, Rendered, Route, RoutedEvent, resolve
from bridge.core.event.user import MAX_EMAIL, NewUser, UserByEmail, check_user, user_of
from tests.support.making import HEX, event, incoming, routed

ADA = {"first_name": "Ada", "last_name": "Lovelace"}
EMAIL = "Ada@Example.com"
OWN = Defaults(user_id="bridge-bot")
LIMIT = 1024 * 1024


def resolved(
    rendered: Rendered | None = None, defaults: Defaults = OWN, route: Route | None = None, **fields: Any
) -> RoutedEvent:
    return resolve(event(**fields), route, rendered or Rendered(), defaults)


@pytest.mark.parametrize(
    "value",
    [
        None,
        {"email": EMAIL},
        {"email": " ada@example.com "},
        {"email": EMAIL, "create": None},
        {"email": EMAIL, "create": ADA},
        {"email": EMAIL, "create": {**ADA, "role_name": "R", "timezone": "Europe/London", "preferred_language": "eng"}},
        {"email": EMAIL, "create": {**ADA, "timezone": None}},
    ],
)
def test_what_may_stand_in_user(value: object) -> None:
    assert check_user(value) is None


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("ada@example.com", "user is not an object"),
        ({}, "user is not an object"),
        ({"email": EMAIL, "name": "Ada"}, "user is not an object"),
        ({"email": None}, "user.email is no"),
        ({"email": "ada"}, "user.email is no"),
        ({"email": "a da@example.com"}, "user.email is no"),
        ({"email": "ada@exa\nmple.com"}, "user.email is no"),
        ({"email": "ada@b@example.com"}, "user.email is no"),
        ({"email": "a@" + "b" * MAX_EMAIL}, "user.email is no"),
        ({"email": EMAIL, "create": True}, "user.create is not an object"),
        ({"email": EMAIL, "create": {}}, "user.create.first_name is not a text"),
        ({"email": EMAIL, "create": {"first_name": "Ada"}}, "user.create.last_name is not a text"),
        ({"email": EMAIL, "create": {**ADA, "first_name": " "}}, "user.create.first_name is not a text"),
        ({"email": EMAIL, "create": {**ADA, "timezone": 1}}, "user.create.timezone is not a text"),
        ({"email": EMAIL, "create": {**ADA, "last_name": "x" * 201}}, "user.create.last_name is not a text"),
        ({"email": EMAIL, "create": {**ADA, "admin": "yes"}}, r"user.create has unknown fields \(admin\)"),
    ],
)
def test_what_may_not_and_no_error_has_the_e_mail(value: object, fault: str) -> None:
    with pytest.raises(InvalidEvent, match=fault) as raised:
        read_event(incoming({"id": "e-1", "message": "hello", "service_id": HEX, "user": value}), LIMIT)
    assert "ada" not in str(raised.value).lower()


def test_the_field_is_read_without_blanks_and_with_the_usual_role() -> None:
    assert user_of(None) is None
    assert user_of({"email": f" {EMAIL} "}) == UserByEmail(EMAIL)
    assert user_of({"email": EMAIL, "create": {**ADA, "first_name": " Ada ", "timezone": None}}) == UserByEmail(
        EMAIL, NewUser("Ada", "Lovelace", EMAIL, "DefaultUserRole")
    )


def test_upper_and_lower_case_are_one_e_mail() -> None:
    one, other = UserByEmail(EMAIL), UserByEmail("ada@example.COM")
    assert (one.key, one.digest) == (other.key, other.digest)
    assert one.spellings == (EMAIL, "ada@example.com")
    assert UserByEmail("ada@example.com").spellings == ("ada@example.com",)
    assert one.key not in one.digest


@pytest.mark.parametrize("kind", [kind for kind in EventKind if kind is not EventKind.CANCEL])
def test_an_event_of_any_kind_stands_in_the_line_of_its_e_mail_until_the_user_is_known(kind: EventKind) -> None:
    found = resolved(kind=kind, user=UserByEmail(EMAIL))
    assert (found.user_id, found.lane) == ("", ("ada@example.com", ""))
    known = found.of_user("user-1")
    assert (known.user_id, known.lane) == ("user-1", ("user-1", HEX))
    assert replace(known, user_id="") == found


def test_a_cancel_needs_no_user() -> None:
    found = resolved(kind=EventKind.CANCEL, user=UserByEmail(EMAIL), cancels="e-0", defaults=Defaults())
    assert (found.user, found.lane) == (None, ("", "e-1"))


BY_ID, BY_EMAIL = Rendered(user_id="of-route"), Rendered(user={"email": "bob@example.com"})


@pytest.mark.parametrize(
    ("rendered", "fields", "user_id", "key"),
    [
        (Rendered(), {}, "bridge-bot", None),
        (BY_ID, {}, "of-route", None),
        (BY_EMAIL, {}, "", "bob@example.com"),
        (BY_ID, {"user": UserByEmail(EMAIL)}, "", "ada@example.com"),
        (BY_EMAIL, {"user": UserByEmail(EMAIL)}, "", "ada@example.com"),
        (BY_EMAIL, {"user_id": "of-event"}, "of-event", None),
        (Rendered(), {"user_id": "of-event", "user": UserByEmail(EMAIL)}, "of-event", None),
    ],
)
def test_which_name_of_a_user_wins(rendered: Rendered, fields: dict[str, Any], user_id: str, key: str | None) -> None:
    found = resolved(rendered, **fields)
    assert (found.user_id, found.user.key if found.user else None) == (user_id, key)


@pytest.mark.parametrize(("rendered", "fields"), [(BY_EMAIL, {}), (Rendered(), {"user": UserByEmail(EMAIL)})])
def test_without_a_user_of_its_own_the_bridge_cannot_look(rendered: Rendered, fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidEvent, match=r"user: amigo\.user_id is not configured"):
        resolved(rendered, Defaults(), **fields)
    assert resolved(rendered, Defaults(), **{**fields, "user_id": "user-1"}).user_id == "user-1"


def test_a_routes_templates_make_the_user_and_a_blank_that_is_optional_is_left_out() -> None:
    user = {
        "email": EMAIL,
        "create.first_name": "Ada",
        "create.last_name": "Lovelace",
        "create.role_name": " ",
        "create.timezone": "",
    }
    assert resolved(Rendered(user=user)).user == UserByEmail(EMAIL, NewUser("Ada", "Lovelace", EMAIL))
    for name, fault in (("email", r"user\.email"), ("create.first_name", r"user\.create\.first_name")):
        with pytest.raises(InvalidEvent, match=fault):
            resolved(Rendered(user={**user, name: ""}))


def test_what_an_event_is_asked_with_stays_when_its_user_is_known() -> None:
    assert routed(user_id="", user=UserByEmail(EMAIL)).of_user("user-1") == routed(user=UserByEmail(EMAIL))
