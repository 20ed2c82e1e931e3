"""Whatever is thrown at the reader: an event that keeps every rule, or InvalidEvent that says why.

The rules are those of docs/semantics.md, The external event.
"""

import re
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, note
from hypothesis import strategies as st

from bridge.core.answer.outbound_message import EventContext
from bridge.core.broker.republished_copy import dead, delayed
from bridge.core.delivery.progress import Progress, load
from bridge.core.errors import InvalidEvent
from bridge.core.event.channel import CHANNELS
from bridge.core.event.event import Event, read_event
from bridge.core.event.event_fields import EventKind
from bridge.core.event.inbound_message import InboundMessage
from bridge.core.event.route import ChannelDefaults, Defaults, Rendered, Route, RoutedEvent, resolve
from tests.support.generated import Thrower
from tests.support.making import HEX, NOW_S, OTHER_HEX, factory, incoming, thrown

MESSAGES = 10_000
BODIES = 1_000
LIMIT = 2048
HEX24 = re.compile(r"[a-f0-9]{24}")
TAG = re.compile(r"[A-Za-z0-9_ ]{1,100}")
USER_ID = re.compile(r"[\x21-\x7e]([\x20-\x7e]{0,198}[\x21-\x7e])?")


@given(st.integers(0, 2**64))
@thrown(MESSAGES)
def test_any_message_is_an_event_by_the_rules_or_invalid_with_a_reason(seed: int) -> None:
    thrower = Thrower(seed)
    seen = thrower.message()
    note(repr(seen))
    _judge(seen, *_surroundings(thrower))
    _can_be_copied(seen)


@given(st.one_of(st.binary(max_size=64), st.binary(max_size=8).map(lambda end: b'{"id":"e-1","x":' + end)))
@thrown(BODIES)
def test_any_bytes_are_an_event_by_the_rules_or_invalid_with_a_reason(body: bytes) -> None:
    _judge(incoming(body), None, Rendered(), Defaults())


def test_what_is_thrown_hits_both_sides_and_every_kind_of_refusal() -> None:
    said: Counter[str] = Counter()
    for seed in range(3_000):
        thrower = Thrower(seed)
        seen = thrower.message()
        try:
            event = read_event(seen, LIMIT)
            resolve(event, *_surroundings(thrower))
            said["foreign" if event.foreign else event.kind] += 1
        except InvalidEvent as error:
            said.update(part for part in REFUSALS if part in str(error))
    assert {part: said[part] for part in (*REFUSALS, *EventKind, "foreign") if not said[part]} == {}


REFUSALS = (
    "not JSON in UTF-8",
    "not an object",
    "content encoding",
    "content type",
    "specversion",
    "no id",
    "id is not a string of 1 to 200",
    "CloudEvents id is not a string",
    "data_base64 is not base64",
    "kind",
    "agent-first takes no message",
    "cancels is missing",
    "neither tags nor delete_tags",
    "exclude each other",
    "is no time",
    "is not after not_before",
    "on_busy",
    "finish (a JSON",
    "delete_tags: tag key",
    "is_test is not",
    "audio is not",
    "message is",
    "user_id is not",
    "service_id is not",
    "conversation_id is not",
    "version_set is not",
    "channel",
    "tags is not an object",
    "tag key",
    "reserved",
    "tags, at most 17",
    "no route",
    "no message",
    "no user_id",
    "at most 2048 are taken",
)


def _surroundings(thrower: Thrower) -> tuple[Route | None, Rendered, Defaults]:
    route = Route(
        "r",
        service_id=thrower.either(None, OTHER_HEX),
        channel=thrower.either(None, "phone"),
        version_set=thrower.either(None, "of_route"),
    )
    rendered = Rendered(
        message=thrower.either(None, "from the route", thrower.text()),
        user_id=thrower.either(None, "user-2", thrower.text()),
        tags=thrower.tags(4),
    )
    defaults = Defaults(
        user_id=thrower.either(None, "user-0", "no\nuser"),
        channels=thrower.either({}, {"phone": ChannelDefaults("of_channel", "voice")}),
    )
    return thrower.either(None, route), rendered, defaults


