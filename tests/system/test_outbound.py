"""Where the lines go: routing keys, several outbounds, filters, and what `required` means."""

from dataclasses import replace

from tests.support.events import event, raw, text_of
from tests.support.fake_api import Complete, Piece, Raw, Stream, answer
from tests.support.oracle import of_event, without_repeats
from tests.support.rabbit import DEAD, EVENTS, Subscriber
from tests.support.waiting import stays, until
from tests.support.world import World

EXCHANGES = ("agent.events", "agent.endings", "agent.cloud", "agent.keys")
KEY = "{route}.{user_id}.{service_id}.{version_set}.{source}.{type}"
OUTBOUNDS = [
    {"exchange": "agent.events", "routing_key": "{channel_type}.{channel}.{type}", "types": ["*"]},
    {"exchange": "agent.endings", "types": ["interaction-complete", "bridge-failed"]},
    {"exchange": "agent.cloud", "format": "cloudevents"},
    {"exchange": "agent.keys", "routing_key": KEY},
]
ROUTE = {"name": "r.1", "when": "true", "tags": {"source": "pay ments"}}


async def test_every_outbound_takes_what_its_filter_lets_through(world: World) -> None:
    await world.launch(amqp={"outbound": OUTBOUNDS}, routes=[ROUTE])
    everywhere = Subscriber(world.rabbit.url, "everywhere", EXCHANGES)
    everywhere.start()
    odd = Raw(b'{"type":"odd one","x":1}')
    world.fake.script(text_of("o1"), Stream((Piece("a"), odd, Complete())))
    try:
        await world.publish(event("o1", user_id="u@x.y", channel="sms"))
        await until(lambda: len(everywhere.records) >= 13, "all outbounds have published")
        await until(lambda: world.counts(EVENTS, (0, 0)), "the event is settled")
    finally:
        everywhere.stop()
    by_exchange = {name: [one for one in everywhere.records if one.exchange == name] for name in EXCHANGES}
    (talk,) = world.fake.truth.talks_of(text_of("o1"))
    for name in ("agent.events", "agent.cloud", "agent.keys"):
        assert [one.body for one in by_exchange[name]] == talk.sent, name
    assert [one.type for one in by_exchange["agent.endings"]] == ["interaction-complete"]
    assert [one.routing_key for one in by_exchange["agent.events"]] == [
        f"text.sms.{kind}" for kind in ("conversation-created", "new-message", "odd_one", "interaction-complete")
    ]
    start = f"r_1.u_x_y.{talk.conversation.service}.release.pay_ments."
    assert [one.routing_key for one in by_exchange["agent.keys"]] == [
        start + kind for kind in ("conversation-created", "new-message", "odd_one", "interaction-complete")
    ]
    ids = [[one.message_id for one in by_exchange[name]] for name in ("agent.events", "agent.cloud", "agent.keys")]
    assert ids[0] == ids[1] == ids[2]
    for one in by_exchange["agent.cloud"]:
        cloud = {name[12:]: value for name, value in one.headers.items() if name[:11] == "cloudEvents"}
        assert cloud["specversion"] == "1.0"
        assert {"id", "source", "type"} <= cloud.keys()
    assert not any(name.startswith("cloudEvents") for one in by_exchange["agent.events"] for name in one.headers)


async def test_several_inbounds_have_names_of_their_own(world: World) -> None:
    inbounds = [
        {"exchange": "crm.out", "queue": "crm.in", "bindings": ["order.*", "invoice.#"]},
        {"exchange": "shop.out", "queue": "shop.in", "bindings": ["#"]},
    ]
    await world.launch(amqp={"inbound": inbounds, "dead_letter": {"exchange": "my.dead", "queue": "my.dead"}})
    sent = [
        replace(event("i1", routing_key="order.paid"), exchange="crm.out"),
        replace(event("i2", routing_key="invoice.a.b"), exchange="crm.out"),
        replace(event("i3", routing_key=""), exchange="shop.out"),
    ]
    await world.publish(*sent, replace(raw(b"{", routing_key="order.bad"), exchange="crm.out"))
    await world.endings("i1", "i2", "i3")
    await until(lambda: world.rabbit.ready_is("my.dead", 1), "the bad one is dead")
    (letter,) = await world.rabbit.take("my.dead")
    assert (letter.headers["x-bridge-exchange"], letter.headers["x-bridge-routing-key"]) == ("crm.out", "order.bad")
    assert await world.rabbit.depth(EVENTS) is None


async def test_an_event_that_nobody_subscribed_to_is_not_an_error(world: World) -> None:
    await world.launch(amqp={"outbound": [{"exchange": "agent.nobody"}]})
    await world.publish(event("lonely"))
    await until(lambda: world.fake.truth.committed(text_of("lonely")), "the agent heard it")
    await until(lambda: world.counts(EVENTS, (0, 0)), "the event is settled")
    assert await world.rabbit.ready_count(DEAD) == 0


async def test_what_a_required_outbound_never_takes_is_undeliverable(world: World) -> None:
    """The agent has answered, nobody takes it, patience is out: a dead letter, settled, and no second interaction."""
    needed = {"exchange": "agent.needed", "required": True}
    await world.launch(amqp={"outbound": [needed]}, retry={"publish_for": "2s"})
    await world.publish(event("unwanted"))
    (letter,) = await world.dead(1)
    assert letter.routing_key == "undeliverable"
    assert letter.headers["x-bridge-conversation-id"] == world.fake.truth.conversation_of(text_of("unwanted")).id
    await until(lambda: world.counts(EVENTS, (0, 0)), "the event is settled")
    assert len(world.fake.truth.talks_of(text_of("unwanted"))) == 1


async def test_a_subscriber_that_refuses_for_ever_gives_the_others_no_second_ending(world: World) -> None:
    """The ending was refused by one queue and taken by another: dead-lettered, but told once."""
    await world.launch(retry={"publish_for": "2s"})
    await world.rabbit.make_queue("full", {"x-max-length": 1, "x-overflow": "reject-publish"}, "#.interaction-complete")
    await world.rabbit.put("full", b"fills it")
    await world.publish(event("half"))
    (letter,) = await world.dead(1)
    assert letter.routing_key == "undeliverable"
    await until(lambda: world.counts(EVENTS, (0, 0)), "the event is settled")
    assert (await world.ending("half")).ending.type == "interaction-complete"


async def test_a_required_outbound_waits_for_its_subscriber(world: World) -> None:
    """A returned message counts as refused: it is published again with the same ids, and the agent is asked once."""
    needed = {"exchange": "agent.needed", "required": True}
    await world.launch(amqp={"outbound": [needed]}, retry={"attempts": 100, "first": "200ms", "longest": "500ms"})
    world.fake.script(text_of("needed"), answer("a", "b"))
    await world.publish(event("needed"))
    await until(lambda: world.fake.truth.talks_of(text_of("needed")), "the agent heard it")
    await stays(lambda: world.rabbit.ready_is(DEAD, 0), "it is not given up at once", 0.5)
    late = Subscriber(world.rabbit.url, "late", ["agent.needed"])
    late.start()
    try:
        await until(lambda: "needed:interaction-complete" in [one.message_id for one in late.records], "it is out", 30)
        await until(lambda: world.counts(EVENTS, (0, 0)), "the event is settled")
    finally:
        late.stop()
    (talk,) = world.fake.truth.talks_of(text_of("needed"))
    told = without_repeats(of_event(late.records, "needed"))
    assert [one.body for one in sorted(told, key=lambda one: one.headers["sequence"])] == talk.sent
    assert len(world.fake.truth.committed(text_of("needed"))) == 1
