"""Who decides: the event over the route over the channel's settings over the defaults; and what cannot be resolved."""

from typing import Any

import pytest

from bridge.core.errors import InvalidEvent, NoRoute
from bridge.core.event.channel import CHANNELS
from bridge.core.event.event_fields import EventKind, OnBusy
from bridge.core.event.route import ChannelDefaults, Defaults, Rendered, Route, RoutedEvent, resolve
from bridge.core.event.tags import event_tag
from tests.support.making import HEX, OTHER_HEX, event, routed

ROUTE = Route("payments", service_id=OTHER_HEX, channel="email", version_set="of_route")
DEFAULTS = Defaults(user_id="user-0")
CHANNEL = Defaults(user_id="user-0", channels={"email": ChannelDefaults("of_channel", "voice")})


def resolved(route: Route | None = None, rendered: Any = None, defaults: Defaults = DEFAULTS, **said: Any) -> Any:
    return resolve(event(**said), route, rendered or Rendered(), defaults)


def refused(route: Route | None = None, rendered: Any = None, defaults: Defaults = DEFAULTS, **said: Any) -> Any:
    with pytest.raises(InvalidEvent) as caught:
        resolved(route, rendered, defaults, **said)
    assert caught.value.event_id == "e-1"
    return caught.value


def test_the_event_says_which_service_else_the_route() -> None:
    assert resolved(ROUTE).service_id == HEX
    assert resolved(ROUTE, service_id=None).service_id == OTHER_HEX
    assert isinstance(refused(service_id=None), NoRoute)
    assert isinstance(refused(Route("r"), service_id=None), NoRoute)


def test_of_a_named_conversation_that_is_finished_or_tagged_the_owner_is_sought_first() -> None:
    named = resolved(service_id=None, kind=EventKind.FINISH, conversation_id=HEX, message=None, defaults=Defaults())
    assert (named.seeks_owner, named.user_id, named.service_id) == (True, "", "")
    assert named.lane == ("", "e-1")
    owned = named.owned_by(("user-9", OTHER_HEX))
    assert (owned.seeks_owner, owned.lane) == (False, ("user-9", OTHER_HEX))
    with pytest.raises(NoRoute):
        named.owned_by(None)
    said = resolved(kind=EventKind.TAG, conversation_id=HEX, message=None)
    assert said.owned_by(None).lane == (said.user_id, HEX)
    assert not resolved(conversation_id=HEX).seeks_owner
    assert isinstance(refused(service_id=None, kind=EventKind.FINISH, message=None), NoRoute)


def test_the_event_says_which_channel_else_the_route_else_api() -> None:
    assert resolved(ROUTE, channel="phone").channel == "phone"
    assert resolved(ROUTE).channel == "email"
    assert resolved(Route("r")).channel == "api"
    assert resolved().channel == "api"


@pytest.mark.parametrize(
    ("said", "defaults", "route", "expected"),
    [
        ("of_event", CHANNEL, ROUTE, "of_event"),
        (None, CHANNEL, ROUTE, "of_channel"),
        (None, DEFAULTS, ROUTE, "of_route"),
        (None, DEFAULTS, None, "release"),
        (None, CHANNEL, None, "release"),
    ],
)
def test_the_version_set_is_the_events_else_the_channels_else_the_routes_else_release(
    said: str | None, defaults: Defaults, route: Route | None, expected: str
) -> None:
    assert resolved(route, defaults=defaults, version_set=said).version_set == expected


@pytest.mark.parametrize(
    ("said", "rendered", "default", "expected"),
    [
        ("of_event", "of_route", "of_file", "of_event"),
        (None, "of_route", "of_file", "of_route"),
        (None, None, "of_file", "of_file"),
    ],
)
def test_the_user_is_the_events_else_the_routes_else_the_configured_one(
    said: str | None, rendered: str | None, default: str, expected: str
) -> None:
    assert resolved(ROUTE, Rendered(user_id=rendered), Defaults(default), user_id=said).user_id == expected


def test_no_user_anywhere_is_refused() -> None:
    assert "user_id" in str(refused(defaults=Defaults()))


