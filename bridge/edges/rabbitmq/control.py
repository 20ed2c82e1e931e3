"""Commands from a person over the exchange `bridge.control`, which all replicas hear, and their answers.

Obeyed is only whom the broker knows: the property `user_id`, which it validates, must be the bridge's own user or one
of `control.users`. The queue is this replica's alone and forgets what is older than a minute. Whatever goes wrong
here ends nothing: without the exchange, or the rights, this replica is told by HTTP alone, and says so.
"""

import asyncio
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from uuid import uuid4

import aio_pika
import orjson
from aiormq.abc import AbstractChannel, DeliveredMessage
from pamqp.commands import Basic
from pamqp.common import FieldValue

from bridge.core.broker.topology import CONTROL_EXCHANGE, CONTROL_TTL_S
from bridge.core.control.access import may_command
from bridge.core.control.command import Command, CommandUnreadable, Facts, read_command
from bridge.core.errors import bounded
from bridge.edges.rabbitmq.control_messages import ANSWER, COMMAND, Heard, heard, properties
from bridge.edges.rabbitmq.generation import BrokerTrouble, Generation, limited
from bridge.flow.ports.control import Replica
from bridge.flow.ports.runtime import Log, SparseLog

ANSWERS_S = 1.0
AGAIN_S = 60.0
MAX_WAITING = 1_000


@dataclass(frozen=True, slots=True)
class ControlConfig:
    """This replica's user at the broker, further users that are obeyed, and whether the exchange may be declared."""

    own_user: str
    users: Collection[str] = ()
    may_declare: bool = True
    ttl_s: float = CONTROL_TTL_S


class ControlLink:
    """Hears commands while there is a connection. `trouble` says why it does not; None while it does."""

    def __init__(self, config: ControlConfig, replica: Replica, log: Log, refusal_log: SparseLog) -> None:
        self.trouble: str | None = "there is no connection to the broker"
        self._config = config
        self._to_declare = config.may_declare
        self._replica = replica
        self._log = log
        self._refusal_log = refusal_log
        self._me = uuid4().hex[:12]
        self._channel: AbstractChannel | None = None
        self._task: asyncio.Task[None] | None = None
        self._asked: dict[str, list[Facts]] = {}

    def attach(self, connection: aio_pika.abc.AbstractConnection, generation: Generation) -> None:
        """Hear commands over this connection."""
        self._task = asyncio.create_task(self._live(connection, generation), name="control")

    def detach(self) -> None:
        """The generation has ended."""
        if self._task is not None:
            self._task.cancel()
        self._channel, self.trouble = None, "there is no connection to the broker"

    async def tell(self, command: Command, by: str) -> Sequence[Facts]:
        """Tell the other replicas; see the port."""
        asked = uuid4().hex
        answers = self._asked[asked] = []
        try:
            sent = properties(COMMAND, asked, self._config.own_user, {"replica": self._me, "by": by})
            if await self._published(command.dump(), sent):
                await asyncio.sleep(ANSWERS_S)
        finally:
            del self._asked[asked]
        return answers

    async def _live(self, connection: aio_pika.abc.AbstractConnection, generation: Generation) -> None:
        while generation.alive:
            try:
                await self._serve(connection)
            except BrokerTrouble as trouble:
                if self.trouble != str(trouble):
                    self._log.warning("control.unavailable", error=str(trouble), again_in_s=AGAIN_S)
                self._channel, self.trouble = None, str(trouble)
            await asyncio.sleep(AGAIN_S)

    async def _serve(self, connection: aio_pika.abc.AbstractConnection) -> None:
        """Hear commands on a channel of its own until that closes. Raises BrokerTrouble."""
        channel = connection.channel(publisher_confirms=False)
        await limited(channel.initialize(), "opening the channel for commands")
        over = asyncio.Event()
        channel.close_callbacks.add(lambda *_: over.set())
        underlay = await channel.get_underlay_channel()
        declaring = underlay.exchange_declare(
            CONTROL_EXCHANGE, exchange_type="fanout", durable=True, passive=not self._to_declare
        )
        await limited(declaring, f"{'declaring' if self._to_declare else 'looking for'} {CONTROL_EXCHANGE}")
        self._to_declare = False
        queue = await listening(underlay, f"{CONTROL_EXCHANGE}.{self._me}", self._config.ttl_s)
        await limited(underlay.basic_qos(prefetch_count=1), f"setting the prefetch of {queue}")

        async def take(message: DeliveredMessage) -> None:
            try:
                await self._heard(heard(message), underlay, queue)
            except Exception:  # aiormq would log it where nobody looks
                self._log.critical("control.unhandled", exc_info=True)
            with suppress(BrokerTrouble):
                await limited(underlay.basic_ack(message.delivery_tag or 0), "acknowledging a command")

        await limited(underlay.basic_consume(queue, take), f"consuming {queue}")
        self._channel, self.trouble = underlay, None
        await over.wait()
        raise BrokerTrouble("the broker has closed the channel for commands")

    async def _heard(self, message: Heard, channel: AbstractChannel, queue: str) -> None:
        answers = self._asked.get(message.asked) if message.type == ANSWER else None
        if answers is not None and may_command(message.user_id, self._config.own_user, self._config.users):
            answers.append(message.facts)
        if message.type == COMMAND and message.replica != self._me:
            await self._obeyed(message, channel, queue)

    async def _obeyed(self, message: Heard, channel: AbstractChannel, queue: str) -> None:
        """Obey a command, if it comes from somebody who may give it."""
        user_id = message.user_id
        if not may_command(user_id, self._config.own_user, self._config.users):
            error = "its user is not in control.users" if user_id else "it has no user_id"
            self._refusal_log.warning("control.ignored", user=user_id, error=error)
            return
        by = message.by if message.replica and user_id == self._config.own_user else f"user {user_id}"
        try:
            command = read_command(message.body)
        except CommandUnreadable as error:
            answer: Facts = {"error": bounded(str(error))}
            self._refusal_log.warning("control.ignored", user=user_id, error=answer["error"])
        else:
            # A process that was stopped for long finds old commands in its socket; the broker has gone by then.
            with suppress(BrokerTrouble):
                await limited(channel.queue_declare(queue, passive=True), "looking whether the broker is still there")
                answer = await self._replica.obey(command, by)
                await self._published(orjson.dumps(answer), properties(ANSWER, message.asked, self._config.own_user))
            return
        await self._published(orjson.dumps(answer), properties(ANSWER, message.asked, self._config.own_user))

    async def _published(self, body: bytes, sent: Basic.Properties) -> bool:
        """True where everybody is told, as far as the broker was there to do it."""
        channel = self._channel
        if channel is None:
            return False
        try:
            saying = channel.basic_publish(body, exchange=CONTROL_EXCHANGE, routing_key="", properties=sent)
            await limited(saying, f"publishing to {CONTROL_EXCHANGE}")
        except BrokerTrouble as trouble:
            self._refusal_log.warning("control.unsaid", error=str(trouble))
            return False
        return True


async def listening(channel: AbstractChannel, queue: str, ttl_s: float) -> str:
    """An exclusive queue of that name that hears the exchange, and forgets what is old. Raises BrokerTrouble."""
    arguments: dict[str, FieldValue] = {"x-message-ttl": round(ttl_s * 1000), "x-max-length": MAX_WAITING}
    declaring = channel.queue_declare(queue, exclusive=True, auto_delete=True, arguments=arguments)
    await limited(declaring, f"declaring {queue}")
    await limited(channel.queue_bind(queue, CONTROL_EXCHANGE), f"binding {queue} to {CONTROL_EXCHANGE}")
    return queue
