"""Commands over `bridge.control`: who is obeyed, what is old, and what happens without the rights."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pika
import pytest

from bridge.core.control.command import Command, Facts, Verb
from bridge.core.control.pause import PauseScope
from bridge.edges.rabbitmq.connection import connection_to
from bridge.edges.rabbitmq.control import ControlConfig, ControlLink
from bridge.edges.rabbitmq.control_client import ask, user_of
from bridge.edges.rabbitmq.generation import BrokerTrouble, Generation
from bridge.flow.settling.refusal_log import RefusalLog
from tests.support.broker import Broker
from tests.support.logbook import Logbook
from tests.support.rabbit import CONTROL, Rabbit
from tests.support.waiting import until

PAUSE = Command(Verb.PAUSE, PauseScope.ROUTE, "payments", "why")
RIGHTS = r"^bridge\.control"


@dataclass
class Obedient:
    """A replica that does as it is told, once it is let."""

    name: str = "one"
    obeyed: list[tuple[Command, str]] = field(default_factory=list)
    let: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.let.set()

    async def obey(self, command: Command, by: str) -> Facts:
        self.obeyed.append((command, by))
        await self.let.wait()
        return {"replica": self.name}


@asynccontextmanager
async def linked(url: str, replica: Obedient, log: Logbook, **config: Any) -> AsyncIterator[ControlLink]:
    link = ControlLink(ControlConfig(user_of(url), **config), replica, log, RefusalLog(log))
    connection = await connection_to(url, "a replica")
    link.attach(connection, Generation(1))
    try:
        await until(lambda: link.trouble is None or log.of("control.unavailable"), "it hears, or cannot")
        yield link
    finally:
        link.detach()
        await connection.closed_in_order()


@pytest.fixture
def vhost(broker: Broker) -> str:
    return broker.vhost()


def publish(url: str, body: bytes, times: int = 1, **properties: Any) -> None:
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    for _ in range(times):
        sent = pika.BasicProperties(type="bridge.command", correlation_id="asked", **properties)
        channel.basic_publish(CONTROL, "", body, sent)
    connection.close()


async def test_all_replicas_hear_a_command_and_answer(broker: Broker, vhost: str, log: Logbook) -> None:
    url = broker.url(vhost)
    one, two = Obedient("one"), Obedient("two")
    async with linked(url, one, log), linked(url, two, log):
        answers = await ask(url, PAUSE, 20.0, 2)
        assert sorted(str(answer["replica"]) for answer in answers) == ["one", "two"]
        assert one.obeyed == two.obeyed == [(PAUSE, "user guest")]


async def test_a_replica_that_is_asked_by_http_tells_the_others_in_the_askers_name(
    broker: Broker, vhost: str, log: Logbook
) -> None:
    url = broker.url(vhost)
    one, two = Obedient("one"), Obedient("two")
    async with linked(url, one, log) as link, linked(url, two, log):
        assert list(await link.tell(PAUSE, "token ops")) == [{"replica": "two"}]
        assert (one.obeyed, two.obeyed) == ([], [(PAUSE, "token ops")])


async def test_only_the_bridges_own_user_and_those_of_control_users_are_obeyed(
    broker: Broker, vhost: str, log: Logbook
) -> None:
    rights = (RIGHTS, RIGHTS, RIGHTS)
    own, friend, stranger = [
        await asyncio.to_thread(broker.add_user, vhost, f"{name}-{vhost}", "secret", *rights)
        for name in ("own", "friend", "stranger")
    ]
    replica = Obedient()
    async with linked(own, replica, log, users=(user_of(friend),)):
        assert await ask(stranger, PAUSE, 2.0, None) == []
        assert replica.obeyed == []
        await until(lambda: log.of("control.ignored"), "it is ignored")
        assert replica.obeyed == []
        assert log.of("control.ignored")[0]["user"] == user_of(stranger)
        for url in (own, friend):
            assert await ask(url, PAUSE, 20.0, 1) == [{"replica": "one"}]
        assert [by for _, by in replica.obeyed] == [f"user {user_of(own)}", f"user {user_of(friend)}"]


async def test_nobody_speaks_in_anothers_name(broker: Broker, vhost: str, log: Logbook) -> None:
    """The broker does not take a message whose `user_id` is not its connection's user."""
    stranger = await asyncio.to_thread(broker.add_user, vhost, f"liar-{vhost}")
    replica = Obedient()
    async with linked(broker.url(vhost), replica, log):
        connection = pika.BlockingConnection(pika.URLParameters(stranger))
        channel = connection.channel()
        channel.confirm_delivery()
        sent = pika.BasicProperties(type="bridge.command", user_id="guest")
        with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="user_id"):
            channel.basic_publish(CONTROL, "", PAUSE.dump(), sent)
        connection.close()
        await ask(broker.url(vhost), Command(Verb.STATUS), 20.0, 1)  # whatever came before is heard by now
        assert [command for command, _ in replica.obeyed] == [Command(Verb.STATUS)]


