"""Two processes at a queue with a single active consumer: the second is ready and idle until the first one goes."""

from tests.support.events import event, text_of
from tests.support.fake_api import Gate, Husk, answer
from tests.support.rabbit import EVENTS
from tests.support.waiting import stays, until
from tests.support.world import World

PATIENCE_S = 16.0
"""Longer than the watch gives a consumer that gets nothing of what is ready."""


async def test_a_standby_is_ready_and_idle_while_events_wait_and_takes_over(world: World) -> None:
    alone = {"inbound": {"single_active": True, "prefetch": 1}}
    active = await world.launch(amqp=alone, ledger={"url": "sqlite:///active.db"})
    standby = await world.launch(amqp=alone, ledger={"url": "sqlite:///standby.db"})
    ids = [f"s{number}" for number in range(4)]
    gate = Gate()
    world.fake.script(text_of("s0"), answer("so ", "far", before_end=(gate,), abandoned=Husk.ROLLBACK))
    await world.publish(*[event(one) for one in ids])
    await world.streaming("s0")
    assert await world.rabbit.ready_count(EVENTS) == 3
    await stays(standby.is_ready, "it is ready", PATIENCE_S)
    assert world.ended == set()
    assert [line for line in standby.log_lines() if line["event"] == "broker.lost"] == []
    await active.kill()
    await world.endings(*ids, bound_s=60)
    await until(lambda: world.counts(EVENTS, (0, 0)), "everything is settled")
    assert [line for line in standby.log_lines() if line["event"] == "broker.lost"] == []
    assert len([line for line in standby.log_lines() if line["event"] == "delivery.settled"]) == 4
