"""Opening a connection: every address of a name, every name of a virtual host, and the broker's own words for a no."""

import asyncio
import gc
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import aiormq
import pytest
from aiohappyeyeballs import AddrInfoType
from yarl import URL

from bridge.edges.rabbitmq.addresses import Addresses
from bridge.edges.rabbitmq.connection import ConnectLimits, SeverableConnection, connection_to, virtual_host_of
from bridge.edges.rabbitmq.generation import BrokerTrouble, Generation, TroubleKind, open_channel
from deploy.local.node import HOST, RabbitNode, free_port
from tests.edges.conftest import Build
from tests.support.black_hole import BlackHole
from tests.support.broker import Broker
from tests.support.half_broker import HANDSHAKE, HalfBroker
from tests.support.rabbit import EVENTS, Outgoing
from tests.support.waiting import until

NAME = "broker.example"


class Named(Addresses):
    """A name with these addresses, in this order."""

    def __init__(self, *addresses: tuple[str, int]) -> None:
        super().__init__()
        self._infos: list[AddrInfoType] = [
            (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", one) for one in addresses
        ]

    async def resolved(self, host: str, port: int) -> list[AddrInfoType]:
        assert host == NAME
        return self._infos


async def opened(url: str, addresses: Addresses | None = None) -> str:
    """Connects, opens a channel and closes; the virtual host that it was."""
    made = await connection_to(url, "a test", addresses=addresses)
    assert made.transport is not None
    await open_channel(made, Generation(1), "a channel")
    connected = made.transport.connection
    assert isinstance(connected, aiormq.Connection)
    vhost = connected.vhost
    assert await made.closed_in_order()
    return str(vhost)


async def refusal(url: str, channels: int = 0) -> BrokerTrouble:
    """What the broker says to a connection with so many channels."""
    made = None
    try:
        made = await connection_to(url, "a test")
        for number in range(channels):
            await open_channel(made, Generation(1), f"channel {number}")
    except BrokerTrouble as trouble:
        return trouble
    finally:
        if made is not None:
            await made.closed_in_order()
    raise AssertionError("it was not refused")


# --- addresses


@pytest.mark.parametrize("before", [1, 2])
async def test_where_the_first_address_answers_nothing_the_next_is_tried(broker: Broker, before: int) -> None:
    with BlackHole() as hole:
        addresses = Named(*[hole.address] * before, (HOST, broker.node.port))
        assert await opened(f"amqp://guest:guest@{NAME}/", addresses) == "/"


async def test_where_the_first_address_refuses_the_next_is_tried(broker: Broker) -> None:
    addresses = Named(("127.0.0.2", free_port()), (HOST, broker.node.port))
    assert await opened(f"amqp://guest:guest@{NAME}/", addresses) == "/"


async def test_tls_too_goes_to_the_next_address_and_the_certificate_is_the_names(tmp_path: Path) -> None:
    async with HalfBroker(len(HANDSHAKE), secure=True, name=NAME) as peer:
        authority = tmp_path / "certificate.pem"
        authority.write_text(peer.certificate, encoding="ascii")
        with BlackHole() as hole:
            addresses = Named(hole.address, (HOST, peer.port))
            made = await connection_to(f"amqps://{NAME}/?cafile={authority}", "a test", addresses=addresses)
        made.cut()


async def test_a_certificate_of_another_name_is_refused(tmp_path: Path) -> None:
    async with HalfBroker(len(HANDSHAKE), secure=True, name="other.example") as peer:
        authority = tmp_path / "certificate.pem"
        authority.write_text(peer.certificate, encoding="ascii")
        with pytest.raises(BrokerTrouble, match="certificate"):
            await connection_to(f"amqps://{NAME}/?cafile={authority}", "a test", addresses=Named((HOST, peer.port)))


async def test_where_no_address_answers_the_limit_holds() -> None:
    limits = ConnectLimits(connect_s=0.8)
    with BlackHole() as hole, pytest.raises(BrokerTrouble, match="no answer within"):
        await connection_to(f"amqp://{NAME}/", "a test", addresses=Named(*[hole.address] * 3), limits=limits)


async def test_where_every_address_refuses_that_is_said() -> None:
    addresses = Named(*[(host, free_port()) for host in ("127.0.0.1", "127.0.0.2")])
    with pytest.raises(BrokerTrouble, match=NAME):
        await connection_to(f"amqp://{NAME}/", "a test", addresses=addresses)


@pytest.mark.parametrize("answers", range(len(HANDSHAKE)))
async def test_an_address_that_takes_the_connection_and_is_silent_is_tried_last_from_then_on(
    broker: Broker, answers: int
) -> None:
    """A frozen node, or a load balancer without one behind it: only the broker's words show that it is there."""
    async with HalfBroker(answers) as peer:
        addresses = Named((HOST, peer.port), (HOST, broker.node.port))
        limits = ConnectLimits(connect_s=0.5)
        with pytest.raises(BrokerTrouble):
            await connection_to(f"amqp://guest:guest@{NAME}/", "a test", addresses=addresses, limits=limits)
        for _ in range(2):
            assert await opened(f"amqp://guest:guest@{NAME}/", addresses) == "/"


async def test_an_address_that_speaks_again_is_no_longer_the_last(broker: Broker) -> None:
    addresses = Named((HOST, broker.node.port), ("127.0.0.1", free_port()))
    addresses.fell_silent((HOST, broker.node.port))
    await opened(f"amqp://guest:guest@{NAME}/", addresses)
    with BlackHole() as hole:
        addresses = Named((HOST, broker.node.port), hole.address)
        addresses.fell_silent((HOST, broker.node.port))
        await opened(f"amqp://guest:guest@{NAME}/", addresses)


async def test_a_service_whose_broker_has_a_dead_address_lives_on_the_other(build: Build, broker: Broker) -> None:
    with BlackHole() as hole:
        rig = build()
        addresses = Named(hole.address, (HOST, broker.node.port))
        rig = build(urls=(f"amqp://guest:guest@{NAME}/{rig.vhost}",), addresses=addresses)
        await rig.start()
        await rig.rabbit.publish(Outgoing(b"event"))
        await rig.delivered(1)
        assert rig.log.of("broker.lost") == []
        await rig.stop()


# --- virtual hosts, users


VHOSTS = {
    "amqp://h": "/",
    "amqp://h/": "/",
    "amqp://h//": "/",
    "amqp://h/%2F": "/",
    "amqp://h/%2f?heartbeat=10": "/",
    "amqp://h/a": "a",
    "amqp://h/a/": "a/",
    "amqp://h/a%2Fb": "a/b",
    "amqp://h/a/b": "a/b",
    "amqp://h/a%252Fb": "a%2Fb",
    "amqp://h/50%25off": "50%off",
    "amqp://h/50%2525off": "50%25off",
    "amqp://h/50%off": "50%off",
    "amqp://h/%25": "%",
    "amqp://h/a%20b": "a b",
    "amqp://h/a+b": "a+b",
    "amqp://h/%C3%BC": "ü",
    "amqp://h/ü": "ü",
    "amqp://h/..": "..",
    "amqp://h/q%3F%23?name=x#y": "q?#",
    "amqps://u:p%2F%40@[::1]:5671/v": "v",
}


@pytest.mark.parametrize("url", VHOSTS)
def test_the_name_of_a_virtual_host_is_decoded_once(url: str) -> None:
    assert virtual_host_of(url) == VHOSTS[url]


@pytest.fixture(scope="module")
def odd_vhosts(broker: Broker) -> Iterator[list[str]]:
    """Virtual hosts with odd names; where one leads into another there is only one of them."""
    names = ["50%off", "a/b", "a%2Fb", "50%25off", "%", "a b", "a+b", "ü", "q?#", ".."]
    broker.add_vhosts(names)
    yield names
    for name in names:
        broker.give_back(name)


async def test_every_name_of_a_virtual_host_can_be_reached(broker: Broker, odd_vhosts: list[str]) -> None:
    assert [await opened(broker.node.url + quote(name, safe="")) for name in odd_vhosts] == odd_vhosts


@pytest.mark.parametrize(
    ("user", "password"), [("50%off", "p%40s"), ("a%2Fb", "100%"), ("ü s", "%25"), ("a+b", "p/w:@")]
)
async def test_users_and_passwords_may_have_any_character(broker: Broker, user: str, password: str) -> None:
    url = await asyncio.to_thread(broker.add_user, "/", user, password)
    assert await opened(url) == "/"


# --- refusals


async def test_a_wrong_password_an_unknown_user_and_a_missing_virtual_host_have_the_brokers_words(
    broker: Broker,
) -> None:
    place = f"{HOST}:{broker.node.port}"
    for user in ("guest:canary-password", "nobody:canary-password"):
        said = await refusal(f"amqp://{user}@{place}/")
        assert "ACCESS_REFUSED - Login was refused" in str(said)
        assert "canary" not in str(said)
    said = await refusal(f"amqp://guest:guest@{place}/nowhere%25")
    assert "vhost nowhere% not found" in str(said)
    assert place in str(said)
    assert (said.permanent, said.kind) == (True, TroubleKind.CONNECTION)


async def test_a_user_without_rights_in_the_virtual_host_is_told_so(broker: Broker) -> None:
    url = await asyncio.to_thread(broker.add_user, broker.vhost(), "outsider")
    said = await refusal(url[: url.rindex("/") + 1])
    assert "access to vhost '/' refused for user 'outsider'" in str(said)


LIMITS = {
    "vhost": ("set_vhost_limits", "-p", "{vhost}", '{{"max-connections": 1}}'),
    "user": ("set_user_limits", "{user}", '{{"max-connections": 1}}'),
    "channels": ("set_user_limits", "{user}", '{{"max-channels": 3}}'),
}


@pytest.mark.parametrize("limit", LIMITS)
async def test_a_limit_that_is_reached_is_said_and_tried_again_without_hurry(
    build: Build, broker: Broker, limit: str
) -> None:
    """The second connection, or one channel more than the bridge needs; and when it is lifted, all is well."""
    node: RabbitNode = broker.node
    vhost = build().vhost
    user = f"limited-{limit}"
    url = await asyncio.to_thread(broker.add_user, vhost, user)
    await asyncio.to_thread(node.ctl, *[part.format(vhost=vhost, user=user) for part in LIMITS[limit]])
    rig = build(urls=(url,), max_permanent_s=1.0)
    rig.run()
    await until(lambda: "limit" in str(rig.supervisor.trouble), "the limit is said")
    assert "exist" not in str(rig.supervisor.trouble)
    await until(lambda: rig.log.of("broker.lost"), "it is logged")
    (level, _, fields), *_ = [line for line in rig.log.lines if line[1] == "broker.lost"]
    assert (level, fields["permanent"]) == ("error", True)
    assert "limit" in fields["error"]
    lift = ("clear_vhost_limits", "-p", vhost) if limit == "vhost" else ("clear_user_limits", user, "all")
    await asyncio.to_thread(node.ctl, *lift)
    await rig.connected()
    await rig.rabbit.publish(Outgoing(b"event"))
    assert (await rig.delivered(1))[0].ack()
    await until(lambda: rig.rabbit.ready_is(EVENTS, 0), "it is acked")


def test_a_connection_that_was_never_opened_leaves_no_coroutine_behind() -> None:
    """Warnings are errors, and pytest collects what nobody can raise: it fails the test in which that is."""

    async def make() -> SeverableConnection:
        return SeverableConnection(URL("amqp://127.0.0.1:1/"), "/", Addresses())

    connection = asyncio.run(make())
    connection.loop = asyncio.new_event_loop()  # open, and not running
    loop = connection.loop
    del connection
    gc.collect()
    loop.close()
