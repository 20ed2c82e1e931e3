"""Several hundred events on all nine channels at once, with every odd line and every odd cut that a stream may have."""

import json
from collections import Counter
from typing import Any

from tests.support.events import CHANNELS, event, event_tag, fields, raw, service, text_of
from tests.support.fake_api import Answer, Complete, Gate, Piece, Raw, Stream, answer
from tests.support.oracle import assert_told, of_event
from tests.support.rabbit import Outgoing
from tests.support.world import World

EVENTS = 360
USERS = 120
ODD_LINES = (
    Raw(b'{"type": "tool-hint", "nobody": "knows this type"}'),
    Raw(b'{"type": "a type.with * and #", "n": 1}'),
    Raw(b'{"type": "new-message", "n": 1, "n": 2, "message": "the same key twice"}'),
    Raw(b'{"type": "new-message", "n": 1e999, "message": "beyond a double"}'),
    Raw(b'{"type": "new-message", "message": "half a pair \\ud800 and a zero \\u0000"}'),
    Raw('{"message": "line\u2028and\u0085paragraph\u2029 breaks", "type": "new-message"}'.encode()),
    Raw(b'  {"type" :  "new-message" , "message" : "spaces around"}  '),
    Raw('{"type": "new-message", "message": "🦀 é ü 漢"}'.encode()),
    Raw(b'{"type": "current-agent-action", "action": {"type": "a-new-one", "deep": [[[[{}]]]]}}'),
)
BLANK = Raw(b"")
BIG = Raw(b'{"type": "new-message", "message": "' + b"x" * (3 * 1024 * 1024) + b'"}')
OPENING = (Piece("One. "), Piece("Two. "))


def odd_answer(number: int) -> Answer:
    """Eight shapes of a stream, in turn, and now and then one with a line of 3 MiB."""
    if number % 100 == 15:
        return Stream((*OPENING, BIG, Complete()), cut_every=50_000)
    steps: tuple[Any, ...] = (*OPENING, *ODD_LINES, Complete())
    match number % 8:
        case 0:
            return Stream(steps, cut_every=1)
        case 1:
            return Stream(steps, cut_every=7, last_newline=False)
        case 2:
            return Stream(steps, cut_every=10_000)
        case 3:
            return Stream(steps, framed=False)
        case 4:
            return Stream((BLANK, *OPENING, BLANK, BLANK, Complete()), last_newline=False)
        case 5:
            return Stream(steps, framed=False, cut_every=3, last_newline=False)
        case 6:
            return Stream((Complete(full="no pieces at all"),))
    return answer("One, ", "two, ", "three.")


def make(number: int) -> dict[str, Any]:
    channel = list(CHANNELS)[number % len(CHANNELS)]
    return fields(f"e{number}", channel=channel, user_id=f"u{number % USERS}", tags={"batch": str(number % 5)})


def outgoing(sent: dict[str, Any]) -> Outgoing:
    return raw(json.dumps(sent).encode(), routing_key=f"crm.{sent['channel']}")


async def test_every_line_comes_out_once_in_order_and_byte_for_byte(world: World) -> None:
    await world.launch()
    sent = [make(number) for number in range(EVENTS)]
    for number, one in enumerate(sent):
        world.fake.script(text_of(one["id"]), odd_answer(number))
    await world.publish(*[outgoing(one) for one in sent])
    await world.endings(*[one["id"] for one in sent], bound_s=60)
    truth = world.fake.truth
    for one in sent:
        (talk,) = truth.talks_of(text_of(one["id"]))
        assert_told(world.records, one, talk)
        assert talk.conversation.tags == {
            "channel": one["channel"],
            "channel_type": CHANNELS[one["channel"]],
            "bridge_event": event_tag(one["id"]),
            **one["tags"],
        }
        assert talk.conversation.version_set == "release"
    assert len(world.records) == sum(len(talk.sent) for talk in truth.talks)
    assert truth.overlaps() == []
    assert set(Counter(world.fake.sign_ins).values()) == {1}
    assert await world.rabbit.take("bridge.dead") == []


async def test_streams_of_different_users_and_services_run_side_by_side(world: World) -> None:
    """Three hundred gated streams are open at once, and their first lines are out before any has ended."""
    await world.launch()
    gate = Gate()
    ids = [f"s{number}" for number in range(300)]
    for one in ids:
        world.fake.script(text_of(one), answer("first", before_end=(gate,)))
    await world.publish(
        *[event(one, user_id=f"u{number // 2}", service_id=service(number % 2)) for number, one in enumerate(ids)]
    )
    await world.streaming(*ids)
    gate.open()
    for told in await world.endings(*ids):
        assert [record.type for record in of_event(world.records, told.event_id)][-1] == "interaction-complete"
