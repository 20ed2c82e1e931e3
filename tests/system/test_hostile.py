"""Input that no rule names: whatever the bridge makes of it, it settles it, and the next event is fine."""

import json
from typing import Any

import pytest

from tests.support.events import body_of, event, raw, text_of
from tests.support.fake_api import Complete, Piece, Raw, Stream
from tests.support.oracle import of_event
from tests.support.process import BridgeProcess
from tests.support.rabbit import EVENTS, Outgoing
from tests.support.waiting import until
from tests.support.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOSTILE_BODIES = {
    "id-of-800-bytes": body_of("🦀" * 200, user_id="u-crab"),
    "integer-of-5000-digits": body_of("digits")[:-1] + b', "data": ' + b"9" * 5000 + b"}",
    "number-beyond-a-double": body_of("double")[:-1] + b', "data": 1e999}',
    "not-a-number": body_of("nan")[:-1] + b', "data": NaN}',
    "half-a-pair": body_of("half", message="?").replace(b'"?"', b'"\\ud800"'),
    "a-zero-in-the-message": body_of("zero", message="canary-body \x00 zero"),
    "a-zero-in-the-user": body_of("zero-user", user_id="a\x00b"),
    "a-line-break-in-the-user": body_of("break-user", user_id="a\r\nx-api-key: stolen"),
    "a-user-beyond-ascii": body_of("wide-user", user_id="漢字"),
    "a-very-long-user": body_of("long-user", user_id="u" * 100_000),
    "a-path-in-the-conversation": body_of("path", conversation_id="../../user/signin_with_api_key"),
    "the-same-key-twice": body_of("twice")[:-1] + b', "id": "twice-again"}',
    "byte-order-mark": b"\xef\xbb\xbf" + body_of("bom"),
    "a-wide-object": json.dumps({**json.loads(body_of("wide")), "data": {str(n): n for n in range(50_000)}}).encode(),
}
HOSTILE_HEADERS: dict[str, dict[str, Any]] = {
    "attempt-is-a-word": {"x-bridge-attempt": "many"},
    "attempt-is-negative": {"x-bridge-attempt": -5},
    "attempt-is-huge": {"x-bridge-attempt": 2**62},
    "attempt-is-a-table": {"x-bridge-attempt": {"a": [1]}},
    "origin-is-a-number": {"x-bridge-exchange": 7, "x-bridge-routing-key": [1]},
    "origin-is-too-long": {"x-bridge-routing-key": "k" * 1000},
    "cloudevents-id-is-a-number": {"cloudEvents:id": 7, "cloudEvents:specversion": "1.0"},
    "cloudevents-id-is-bytes": {"cloudEvents:id": b"\xff\xfe", "cloudEvents:specversion": "1.0"},
    "cloudevents-version-is-nothing": {"cloudEvents:specversion": None, "cloudEvents:source": {}},
    "traceparent-is-rubbish": {"traceparent": "x" * 5000, "tracestate": 7},
    "deaths-that-never-were": {"x-death": [{"count": 3, "reason": "expired", "queue": "x"}], "x-delivery-count": 50},
}
ODD_LINES = {
    "a-type-of-300-characters": b'{"type": "' + b"t" * 300 + b'"}',
    "a-type-of-300-wide-characters": '{"type": "%s"}'.replace("%s", "漢" * 300).encode(),
    "a-type-that-is-a-number": b'{"type": 5}',
    "a-type-that-is-empty": b'{"type": ""}',
    "no-type": b'{"message": "typeless"}',
    "a-list": b"[1, 2]",
    "a-word": b'"word"',
    "no-json": b"<html>gateway</html>",
    "no-utf8": b'{"type": "new-message", "message": "\xff"}',
    "deeply-nested": b'{"type": "deep", "x": ' + b"[" * 3000 + b"]" * 3000 + b"}",
    "a-carriage-return": b'{"type": "new-message", "message": "crlf"}\r',
}


async def assert_settled(shared: World, message: Outgoing) -> None:
    known = len(await shared.dead(0)) + len(shared.fake.truth.committed())
    await shared.publish(message)

    async def settled() -> bool:
        return len(await shared.dead(0)) + len(shared.fake.truth.committed()) > known

    await until(settled, "it is answered or dead", step_s=0.05)
    event_id = f"good-{len(shared.records)}"
    await shared.publish(event(event_id))
    assert (await shared.ending(event_id)).ending.type == "interaction-complete"


@pytest.mark.parametrize("case", HOSTILE_BODIES)
async def test_a_hostile_body_is_settled(shared: World, bridge: BridgeProcess, case: str) -> None:
    await assert_settled(shared, raw(HOSTILE_BODIES[case]))


@pytest.mark.parametrize("case", HOSTILE_HEADERS)
async def test_a_hostile_header_is_settled(shared: World, bridge: BridgeProcess, case: str) -> None:
    await assert_settled(shared, raw(body_of(f"header-{case}"), headers=HOSTILE_HEADERS[case]))


@pytest.mark.parametrize("case", ODD_LINES)
async def test_an_odd_line_of_the_api_ends_no_connection(shared: World, bridge: BridgeProcess, case: str) -> None:
    """The event has one ending, the agent hears it once; a line that is JSON comes out as it is."""
    event_id = f"odd-{case}"
    shared.fake.script(text_of(event_id), Stream((Piece("a"), Raw(ODD_LINES[case]), Complete())))
    await shared.publish(event(event_id))
    told = await shared.ending(event_id, bound_s=30)
    assert told.ending.type == "interaction-complete"
    assert len(shared.fake.truth.committed(text_of(event_id))) == 1
    assert all(len(record.routing_key.encode()) <= 255 for record in of_event(shared.records, event_id))
    if "type-of" in case or case == "a-carriage-return":
        assert [record.body.strip() for record in told.pieces][2] == ODD_LINES[case].strip()


async def test_nothing_is_held_and_the_connection_was_never_lost(shared: World, bridge: BridgeProcess) -> None:
    """All of the above went through one generation of connections."""
    await until(lambda: shared.counts(EVENTS, (0, 0)), "nothing is held")
    assert len([line for line in bridge.log_lines() if line.get("event") == "broker.connected"]) == 1
