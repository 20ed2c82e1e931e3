"""Bad input ends in bridge.dead with its reason, and the next event is handled as if nothing had happened."""

import json
import random
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pika
import pytest

from tests.support.events import SERVICE, event, event_tag, fields, raw, text_of
from tests.support.process import BridgeProcess
from tests.support.rabbit import EVENTS, Outgoing, ReceivedMessage
from tests.support.waiting import until
from tests.support.wire import every_type, random_headers, table, with_headers
from tests.support.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")

INVALID = {"invalid-event"}
NO_ROUTE = {"invalid-event", "no-route"}
CONFIG: dict[str, Any] = {
    "routes": [
        {"name": "broken", "when": "routing_key == 'broken'", "message": "{{ data.nothing.deeper }}"},
        {"name": "escape", "when": "routing_key == 'escape'", "message": "{{ ''.__class__.__mro__ }}"},
    ]
}
TOO_MANY = {f"k{number}": "v" for number in range(21)}
TOO_MANY_WITH_OURS = {f"k{number}": "v" for number in range(18)}
DEEP = 5000


@pytest.fixture(scope="module")
def settings() -> dict[str, Any]:
    return CONFIG


def body(event_id: str | None = "bad", **more: Any) -> bytes:
    return json.dumps(fields(event_id, **more)).encode()


# What cannot be read as an event at all, so that nobody knows its id.
UNREADABLE = {
    "empty": b"",
    "not-json": b"{not json",
    "cut-json": body()[:-5],
    "two-documents": body() + body(),
    "not-utf8": b'{"id": "bad", "message": "\xff\xfe"}',
    "utf16": body().decode().encode("utf-16"),
    "a-list": b"[1, 2]",
    "a-string": b'"hello"',
    "a-number": b"7",
    "null": b"null",
    "nested-lists": b'{"id": "bad", "data": ' + b"[" * DEEP + b"]" * DEEP + b"}",
    "nested-objects": b'{"id": "bad", "data": ' + b'{"a":' * DEEP + b"1" + b"}" * DEEP + b"}",
    "unclosed-nesting": b"[" * 200_000,
    "five-megabytes": body(message="canary-body " + "x" * 5 * 1024 * 1024),
}
# What is JSON but breaks a rule; `bad` is the id that bridge-failed must carry.
BROKEN: dict[str, dict[str, Any]] = {
    "message-is-a-number": {"message": 7},
    "message-is-a-list": {"message": ["a"]},
    "message-is-blank": {"message": " \n\t "},
    "message-is-empty": {"message": ""},
    "no-message": {"message": None},
    "unknown-kind": {"kind": "shout"},
    "unknown-channel": {"channel": "pigeon"},
    "channel-is-a-list": {"channel": ["sms"]},
    "service-id-too-short": {"service_id": "5f"},
    "service-id-in-capitals": {"service_id": SERVICE.upper()},
    "service-id-with-newline": {"service_id": SERVICE + "\n"},
    "service-id-is-a-number": {"service_id": 5},
    "user-id-is-a-number": {"user_id": 5},
    "version-set-with-space": {"version_set": "a b"},
    "version-set-too-long": {"version_set": "v" * 41},
    "conversation-id-is-no-id": {"conversation_id": "x"},
    "tags-are-a-list": {"tags": ["a"]},
    "too-many-tags": {"tags": TOO_MANY},
    "too-many-tags-with-the-bridges-own": {"tags": TOO_MANY_WITH_OURS},
    "a-tag-key-with-a-hyphen": {"tags": {"web-chat": "x"}},
    "a-tag-value-with-an-at-sign": {"tags": {"mail": "a@b.c"}},
    "a-tag-value-that-is-too-long": {"tags": {"k": "v" * 101}},
    "an-empty-tag-value": {"tags": {"k": ""}},
    "a-tag-with-letters-beyond-ascii": {"tags": {"k": "ü"}},
    "a-reserved-tag": {"tags": {"channel": "sms"}},
    "the-event-tag-as-a-tag": {"tags": {"bridge_event": "0" * 32}},
}


