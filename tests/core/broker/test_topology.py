"""What must exist at the broker, down to the exact arguments (docs/operations.md, What has to exist at the broker)."""

from dataclasses import replace

from bridge.core.broker.topology import (
    Destination,
    Exchange,
    Inbound,
    Queue,
    Topology,
    Use,
    dead_queue,
    delay_queues,
    inbound_queue,
    topology,
)
from bridge.core.delivery.retry import DELAY_LEVELS_S

EVENTS = Inbound("bridge.events", "bridge.events", ("#",), 500, 1024)
OTHER = Inbound("bridge.events", "other", ("billing.*", "crm.#"), 10, 1024)
DELAY = "bridge.delay"


def whole(*inbounds: Inbound, outbounds: tuple[str, ...] = ("agent.events",), dead: str = "bridge.dead") -> Topology:
    return topology(inbounds, outbounds, dead_exchange="bridge.dead", dead=dead, delay_exchange=DELAY)


def test_the_inbound_queue_has_exactly_the_fixed_arguments() -> None:
    assert inbound_queue(EVENTS, "bridge.dead", DELAY) == Queue(
        "bridge.events",
        {
            "x-queue-type": "quorum",
            "x-delivery-limit": 100,
            "x-dead-letter-exchange": "bridge.dead",
            "x-dead-letter-routing-key": "poison",
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        },
        (("bridge.events", "#"), (DELAY, "bridge.events")),
    )


def test_single_active_is_one_argument_more() -> None:
    alone = inbound_queue(replace(EVENTS, single_active=True), "bridge.dead", DELAY)
    usual = inbound_queue(EVENTS, "bridge.dead", DELAY)
    assert alone.arguments == {**usual.arguments, "x-single-active-consumer": True}
    assert alone.bindings == usual.bindings


def test_every_binding_key_binds_the_queue() -> None:
    bindings = inbound_queue(OTHER, "d", DELAY).bindings
    assert bindings == (("bridge.events", "billing.*"), ("bridge.events", "crm.#"), (DELAY, "other"))


def test_the_dead_letter_queue_survives_being_looked_at() -> None:
    arguments: dict[str, str | int] = {"x-queue-type": "quorum", "x-delivery-limit": 1_000_000}
    assert dead_queue("bridge.dead", "bridge.dead") == Queue("bridge.dead", arguments, (("bridge.dead", "#"),))


def test_there_is_one_delay_queue_a_level_and_each_leads_back() -> None:
    queues = delay_queues("bridge.events", DELAY)
    assert [queue.name for queue in queues] == [
        f"bridge.events.delay.{seconds}" for seconds in (1, 2, 5, 10, 30, 60, 120, 300, 600, 1200, 1800, 3600)
    ]
    for queue, seconds in zip(queues, (1, 2, 5, 10, 30, 60, 120, 300, 600, 1200, 1800, 3600), strict=True):
        assert queue.arguments["x-queue-type"] == "quorum"
        assert queue.arguments["x-message-ttl"] == seconds * 1000
        assert queue.arguments["x-dead-letter-exchange"] == DELAY
        assert queue.arguments["x-dead-letter-routing-key"] == "bridge.events"
        assert queue.arguments["x-dead-letter-strategy"] == "at-least-once"
        assert queue.arguments["x-overflow"] == "reject-publish"
        assert len(queue.arguments) == 6
        assert queue.bindings == ((DELAY, queue.name),)
        assert queue.as_found


def test_dead_lettering_at_least_once_is_never_without_reject_publish() -> None:
    """The broker falls back to at-most-once otherwise (rabbitmq.com, quorum queues)."""
    for queue in whole(EVENTS, OTHER).queues:
        if "x-dead-letter-strategy" in queue.arguments:
            assert queue.arguments["x-overflow"] == "reject-publish"


def test_the_whole_topology_names_each_thing_once() -> None:
    found = whole(EVENTS, OTHER, outbounds=("agent.events", "agent.events", "bridge.events"), dead="dead")
    topics = ("bridge.dead", "bridge.events", "agent.events")
    assert found.exchanges == (*(Exchange(name, "topic") for name in topics), Exchange(DELAY, "direct"))
    assert found.consumed == ("bridge.events", "other")
    assert found.destinations == (
        Destination("agent.events", None, Use.OUTBOUND),
        Destination("bridge.events", None, Use.OUTBOUND),
        Destination("bridge.dead", "rejected", Use.DEAD),
        Destination(DELAY, "bridge.events.delay.1", Use.DELAY),
        Destination("bridge.events", None, Use.INBOUND),
    )
    names = [queue.name for queue in found.queues]
    assert len(names) == len(set(names)) == 1 + 2 * (2 + len(DELAY_LEVELS_S))
    assert {"dead", "bridge.events", "other", "other.delay.600", "other.held"} <= set(names)


def test_what_feeds_a_queue_and_takes_its_dead_letters_exists() -> None:
    found = whole(EVENTS, OTHER)
    names = {exchange.name for exchange in found.exchanges}
    for queue in found.queues:
        assert {exchange for exchange, _ in queue.bindings} <= names
        assert queue.arguments.get("x-dead-letter-exchange", DELAY) in names


def test_what_a_pause_keeps_back_waits_without_a_time_to_live() -> None:
    (held,) = [queue for queue in whole(EVENTS).queues if queue.name == "bridge.events.held"]
    assert held.arguments == {
        "x-queue-type": "quorum",
        "x-delivery-limit": 1_000_000,
        "x-dead-letter-exchange": "bridge.dead",
        "x-dead-letter-routing-key": "poison",
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
    assert held.bindings == ((DELAY, "bridge.events.held"),)
    assert not held.as_found


def test_what_has_waited_is_led_back_to_the_queue_that_it_came_from() -> None:
    bound = {binding: queue.name for queue in whole(EVENTS, OTHER).queues for binding in queue.bindings}
    for queue in whole(EVENTS, OTHER).queues:
        if queue.as_found:
            back = (str(queue.arguments["x-dead-letter-exchange"]), str(queue.arguments["x-dead-letter-routing-key"]))
            assert bound[back] == queue.name.partition(".delay.")[0]


def test_an_inbound_on_the_default_exchange_is_bound_for_what_has_waited_alone() -> None:
    """Every queue is bound to that one by its name, and the broker refuses any other binding."""
    found = whole(Inbound("", "direct", ("#",), 1, 1))
    assert Exchange("") not in found.exchanges
    assert next(queue for queue in found.queues if queue.name == "direct").bindings == ((DELAY, "direct"),)