@pytest.mark.parametrize("user_id", [" x", "x" * 201, "ünicode", "a\nb", "x\n"])
def test_a_user_that_no_header_can_carry_is_refused_wherever_it_comes_from(user_id: str) -> None:
    assert "user_id" in str(refused(ROUTE, Rendered(user_id=user_id)))
    assert "user_id" in str(refused(defaults=Defaults(user_id)))


def test_the_message_is_the_events_else_the_routes() -> None:
    assert resolved(ROUTE, Rendered(message="of the route")).message == "hello"
    assert resolved(ROUTE, Rendered(message="of the route"), message=None).message == "of the route"


@pytest.mark.parametrize("rendered", [None, "", "  \n", "\u00a0"])
def test_no_message_or_a_blank_one_is_refused(rendered: str | None) -> None:
    assert "message" in str(refused(ROUTE, Rendered(message=rendered), message=None))


def test_agent_first_has_no_message_whatever_the_route_has() -> None:
    made = resolved(ROUTE, Rendered(message="of the route"), kind=EventKind.AGENT_FIRST, message=None)
    assert made.message is None


def test_the_events_tags_win_over_the_routes_however_they_are_padded() -> None:
    rendered = Rendered(tags={"a": "route", " b ": "route", "c": " route "})
    assert resolved(ROUTE, rendered, tags={"a": "event", "b": "event"}).tags == {
        "a": "event",
        "b": "event",
        "c": "route",
    }


@pytest.mark.parametrize(
    "rendered", [{"k": ""}, {"k": "a-b"}, {"k": "v" * 101}, {"bridge_event": "x"}, {f"r{n}": "v" for n in range(10)}]
)
def test_the_routes_tags_are_held_to_the_same_rules_and_the_same_number(rendered: dict[str, str]) -> None:
    refused(ROUTE, Rendered(tags=rendered), tags={f"e{n}": "v" for n in range(8)})


def test_seventeen_tags_of_route_and_event_together_are_taken() -> None:
    rendered = Rendered(tags={f"r{n}": "v" for n in range(9)})
    made = resolved(ROUTE, rendered, tags={f"e{n}": "v" for n in range(8)})
    assert len(made.tags) == 17
    assert len(made.conversation_tags) == 20


def test_the_rest_comes_from_the_route_else_from_the_defaults() -> None:
    route = Route("r", on_busy=OnBusy.REJECT, agent_actions="^x$")
    assert (resolved(route).route, resolved(route).on_busy, resolved(route).agent_actions) == ("r", "reject", "^x$")
    assert (resolved().route, resolved().on_busy) == (None, OnBusy.INTERACT)
    assert resolved().agent_actions == Defaults().agent_actions


def test_the_channel_chooses_the_response_format_and_text_is_the_default() -> None:
    assert resolved(ROUTE, defaults=CHANNEL).response_format == "voice"
    for channel in CHANNELS:
        assert resolved(channel=channel).response_format == "text"


@pytest.mark.parametrize(("route", "channel"), [(ROUTE, "email"), (None, "api")])
def test_a_refusal_knows_the_channel_on_which_to_say_so(route: Route | None, channel: str) -> None:
    assert refused(route, message=None).channel == channel
    assert refused(route, message=None, channel="sms").channel == "sms"


def test_what_the_event_aims_at_is_kept() -> None:
    made = resolved(conversation_id=OTHER_HEX, kind=EventKind.USER_MESSAGE)
    assert (made.conversation_id, made.kind, made.id) == (OTHER_HEX, EventKind.USER_MESSAGE, "e-1")


# --- what follows from a resolved event


def test_a_lane_is_the_user_and_the_service() -> None:
    assert routed().lane == ("user-1", HEX)


def test_a_new_conversation_gets_all_tags_and_a_joined_one_no_event_tag() -> None:
    made: RoutedEvent = routed(tags={"source": "billing"})
    assert made.conversation_tags == {
        "source": "billing",
        "channel": "sms",
        "channel_type": "text",
        "bridge_event": event_tag("e-1"),
    }
    assert made.joining_tags == {"source": "billing", "channel": "sms", "channel_type": "text"}