async def next_letter(shared: World, message: Outgoing) -> ReceivedMessage:
    known = len(await shared.dead(0))
    await shared.publish(message)
    letters = await shared.dead(known + 1)
    assert len(letters) == known + 1
    return letters[-1]


def assert_dead(letter: ReceivedMessage, message: Outgoing, reasons: set[str]) -> None:
    """Reason as routing key and header, the origin, and the original body and properties."""
    headers = letter.headers
    assert headers["x-bridge-reason"] in reasons
    assert letter.routing_key == headers["x-bridge-reason"]
    assert letter.body == message.body
    assert isinstance(headers["x-bridge-error"], str)
    assert headers["x-bridge-error"]
    assert isinstance(headers["x-bridge-attempts"], int)
    assert headers["x-bridge-failed-at"]
    assert (headers["x-bridge-exchange"], headers["x-bridge-routing-key"]) == (EVENTS, message.routing_key)


async def assert_the_next_event_is_fine(shared: World) -> None:
    event_id = f"good-{len(shared.ended)}"
    await shared.publish(event(event_id))
    assert (await shared.ending(event_id)).ending.type == "interaction-complete"


@pytest.mark.parametrize("case", UNREADABLE)
async def test_what_cannot_be_read_is_invalid(shared: World, bridge: BridgeProcess, case: str) -> None:
    message = raw(UNREADABLE[case], routing_key="some.backend")
    mark = len(bridge.log)
    letter = await next_letter(shared, message)
    assert_dead(letter, message, INVALID)
    await assert_the_next_event_is_fine(shared)  # the letter is there before the line: by now both are
    lines = [line for line in bridge.log[mark:].splitlines() if "invalid-event" in line]
    assert len(lines) == 1, lines


@pytest.mark.parametrize("case", BROKEN)
async def test_what_breaks_a_rule_is_invalid_and_its_ending_is_told(
    shared: World, bridge: BridgeProcess, case: str
) -> None:
    event_id = f"bad-{case}"
    message = raw(body(event_id, **BROKEN[case]), routing_key="some.backend")
    letter = await next_letter(shared, message)
    assert_dead(letter, message, NO_ROUTE if case == "no-message" else INVALID)
    told = await shared.ending(event_id)
    assert (told.ending.type, told.ending.message_id) == ("bridge-failed", f"{event_id}:bridge-failed")
    assert told.ending.routing_key == "async.api.bridge-failed"
    said = json.loads(told.ending.body)
    assert (said["type"], said["event_id"], said["reason"]) == ("bridge-failed", event_id, letter.routing_key)
    assert said["error"]
    assert isinstance(said["attempts"], int)
    await assert_the_next_event_is_fine(shared)


@pytest.mark.parametrize("event_id", ["", "i" * 201, 7, ["x"], {"a": 1}, True])
async def test_a_bad_id_is_invalid(shared: World, bridge: BridgeProcess, event_id: Any) -> None:
    message = raw(json.dumps({**fields("some"), "id": event_id}).encode())
    assert_dead(await next_letter(shared, message), message, INVALID)


async def test_an_id_of_two_hundred_characters_is_fine(shared: World, bridge: BridgeProcess) -> None:
    event_id = "i" * 200
    await shared.publish(event(event_id, user_id="u-long"))
    assert (await shared.ending(event_id)).ending.type == "interaction-complete"
    assert shared.fake.truth.conversation_of(text_of(event_id)).tags["bridge_event"] == event_tag(event_id)


@pytest.mark.parametrize("case", ["no-service", "broken", "escape"])
async def test_what_no_route_can_complete_is_dead(shared: World, bridge: BridgeProcess, case: str) -> None:
    event_id = f"route-{case}"
    left_out = {"no-service": {"service_id": None}}.get(case, {"message": None})
    message = raw(body(event_id, **left_out), routing_key=case)
    assert_dead(await next_letter(shared, message), message, NO_ROUTE)
    assert (await shared.ending(event_id)).ending.type == "bridge-failed"


