"""What the broker refuses while the bridge runs: it is said, it ends no generation, and nobody else waits.

See docs/operations.md, What is missing or refused while it runs.
"""

import asyncio
from collections.abc import Sequence

import pytest

from bridge.edges.rabbitmq.watchdog import WatchLimits
from tests.edges.conftest import Build
from tests.support.broker import Broker
from tests.support.rabbit import AGENT, DEAD, DELAY, EVENTS, QUORUM, Outgoing
from tests.support.rig import Receipts, Rig, inbound, outbound, outgoing
from tests.support.waiting import until

WATCH = WatchLimits(every_s=0.2)
ALL_BUT_DELAY = r"^(bridge\.(events|dead)|agent\.)"
OTHER = "agent.other"


class User:
    """The bridge's user, whose rights change."""

    def __init__(self, broker: Broker, vhost: str) -> None:
        self.broker, self.vhost, self.name = broker, vhost, f"user-{vhost}"
        self.url = broker.add_user(vhost, self.name)

    async def may(self, *, write: str = ".*", read: str = ".*") -> None:
        await asyncio.to_thread(self.broker.permit, self.vhost, self.name, write=write, read=read)


def troubles(rig: Rig) -> dict[str, str]:
    return {**rig.supervisor.destinations.troubles, **rig.consumer.troubles}


def said(rig: Rig, *events: str) -> Sequence[str]:
    """Which of these were logged, in their order."""
    return [event for _, event, _ in rig.log.lines if event in events]


async def told(rig: Rig, *names: str) -> None:
    await until(lambda: troubles(rig).keys() == set(names), f"{names} are told", 20)


async def taken(rig: Rig, body: bytes) -> None:
    """Such an event is published, delivered and acked."""
    await rig.rabbit.publish(Outgoing(body))

    def acked() -> bool:
        return any(each.incoming.body == body and each.ack() for each in rig.deliveries)

    await until(acked, f"{body!r} is delivered")


@pytest.mark.parametrize(
    ("write", "exchange", "why"),
    [
        (ALL_BUT_DELAY, DELAY, "wait do so in memory"),
        (r"^(bridge\.|agent\.other)", AGENT, "publishing interaction-complete"),
        (r"^(bridge\.(events|delay)|agent\.)", DEAD, "publishing rejected"),
    ],
)
async def test_a_right_that_is_taken_away_is_told_and_ends_nothing(
    build: Build, broker: Broker, write: str, exchange: str, why: str
) -> None:
    rig = build()
    user = User(broker, rig.vhost)
    rig = await build(urls=(user.url,), watch=WATCH, outbounds=(outbound(),)).start()
    await user.may(write=write)
    await told(rig, f"exchange {exchange}")
    reason = troubles(rig)[f"exchange {exchange}"]
    assert why in reason
    assert "give the bridge's user the right to write" in reason
    assert exchange in reason
    await taken(rig, b"meanwhile")
    await user.may()
    await told(rig)
    assert rig.generation == 1
    assert said(rig, "destination.unusable", "destination.usable") == ["destination.unusable", "destination.usable"]


async def test_a_connection_that_begins_without_a_right_consumes_once_that_is_known(
    build: Build, broker: Broker
) -> None:
    """Whatever might end a connection at once has been asked by then: it has nothing that would be counted."""
    rig = await build().start()
    await rig.stop()
    rig.log.lines.clear()
    user = User(broker, rig.vhost)
    await user.may(write=ALL_BUT_DELAY)
    narrow = await build(urls=(user.url,), may_declare=False, watch=WATCH).start()
    await taken(narrow, b"e")
    assert said(narrow, "destination.unusable", "consumer.started") == ["destination.unusable", "consumer.started"]
    assert "declare it" not in troubles(narrow)[f"exchange {DELAY}"]
    assert narrow.generation == 1


