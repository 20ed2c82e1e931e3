"""A person's commands to all replicas over `bridge.control`: one connection, a question, and the answers that come."""

import asyncio
from uuid import uuid4

from aiormq.abc import DeliveredMessage
from yarl import URL

from bridge.core.broker.topology import CONTROL_EXCHANGE, CONTROL_TTL_S
from bridge.core.control.command import Command, Facts
from bridge.edges.rabbitmq.cli_client import connected
from bridge.edges.rabbitmq.control import listening
from bridge.edges.rabbitmq.control_messages import ANSWER, COMMAND, heard, properties
from bridge.edges.rabbitmq.generation import BrokerTrouble, TroubleKind, limited

QUIET_S = 1.0
"""After an answer, how long the next one is waited for where nobody says how many there are."""


def user_of(url: str) -> str:
    """The user in a broker's URL, as which the broker knows the connection."""
    return URL(url).user or "guest"


async def ask(url: str, command: Command, wait_s: float, replicas: int | None) -> list[Facts]:
    """Tell all replicas, and give their answers: of so many replicas, or of all that answer within `wait_s`.

    Raises BrokerTrouble.
    """
    asked, answers, arrived = uuid4().hex, list[Facts](), asyncio.Event()

    async def take(delivered: DeliveredMessage) -> None:
        message = heard(delivered)
        if message.type == ANSWER and message.asked == asked and message.user_id:
            answers.append(message.facts)
            arrived.set()

    async with connected(url) as connection:
        channel = connection.channel(publisher_confirms=True)
        await limited(channel.initialize(), "opening a channel")
        underlay = await channel.get_underlay_channel()
        try:
            queue = await listening(underlay, f"{CONTROL_EXCHANGE}.cli.{asked[:12]}", CONTROL_TTL_S)
        except BrokerTrouble as trouble:
            if trouble.kind is not TroubleKind.NOT_FOUND:
                raise
            raise BrokerTrouble(f"there is no exchange {CONTROL_EXCHANGE}: no replica is there to hear it") from None
        await limited(underlay.basic_consume(queue, take, no_ack=True), f"consuming {queue}")
        sent = properties(COMMAND, asked, user_of(url))
        saying = underlay.basic_publish(command.dump(), exchange=CONTROL_EXCHANGE, routing_key="", properties=sent)
        await limited(saying, f"publishing to {CONTROL_EXCHANGE}")
        until_s = asyncio.get_running_loop().time() + wait_s
        while replicas is None or len(answers) < replicas:
            arrived.clear()
            left_s = until_s - asyncio.get_running_loop().time()
            try:
                async with asyncio.timeout(min(left_s, QUIET_S) if answers and replicas is None else left_s):
                    await arrived.wait()
            except TimeoutError:
                break
    return answers
