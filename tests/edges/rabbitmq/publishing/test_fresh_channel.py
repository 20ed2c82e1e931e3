"""RabbitMQ remembers for each channel that a queue was full; what is sent alone gets a fresh one."""

from tests.edges.conftest import Build
from tests.support.broker import Broker
from tests.support.rabbit import QUORUM
from tests.support.rig import Receipts, outgoing
from tests.support.waiting import until

FULL = '{"max-length":1,"overflow":"reject-publish"}'


async def test_what_a_full_queue_refused_goes_through_once_its_limit_is_gone(build: Build, broker: Broker) -> None:
    rig = build()
    await rig.rabbit.make_queue("tap", QUORUM, "#")
    broker.node.ctl("set_policy", "-p", rig.vhost, "--apply-to", "queues", "full", "^tap$", FULL)
    await rig.start()
    first = Receipts()

    async def refused() -> bool:
        first.refusals.clear()
        rig.publisher.publish([outgoing("one")], first, alone=True)
        await until(lambda: len(first.refusals) + len(first.confirmations) > 0, "its fate is told")
        first.confirmations.clear()
        return bool(first.refusals)

    await until(refused, "the queue is full")
    broker.node.ctl("clear_policy", "-p", rig.vhost, "full")

    async def taken() -> bool:
        again = Receipts()
        rig.publisher.publish([outgoing("two")], again, alone=True)
        await again.all_told(1)
        return bool(again.confirmations)

    await until(taken, "it goes through", 60, step_s=0.2)
    assert rig.generation == 1
