"""What must exist at the broker, down to the exact arguments of sections 2 and 4.3 of the design."""

from bridge.core.topology import Inbound, Queue, dead_queue, delay_queues, inbound_queue, topology

EVENTS = Inbound("bridge.events", "bridge.events", ("#",), 500, 1024)
OTHER = Inbound("bridge.events", "other", ("billing.*", "crm.#"), 10, 1024)


def test_the_inbound_queue_has_exactly_the_fixed_arguments() -> None:
    assert inbound_queue(EVENTS, "bridge.dead") == Queue(
        "bridge.events",
        {
            "x-queue-type": "quorum",
            "x-delivery-limit": 100,
            "x-dead-letter-exchange": "bridge.dead",
            "x-dead-letter-routing-key": "poison",
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        },
        (("bridge.events", "#"),),
    )


def test_every_binding_key_binds_the_queue() -> None:
    assert inbound_queue(OTHER, "d").bindings == (("bridge.events", "billing.*"), ("bridge.events", "crm.#"))


def test_the_dead_letter_queue_survives_being_looked_at() -> None:
    arguments = {"x-queue-type": "quorum", "x-delivery-limit": 1_000_000}
    assert dead_queue("bridge.dead", "bridge.dead") == Queue("bridge.dead", arguments, (("bridge.dead", "#"),))


def test_there_is_one_delay_queue_a_level_and_each_leads_back() -> None:
    queues = delay_queues("bridge.events")
    assert [queue.name for queue in queues] == [
        f"bridge.events.delay.{seconds}" for seconds in (1, 2, 5, 10, 30, 60, 300, 600)
    ]
    for queue, seconds in zip(queues, (1, 2, 5, 10, 30, 60, 300, 600), strict=True):
        assert queue.arguments["x-queue-type"] == "quorum"
        assert queue.arguments["x-message-ttl"] == seconds * 1000
        assert queue.arguments["x-dead-letter-exchange"] == ""
        assert queue.arguments["x-dead-letter-routing-key"] == "bridge.events"
        assert queue.arguments["x-dead-letter-strategy"] == "at-least-once"
        assert queue.arguments["x-overflow"] == "reject-publish"
        assert len(queue.arguments) == 6
        assert queue.bindings == ()


def test_dead_lettering_at_least_once_is_never_without_reject_publish() -> None:
    """The broker falls back to at-most-once otherwise (rabbitmq.com, quorum queues)."""
    for queue in topology((EVENTS, OTHER), ("agent.events",), "bridge.dead", "bridge.dead").queues:
        if "x-dead-letter-strategy" in queue.arguments:
            assert queue.arguments["x-overflow"] == "reject-publish"


def test_the_whole_topology_names_each_thing_once() -> None:
    whole = topology((EVENTS, OTHER), ("agent.events", "agent.events", "bridge.events"), "bridge.dead", "dead")
    assert whole.exchanges == ("bridge.dead", "bridge.events", "agent.events")
    names = [queue.name for queue in whole.queues]
    assert len(names) == len(set(names)) == 1 + 2 * 9
    assert {"dead", "bridge.events", "other", "other.delay.600"} <= set(names)


def test_what_feeds_a_queue_exists() -> None:
    whole = topology((EVENTS, OTHER), ("agent.events",), "bridge.dead", "bridge.dead")
    for queue in whole.queues:
        assert all(exchange in whole.exchanges for exchange, _ in queue.bindings)
        assert queue.arguments.get("x-dead-letter-exchange", "") in (*whole.exchanges, "")


def test_an_inbound_on_the_default_exchange_binds_nothing() -> None:
    """Every queue is bound to it by its name, and the broker refuses any other binding."""
    whole = topology((Inbound("", "direct", ("#",), 1, 1),), (), "bridge.dead", "bridge.dead")
    assert "" not in whole.exchanges
    assert next(queue for queue in whole.queues if queue.name == "direct").bindings == ()