@pytest.mark.parametrize(
    "properties", [{}, {"headers": {"user_id": "guest", "by": "token ops"}}, {"app_id": "amigo-bridge"}]
)
async def test_without_a_user_id_nobody_is_obeyed(
    broker: Broker, vhost: str, log: Logbook, properties: dict[str, Any]
) -> None:
    replica = Obedient()
    async with linked(broker.url(vhost), replica, log):
        await asyncio.to_thread(publish, broker.url(vhost), PAUSE.dump(), **properties)
        await until(lambda: log.of("control.ignored"), "it is not obeyed")
        assert log.of("control.ignored") == [{"user": None, "error": "it has no user_id"}]
        assert replica.obeyed == []


@pytest.mark.parametrize(("properties", "body"), [({}, PAUSE.dump()), ({"user_id": "guest"}, b"no JSON")])
async def test_a_flood_that_is_not_obeyed_is_a_few_lines(
    broker: Broker, vhost: str, log: Logbook, properties: dict[str, Any], body: bytes
) -> None:
    url, replica = broker.url(vhost), Obedient()
    async with linked(url, replica, log):
        await asyncio.to_thread(publish, url, body, 300, **properties)
        await until(lambda: _ready(broker, vhost) == 0, "all are taken")
        await ask(url, Command(Verb.STATUS), 20.0, 1)
        assert [command.verb for command, _ in replica.obeyed] == [Verb.STATUS]
        assert 0 < len(log.of("control.ignored")) < 20


async def test_what_has_waited_too_long_is_not_obeyed(broker: Broker, vhost: str, log: Logbook) -> None:
    """While the replica is busy with one command, the next one grows old in the queue."""
    url, replica = broker.url(vhost), Obedient()
    async with linked(url, replica, log, ttl_s=0.2):
        replica.let.clear()
        await asyncio.to_thread(publish, url, PAUSE.dump(), user_id="guest")
        await until(lambda: replica.obeyed, "it is busy")
        await asyncio.to_thread(publish, url, Command(Verb.PAUSE).dump(), user_id="guest")
        await until(lambda: _ready(broker, vhost) == 0, "the other one is gone")
        replica.let.set()
        await ask(url, Command(Verb.STATUS), 20.0, 1)
        assert [command.verb for command, _ in replica.obeyed] == [Verb.PAUSE, Verb.STATUS]
        assert replica.obeyed[0][0] == PAUSE


def _queues(broker: Broker, vhost: str) -> list[dict[str, Any]]:
    columns = ("name", "messages_ready", "exclusive", "arguments")
    rows = json.loads(broker.node.ctl("list_queues", "--vhost", vhost, "--formatter", "json", *columns))
    return [row for row in rows if row["name"].startswith(f"{CONTROL}.")]


def _ready(broker: Broker, vhost: str) -> int:
    return sum(row["messages_ready"] for row in _queues(broker, vhost))


async def test_in_production_old_is_a_minute_and_the_queue_is_the_replicas_own(
    broker: Broker, vhost: str, log: Logbook
) -> None:
    async with linked(broker.url(vhost), Obedient(), log):
        (row,) = await asyncio.to_thread(_queues, broker, vhost)
        assert row["exclusive"] is True
        assert "60000" in str(row["arguments"])
    await until(lambda: not _queues(broker, vhost), "it goes with its replica")


@pytest.mark.parametrize(
    ("body", "words"), [(b"{}", "command: none of"), (b"no JSON", "not JSON"), (b'{"command": "erase"}', "none of")]
)
async def test_what_is_no_command_is_answered_with_why(
    broker: Broker, vhost: str, log: Logbook, body: bytes, words: str
) -> None:
    async with linked(broker.url(vhost), Obedient(), log):
        await asyncio.to_thread(publish, broker.url(vhost), body, user_id="guest")
        await until(lambda: log.of("control.ignored"), "it is not obeyed")
        assert words in log.of("control.ignored")[0]["error"]


@pytest.mark.parametrize("may_declare", [True, False])
async def test_without_the_rights_it_says_so_and_ends_nothing(
    broker: Broker, vhost: str, log: Logbook, may_declare: bool
) -> None:
    Rabbit(broker, vhost)
    url = await asyncio.to_thread(broker.add_user, vhost, f"narrow-{may_declare}-{vhost}", "secret", "^$", "^$", "^$")
    generation = Generation(1)
    config = ControlConfig(user_of(url), may_declare=may_declare)
    link = ControlLink(config, Obedient(), log, RefusalLog(log))
    connection = await connection_to(url, "a replica")
    generation.watch(connection, "the connection")
    link.attach(connection, generation)
    await until(lambda: log.of("control.unavailable"), "it says so")
    assert CONTROL in str(link.trouble)
    assert generation.alive
    assert list(await link.tell(PAUSE, "token ops")) == []
    link.detach()
    await connection.closed_in_order()


async def test_where_no_replica_has_ever_been_the_command_says_so(broker: Broker, vhost: str) -> None:
    with pytest.raises(BrokerTrouble, match=r"there is no exchange bridge\.control"):
        await ask(broker.url(vhost), PAUSE, 1.0, None)