async def test_asking_leaves_no_trace(build: Build) -> None:
    rig = build(watch=WatchLimits(every_s=0.01))
    await rig.rabbit.make_queue("tap", QUORUM, "#")
    await rig.start()
    receipts = Receipts()
    looks = 0

    look = rig.supervisor.destinations.look

    async def counted(inquiry: object) -> None:
        nonlocal looks
        await look(inquiry)  # type: ignore[arg-type]
        looks += 1

    rig.supervisor.destinations.look = counted  # type: ignore[method-assign]
    await until(lambda: looks >= 20, "it has been asked twenty times")
    rig.publisher.publish([outgoing("m")], receipts)
    await receipts.all_told(1)
    assert [record.message_id for record in await rig.rabbit.take("tap")] == ["m"]
    assert await rig.rabbit.ready_count(DEAD) == 0


@pytest.mark.parametrize("reconnects", [False, True])
async def test_without_any_outbound_exchange_nothing_is_taken_until_there_is_one(
    build: Build, broker: Broker, reconnects: bool
) -> None:
    rig = await build(watch=WATCH).start()
    await taken(rig, b"before")
    await rig.rabbit.delete_exchange(AGENT)
    await told(rig, f"exchange {AGENT}")
    assert troubles(rig)[f"exchange {AGENT}"].startswith("missing: declare it, or restart the bridge")
    await until(lambda: rig.inbox.held_back_by == ["outbound"], "nothing is consumed")
    await until(lambda: rig.log.of("consumer.paused"), "nothing is consumed any more")
    await rig.rabbit.publish(Outgoing(b"after"))
    if reconnects:
        await asyncio.to_thread(broker.cut_connections, rig.vhost)
        await until(lambda: rig.generation == 2 and rig.supervisor.trouble is None, "it is connected again")
    assert await rig.rabbit.depth(EVENTS) == (1, 0)
    assert not await rig.rabbit.exchange_exists(AGENT), "nothing is declared behind anyone's back"
    await rig.rabbit.declare()
    await told(rig)
    _, after = await rig.delivered(2)
    assert (after.incoming.body, after.incoming.redelivered) == (b"after", False)
    assert after.ack()


@pytest.mark.parametrize("gone", [OTHER, DELAY, DEAD, EVENTS])
async def test_events_that_do_not_need_what_is_missing_go_on_before_and_after_a_reconnect(
    build: Build, broker: Broker, gone: str
) -> None:
    rig = await build(watch=WATCH, outbounds=(outbound(), outbound(OTHER))).start()
    await rig.rabbit.delete_exchange(gone)
    await told(rig, f"exchange {gone}")
    await rig.rabbit.put(EVENTS, b"before")
    (before,) = await rig.delivered(1)
    assert before.ack()
    await asyncio.to_thread(broker.cut_connections, rig.vhost)
    await rig.connected(2)
    assert troubles(rig).keys() == {f"exchange {gone}"}
    await rig.rabbit.put(EVENTS, b"after")
    await until(lambda: b"after" in rig.bodies, "it is delivered")
    await rig.rabbit.make_exchange(gone, "direct" if gone == DELAY else "topic")
    await told(rig)
    assert rig.generation == 2


async def test_a_delay_queue_that_is_missing_is_told_after_a_reconnect(build: Build, broker: Broker) -> None:
    rig = await build(watch=WATCH, lean=False).start()
    await rig.rabbit.delete_queue(f"{EVENTS}.delay.5")
    await asyncio.to_thread(broker.cut_connections, rig.vhost)
    await rig.connected(2)
    await told(rig, f"queue {EVENTS}.delay.5")
    await taken(rig, b"meanwhile")
    await rig.rabbit.make_queue(f"{EVENTS}.delay.5", QUORUM)
    await told(rig)
    assert rig.generation == 2