def _judge(seen: InboundMessage, route: Route | None, rendered: Rendered, defaults: Defaults) -> None:
    try:
        event = read_event(seen, LIMIT)
        _is_as_published(event)
        _leaves_nothing_open(resolve(event, route, rendered, defaults), event)
    except InvalidEvent as error:
        _can_be_told(error)


def _can_be_told(refusal: InvalidEvent) -> None:
    assert str(refusal).strip()
    assert refusal.channel is None or refusal.channel in CHANNELS
    if refusal.event_id is not None:
        _is_id(refusal.event_id)
        failed = EventContext(event_id=refusal.event_id, channel=refusal.channel)
        assert len(factory().own(failed, "bridge-failed", "id", {"error": str(refusal)}, {})) == 1


def _is_id(event_id: str) -> None:
    assert isinstance(event_id, str)
    assert 1 <= len(event_id.encode()) <= 200


def _is_as_published(event: Event) -> None:
    _is_id(event.id)
    assert event.kind in EventKind
    assert event.message is None or event.message.strip()
    assert event.channel is None or event.channel in CHANNELS
    if event.foreign:
        assert event.service_id is event.message is event.channel is event.user_id is None
    for hex24 in (event.service_id, event.conversation_id):
        assert hex24 is None or HEX24.fullmatch(hex24)
    _are_tags(event.tags, 17)


def _are_tags(tags: Any, most: int) -> None:
    assert len(tags) <= most
    for key, value in tags.items():
        assert TAG.fullmatch(key)
        assert TAG.fullmatch(value)
        assert (key, value) == (key.strip(), value.strip())


def _leaves_nothing_open(routed: RoutedEvent, event: Event) -> None:
    assert routed.id == event.id
    assert (routed.message is None) == (not event.speaks)
    assert routed.message is None or routed.message.strip()
    if routed.kind is EventKind.CANCEL:
        assert (routed.user_id, routed.service_id, routed.lane) == ("", "", ("", routed.id))
        assert routed.cancels
    else:
        if routed.seeks_owner and not (routed.user_id and routed.service_id):
            assert routed.lane == ("", routed.id)
            routed = routed.owned_by(("user-1", routed.conversation_id or ""))
        if routed.user is not None:
            assert (routed.user_id, routed.lane) == ("", (routed.user.key, ""))
            routed = routed.of_user("user-1")
        assert USER_ID.fullmatch(routed.user_id)
        assert HEX24.fullmatch(routed.service_id)
        assert routed.lane == (routed.user_id, routed.service_id)
    assert routed.finish_s >= 0
    assert routed.channel in CHANNELS
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,40}", routed.version_set)
    assert routed.response_format in ("text", "voice")
    own = {"channel": routed.channel, "channel_type": CHANNELS[routed.channel], "bridge_event": routed.event_tag}
    assert routed.conversation_tags == {**routed.tags, **own}
    _are_tags(routed.conversation_tags, 20)
    message = factory().messages(EventContext.of(routed, 1, None), "new-message", "id", b"{}", {})[0]
    assert message.timestamp_s == int(NOW_S)
    assert len(message.routing_key.encode()) <= 255


def _can_be_copied(seen: InboundMessage) -> None:
    assert min(seen.attempt, seen.pauses, seen.copies) >= 0
    assert all(isinstance(part, str) for part in seen.origin)
    assert isinstance(load(seen.headers.get("x-bridge-progress")), Progress)
    back = delayed(seen, "bridge.delay", 5, attempt=1, pauses=0, progress=None)
    letter = dead(
        seen, "bridge.dead", reason="r", error="e", attempts=1, failed_at="2026-01-01T00:00:00Z", conversation_id=None
    )
    assert back.body is letter.body is seen.body


@pytest.mark.parametrize("deep", [200, 250, 260, 900, 980, 995, 1010, 1020])
@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_a_deep_message_is_told_or_refused(opening: bytes, deep: int) -> None:
    closing = b"]" if opening == b"[" else b"}"
    message = b'{"a":' + opening * deep + b"1" + closing * deep + b"}"
    body = b'{"id":"e-1","message":%s}' % message
    _judge(incoming(body), Route("r", service_id=HEX), Rendered(), Defaults("u"))
