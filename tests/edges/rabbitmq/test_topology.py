"""What the bridge declares, when, and never else.

See docs/operations.md, What has to exist at the broker, and docs/reliability.md, B8, B9.
"""

import asyncio
import json
from typing import Any

import pytest

from bridge.core.broker.republished_copy import delayed
from bridge.edges.rabbitmq.watchdog import WatchLimits
from tests.edges.conftest import Build
from tests.support.broker import Broker
from tests.support.rabbit import AGENT, DEAD, DEAD_ARGUMENTS, DELAY, EVENTS, EVENTS_ARGUMENTS, Outgoing
from tests.support.rig import inbound, outbound
from tests.support.waiting import stays, until

DELAYS = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1200, 1800, 3600)


SOON_S = 0.4
"""What is permanent is tried again after a moment, not after seconds."""


def listed(broker: Broker, vhost: str, what: str, *columns: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(broker.node.ctl(what, "--vhost", vhost, "--formatter", "json", *columns))
    return rows


def arguments(row: dict[str, Any]) -> dict[str, Any]:
    """rabbitmqctl shows them as a list of [name, type, value], or as a map where its version knows better."""
    found = row["arguments"]
    return found if isinstance(found, dict) else {name: value for name, _, value in found}


def delay_arguments(queue: str, seconds: int) -> dict[str, Any]:
    return {
        "x-queue-type": "quorum",
        "x-message-ttl": seconds * 1000,
        "x-dead-letter-exchange": DELAY,
        "x-dead-letter-routing-key": queue,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }


async def test_exactly_the_topology_of_the_design_is_declared(build: Build, broker: Broker) -> None:
    rig = await build(lean=False).start()
    queues = listed(broker, rig.vhost, "list_queues", "name", "durable", "auto_delete", "arguments")
    assert {row["name"]: arguments(row) for row in queues} == {
        EVENTS: EVENTS_ARGUMENTS,
        DEAD: DEAD_ARGUMENTS,
        **{f"{EVENTS}.delay.{seconds}": delay_arguments(EVENTS, seconds) for seconds in DELAYS},
        f"{EVENTS}.held": {**EVENTS_ARGUMENTS, "x-delivery-limit": 1_000_000},
    }
    assert {(row["durable"], row["auto_delete"]) for row in queues} == {(True, False)}
    exchanges = listed(broker, rig.vhost, "list_exchanges", "name", "type", "durable", "auto_delete", "arguments")
    own = [row for row in exchanges if row["name"] and not row["name"].startswith("amq.")]
    assert {(row["name"], row["type"], row["durable"], row["auto_delete"], len(row["arguments"])) for row in own} == {
        *((name, "topic", True, False, 0) for name in (EVENTS, AGENT, DEAD)),
        (DELAY, "direct", True, False, 0),
    }
    bindings = listed(broker, rig.vhost, "list_bindings", "source_name", "destination_name", "routing_key")
    assert {tuple(row.values()) for row in bindings if row["source_name"]} == {
        (EVENTS, EVENTS, "#"),
        (DEAD, DEAD, "#"),
        (DELAY, EVENTS, EVENTS),
        *((DELAY, queue, queue) for queue in (f"{EVENTS}.delay.{seconds}" for seconds in DELAYS)),
        (DELAY, f"{EVENTS}.held", f"{EVENTS}.held"),
    }


async def test_several_inbounds_and_outbounds_share_what_has_the_same_name(build: Build, broker: Broker) -> None:
    rig = await build(
        lean=False,
        inbounds=(inbound(bindings=("a.#", "b.*")), inbound("second", exchange="other")),
        outbounds=(outbound(), outbound("audit"), outbound()),
    ).start()
    names = {row["name"] for row in listed(broker, rig.vhost, "list_queues", "name")}
    delays = {f"{queue}.delay.{seconds}" for queue in (EVENTS, "second") for seconds in DELAYS}
    assert names == {EVENTS, "second", DEAD, f"{EVENTS}.held", "second.held"} | delays
    assert sorted(broker.bindings(rig.vhost, EVENTS)) == ["a.#", "b.*"]
    assert broker.bindings(rig.vhost, "other") == ["#"]


async def test_declaring_what_exists_changes_nothing(build: Build) -> None:
    first = await build().start()
    await first.rabbit.publish(Outgoing(b"kept"))
    await first.delivered(1)
    await first.stop()
    second = await build().start()
    assert (await second.delivered(1))[0].incoming.body == b"kept"


async def test_a_queue_that_is_deleted_is_said_and_never_made_again(build: Build) -> None:
    rig = await build(max_permanent_s=SOON_S).start()
    await rig.rabbit.delete_queue(EVENTS)
    await until(lambda: "missing" in (rig.supervisor.trouble or ""), "the missing queue is said")
    assert f"queue {EVENTS}" in str(rig.supervisor.trouble)
    assert "error" in {level for level, event, _ in rig.log.lines if event == "broker.lost"}
    assert await rig.rabbit.depth(EVENTS) is None
    await rig.rabbit.declare()
    await rig.connected(generation=2)
    await rig.rabbit.publish(Outgoing(b"after"))
    await rig.delivered(1)


async def test_what_may_not_be_declared_is_only_verified(build: Build) -> None:
    rig = build(may_declare=False, lean=False, max_permanent_s=SOON_S)
    rig.run()
    await until(lambda: "missing" in (rig.supervisor.trouble or ""), "what is missing is said")
    for name in (
        f"exchange {AGENT}",
        f"exchange {DELAY}",
        f"queue {EVENTS}",
        f"queue {EVENTS}.delay.600",
        f"queue {DEAD}",
    ):
        assert name in str(rig.supervisor.trouble)
    assert await rig.rabbit.depth(EVENTS) is None
    assert not await rig.rabbit.exchange_exists(AGENT)
    await rig.rabbit.declare()
    for seconds in DELAYS:
        await rig.rabbit.make_queue(f"{EVENTS}.delay.{seconds}", {"x-queue-type": "classic"})
    await rig.connected()


async def test_other_arguments_are_a_permanent_trouble_that_is_said_loudly_and_not_in_a_hurry(build: Build) -> None:
    rig = build()
    await rig.rabbit.declare({**EVENTS_ARGUMENTS, "x-delivery-limit": 5})
    await rig.rabbit.publish(Outgoing(b"waiting"))
    rig.run()
    await until(lambda: "PRECONDITION" in str(rig.supervisor.trouble).upper(), "the difference is said")
    assert "x-delivery-limit" in str(rig.supervisor.trouble)
    (said,) = [fields for level, event, fields in rig.log.lines if (level, event) == ("error", "broker.lost")]
    assert said["permanent"]
    assert said["again_in_s"] >= 1
    await stays(lambda: len(rig.log.of("broker.lost")) <= 2, "no hurry", 0.6)
    assert await rig.rabbit.depth(EVENTS) == (1, 0)


async def test_single_active_is_declared_and_is_another_queue_to_the_broker(build: Build, broker: Broker) -> None:
    alone = (inbound(single_active=True),)
    rig = await build(inbounds=alone).start()
    (found,) = [row for row in listed(broker, rig.vhost, "list_queues", "name", "arguments") if row["name"] == EVENTS]
    assert arguments(found) == {**EVENTS_ARGUMENTS, "x-single-active-consumer": True}
    again = await build(inbounds=alone).start()
    await again.stop()
    other = build()
    other.run()
    await until(lambda: "x-single-active-consumer" in str(other.supervisor.trouble), "the difference is said")


async def test_an_exchange_for_delays_that_is_deleted_is_said_before_anything_has_to_wait(build: Build) -> None:
    rig = await build(watch=WatchLimits(every_s=0.2), max_permanent_s=SOON_S).start()
    await rig.rabbit.delete_exchange(DELAY)
    await until(lambda: f"exchange {DELAY}" in rig.supervisor.destinations.troubles, "it is said")
    assert "declare it, or restart the bridge" in rig.supervisor.destinations.troubles[f"exchange {DELAY}"]
    assert not await rig.rabbit.exchange_exists(DELAY)
    await rig.rabbit.publish(Outgoing(b"goes on"))
    await rig.delivered(1)
    await rig.rabbit.declare()
    await until(lambda: not rig.supervisor.destinations.troubles, "it is seen that it is there again")
    assert rig.generation == 1
    assert [len(rig.log.of(f"destination.{event}")) for event in ("unusable", "usable")] == [1, 1]


# --- delay queues of an earlier version


async def test_delay_queues_of_an_earlier_version_are_used_as_they_are_and_it_is_said_once(build: Build) -> None:
    """They dead-letter through the default exchange; the broker refuses to declare them anew, and messages may wait."""
    rig = build(lean=False)
    await rig.rabbit.declare()
    await asyncio.to_thread(rig.rabbit.declare_delays_now, "")
    await rig.rabbit.put(f"{EVENTS}.delay.1", b"waited all along")
    await rig.start()
    (delivery,) = await rig.delivered(1)
    assert delivery.incoming.body == b"waited all along"
    (said,) = rig.log.of("topology.as_found")
    assert said["queues"] == [f"{EVENTS}.delay.{seconds}" for seconds in DELAYS]
    await rig.republisher.copy(
        delayed(delivery.incoming, DELAY, 1, attempt=1, pauses=0, progress=None),
    )
    _, again = await rig.delivered(2)
    assert again.incoming.body == b"waited all along"
    assert rig.log.of("broker.lost") == []


async def test_one_delay_queue_of_another_kind_among_new_ones_is_used_too(build: Build) -> None:
    rig = build(lean=False)
    await rig.rabbit.declare()
    await rig.rabbit.make_queue(f"{EVENTS}.delay.5", {"x-queue-type": "classic"})
    await rig.start()
    assert rig.log.of("topology.as_found")[0]["queues"] == [f"{EVENTS}.delay.5"]


async def test_a_limit_of_queues_is_no_queue_of_an_earlier_version(build: Build, broker: Broker) -> None:
    rig = build(lean=False)
    limit = ("set_vhost_limits", "-p", rig.vhost, '{"max-queues": 4}')
    await asyncio.to_thread(broker.node.ctl, *limit)
    rig.run()
    await until(lambda: "queue limit" in str(rig.supervisor.trouble), "the limit is said")
    assert rig.log.of("topology.as_found") == []


async def test_a_delay_exchange_of_another_type_is_said(build: Build) -> None:
    rig = build()
    await rig.rabbit.make_queue("any", {"x-queue-type": "classic"}, "#", exchange=DELAY)
    rig.run()
    await until(lambda: f"declaring exchange {DELAY}" in str(rig.supervisor.trouble), "the difference is said")


@pytest.mark.parametrize(("user", "vhost"), [("guest:canary-password", None), ("guest:guest", "nowhere")])
async def test_an_unknown_user_or_vhost_is_permanent_and_no_password_is_said(
    build: Build, broker: Broker, user: str, vhost: str | None
) -> None:
    rig = build()
    url = f"amqp://{user}@127.0.0.1:{broker.node.port}/{vhost or rig.vhost}"
    refused = build(urls=(url,))
    refused.run()
    await until(lambda: refused.log.of("broker.lost"), "the refusal is said")
    (level, _, said), *_ = [line for line in refused.log.lines if line[1] == "broker.lost"]
    assert (level, said["permanent"]) == ("error", True)
    assert "canary" not in str(refused.log.lines)


async def test_a_role_that_may_neither_configure_nor_look_suffices_where_nothing_is_declared(
    build: Build, broker: Broker
) -> None:
    owner = await build().start()
    await owner.stop()
    rights = ("^$", "^(agent.events|bridge.dead|bridge.delay)$", "^bridge.events$")
    url = await asyncio.to_thread(broker.add_user, owner.vhost, "meek", "meek", *rights)
    rig = await build(urls=(url,), may_declare=False).start()
    await rig.rabbit.publish(Outgoing(b"event"))
    (delivery,) = await rig.delivered(1)
    assert delivery.ack()
    await until(lambda: rig.rabbit.ready_is(EVENTS, 0), "it is acked")
