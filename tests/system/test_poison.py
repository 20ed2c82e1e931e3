"""A message that the client library cannot even decode costs its own deliveries, nothing else."""

import asyncio

from tests.support.events import body_of, event, text_of
from tests.support.rabbit import DEAD, EVENTS, EVENTS_ARGUMENTS, Outgoing
from tests.support.waiting import until
from tests.support.wire import TIMESTAMP, RawProperties, scalar, table, with_headers
from tests.support.world import World

# The design's queue with a lower limit, so that the broker gives up within the test's time.
IMPATIENT = {**EVENTS_ARGUMENTS, "x-delivery-limit": 4}
NESTED_DEPTH = 800


def nested(depth: int) -> bytes:
    value = b"V"
    for _ in range(depth):
        value = b"F" + table((b"a", value))
    return table((b"a", value))


async def test_what_cannot_be_decoded_is_dead_lettered_and_the_rest_goes_on(world: World) -> None:
    await world.rabbit.declare(IMPATIENT)
    await asyncio.to_thread(world.rabbit.declare_delays_now)
    bridge = await world.launch(amqp={"declare": False})
    pid = bridge.pid
    poison = [
        Outgoing(body_of("p1"), with_headers(table(), message_id=b"\xff\xfe")),
        Outgoing(body_of("p2"), with_headers(table((b"\xff", b"V")))),
        Outgoing(body_of("p3"), RawProperties(TIMESTAMP, scalar(b"", ">Q", 2**63))),
        Outgoing(body_of("p4"), with_headers(nested(NESTED_DEPTH))),
    ]
    good = [f"g{number}" for number in range(20)]
    await world.publish(*poison, *[event(one) for one in good])
    await world.endings(*good, bound_s=90)
    await until(lambda: world.counts(EVENTS, (0, 0)), "nothing is left", 30)
    answered = sum(len(world.fake.truth.committed(text_of(f"p{number}"))) for number in range(1, 5))
    assert await world.rabbit.ready_count(DEAD) == 4 - answered
    assert (bridge.running, bridge.pid) == (True, pid)
