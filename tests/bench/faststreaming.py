"""The naive bridge with FastStream instead of bare aio-pika; the same HTTP."""

import asyncio
import json
import logging
import os
from typing import Any

from faststream import FastStream
from faststream.rabbit import Channel, ExchangeType, RabbitBroker, RabbitExchange, RabbitQueue

from tests.bench.naive import INBOUND, OUTBOUND, Agent, http_session, properties_of


async def main() -> None:
    settings = json.loads(os.environ["BENCH"])
    broker = RabbitBroker(
        settings["amqp_url"],
        app_id="naive-bridge",
        default_channel=Channel(prefetch_count=settings["prefetch"]),
    )
    outbound = RabbitExchange(OUTBOUND, type=ExchangeType.TOPIC, durable=True, declare=False)
    async with http_session() as session:
        agent = Agent(session, settings["api_url"])

        @broker.subscriber(RabbitQueue(INBOUND, durable=True, declare=False))
        async def handle(event: dict[str, Any]) -> None:
            sequence = 0
            async for line in agent.create(event):
                said = json.loads(line)
                sequence += 1
                await broker.publish(
                    line,
                    exchange=outbound,
                    routing_key=f"text.api.{said['type']}",
                    persist=True,
                    message_type=said["type"],
                    **properties_of(event, said, sequence),
                )

        await FastStream(broker).run(log_level=logging.WARNING)


if __name__ == "__main__":
    asyncio.run(main())