async def test_a_queue_that_may_not_be_read_does_not_keep_the_others_from_being_consumed(
    build: Build, broker: Broker
) -> None:
    """Were the connection to end over it, what the others hold would be delivered, and counted, again and again."""
    rig = build()
    user = User(broker, rig.vhost)
    inbounds = (inbound(), inbound("other", bindings=("other.#",)))
    rig = await build(urls=(user.url,), inbounds=inbounds, watch=WATCH).start()
    await rig.rabbit.publish(Outgoing(b"held"))
    await rig.delivered(1)
    await user.may(read=r"^bridge\.")
    await asyncio.to_thread(broker.cut_connections, rig.vhost)
    await told(rig, "queue other")
    await rig.connected(2)
    await taken(rig, b"meanwhile")
    await user.may()
    await told(rig)
    assert rig.generation == 2
    assert said(rig, "consumer.refused", "consumer.admitted") == ["consumer.refused", "consumer.admitted"]


async def test_a_queue_that_may_not_be_read_any_more_ends_no_connection(build: Build, broker: Broker) -> None:
    """A consumer is renewed after a silence, and refused then; only its own queue waits."""
    rig = build()
    user = User(broker, rig.vhost)
    inbounds = (inbound(), inbound("other", bindings=("other.#",)))
    hasty = WatchLimits(every_s=0.2, silent_s=0.5)
    rig = await build(urls=(user.url,), inbounds=inbounds, watch=hasty).start()
    await user.may(read=r"^bridge\.")
    await told(rig, "queue other")
    await taken(rig, b"meanwhile")
    await user.may()
    await told(rig)
    assert rig.generation == 1


async def test_a_queue_that_is_deleted_does_not_keep_the_others_from_being_consumed(build: Build) -> None:
    """The broker's cancel ends the connection, once; the next one does without."""
    rig = await build(inbounds=(inbound(), inbound("other", bindings=("other.#",))), watch=WATCH).start()
    await rig.rabbit.delete_queue("other")
    await rig.connected(2)
    await told(rig, "queue other")
    await taken(rig, b"meanwhile")
    await rig.rabbit.make_queue("other", QUORUM)
    await told(rig)
    await rig.rabbit.put("other", b"from it")
    await until(lambda: b"from it" in rig.bodies, "it is consumed")
    assert rig.generation == 2


async def test_a_queue_that_never_confirms_ends_fewer_and_fewer_generations(build: Build, broker: Broker) -> None:
    """Connecting anew does not mend it, and each time the broker counts one more delivery of whatever is held."""
    rig = build(watch=WatchLimits(every_s=0.2, slowest_confirm_s=1.0))
    await rig.rabbit.make_queue("tap", {"x-queue-type": "classic"}, "#")
    await rig.start()
    process = (
        f'amqqueue:get_pid(element(2, rabbit_amqqueue:lookup(rabbit_misc:r(<<"{rig.vhost}">>, queue, <<"tap">>))))'
    )
    await asyncio.to_thread(broker.evaluate, f"sys:suspend({process}).")
    receipts = Receipts()
    rig.publisher.publish([outgoing("m")], receipts)
    await rig.connected(3)
    ends = [fields["error"] for fields in rig.log.of("broker.lost")]
    assert ends == ["no confirm for 1 s", "no confirm for 2 s"]
    await asyncio.to_thread(broker.evaluate, f"sys:resume({process}).")
    await receipts.all_told(1)
    assert rig.generation == 3


async def test_the_frames_are_as_small_as_the_address_wants_them(build: Build, broker: Broker) -> None:
    small = broker.smallest_frame
    rig = build()
    rig = await build(urls=(f"{rig.rabbit.url}?frame_max={small}",)).start()
    rows = await asyncio.to_thread(broker.node.ctl, "list_connections", "vhost", "frame_max")
    assert [row.split("\t")[1] for row in rows.splitlines() if row.startswith(f"{rig.vhost}\t")] == [str(small)] * 2
    await taken(rig, b"x" * 3 * small)
    receipts = Receipts()
    rig.publisher.publish([outgoing("m", b"y" * 3 * small, mandatory=False)], receipts)
    await receipts.all_told(1)
    assert receipts.confirmations == ["m"]