async def test_a_dead_letter_keeps_the_properties_and_leaves_out_what_would_act_again(
    shared: World, bridge: BridgeProcess
) -> None:
    headers = {
        "text": "ü",
        "number": 2**40,
        "small": -1,
        "truth": True,
        "nothing": None,
        "price": Decimal("12.34"),
        "when": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        "deep": {"list": [1, "two", {"three": 3}]},
        "octets": b"\x00\xff",
    }
    acting = {"CC": ["elsewhere"], "BCC": ["nowhere"], "x-delivery-count": 5}
    plain: dict[str, Any] = {
        "content_encoding": "identity",
        "priority": 3,
        "correlation_id": "c",
        "reply_to": "r",
        "message_id": "kept",
        "timestamp": 1_700_000_000,
        "type": "t",
        "app_id": "a",
    }
    publisher = pika.URLParameters(shared.rabbit.url).credentials.username
    message = raw(b"{", headers={**headers, **acting}, expiration="600000", user_id=publisher, **plain)
    letter = await next_letter(shared, message)
    assert_dead(letter, message, INVALID)
    assert {name: getattr(letter.properties, name) for name in plain} == plain
    # The broker itself counts the deliveries of bridge.dead, so zero may be there; the backend's five may not.
    kept = {name: value for name, value in letter.headers.items() if not name.startswith("x-bridge-")}
    assert kept.pop("x-delivery-count", 0) == 0
    assert kept == headers
    assert (letter.properties.expiration, letter.properties.user_id) == (None, None)


async def test_headers_of_every_type_neither_hurt_an_event_nor_the_reader(shared: World, bridge: BridgeProcess) -> None:
    encoded = table(*every_type())
    await shared.publish(Outgoing(body("typed"), with_headers(encoded)))
    await shared.ending("typed")
    message = Outgoing(b"{", with_headers(encoded))
    letter = await next_letter(shared, message)
    assert_dead(letter, message, INVALID)
    assert {key.decode() for key, _ in every_type()} <= letter.headers.keys()


def mangled(dice: random.Random, number: int) -> bytes:
    """A valid event with one wound, or bytes out of nowhere."""
    whole = bytearray(body(f"blast-{number}", tags={"a": "b"}, data={"n": [1, 2, {"x": None}]}))
    match number % 5:
        case 0:
            return dice.randbytes(dice.randrange(400))
        case 1:
            whole[dice.randrange(len(whole))] = dice.randrange(256)
        case 2:
            del whole[dice.randrange(len(whole)) :]
        case 3:
            place = dice.randrange(len(whole))
            whole[place:place] = dice.randbytes(3)
        case 4:
            name = dice.choice(["id", "kind", "message", "user_id", "service_id", "channel", "tags", "data"])
            value: Any = dice.choice([None, 0, -1.5, True, [], {}, "", "x", "\u0000", [[{}]], {"a": {"b": []}}])
            return json.dumps({**json.loads(bytes(whole)), name: value}).encode()
    return bytes(whole)


async def test_a_blast_of_random_bodies_and_headers_leaves_nothing_unsettled(
    shared: World, bridge: BridgeProcess
) -> None:
    """Each of 600 generated messages is dead-lettered with a reason or answered; the process lives on."""
    dice = random.Random(20261122)
    pid, known = bridge.pid, len(await shared.dead(0))
    await shared.publish(
        *[Outgoing(mangled(dice, number), with_headers(random_headers(dice))) for number in range(600)]
    )
    await until(lambda: shared.counts(EVENTS, (0, 0)), "every message is settled", 60)
    letters = (await shared.dead(known + 300))[known:]
    assert {letter.headers["x-bridge-reason"] for letter in letters} <= {*NO_ROUTE, "rejected"}
    assert bridge.running
    assert bridge.pid == pid
    await assert_the_next_event_is_fine(shared)
