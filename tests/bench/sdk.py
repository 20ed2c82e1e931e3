"""The naive bridge with the official `amigo-sdk` instead of bare HTTP.

To its advantage it signs in once and speaks for one user, since a client of the SDK knows one user only; httpx's limit
of 100 connections is lifted. It publishes the SDK's events as JSON again: the SDK does not keep the line.
"""

import asyncio
import json
import os

import aio_pika
import httpx
from amigo_sdk import AsyncAmigoClient
from amigo_sdk.generated import model

from tests.bench.naive import INBOUND, OUTBOUND, properties_of

QUERY = model.CreateConversationParametersQuery(response_format=model.Format.text)


async def main() -> None:
    settings = json.loads(os.environ["BENCH"])
    connection = await aio_pika.connect_robust(settings["amqp_url"])
    sdk = AsyncAmigoClient(
        api_key="secret",
        api_key_id="key",
        user_id="bench-user",
        organization_id="acme",
        base_url=settings["api_url"],
        limits=httpx.Limits(max_connections=None),
    )
    async with connection, sdk:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=settings["prefetch"])
        exchange = await channel.get_exchange(OUTBOUND)
        queue = await channel.get_queue(INBOUND)

        async def handle(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            async with message.process():
                event = json.loads(message.body)
                body = model.ConversationCreateConversationRequest(
                    service_id=event["service_id"],
                    service_version_set_name="release",
                    initial_message=event["message"],
                    initial_message_type="external-event",
                )
                sequence = 0
                async for response in await sdk.conversations.create(body, QUERY):
                    said = response.root
                    sequence += 1
                    await exchange.publish(
                        aio_pika.Message(
                            said.model_dump_json().encode(),
                            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                            type=said.type,
                            app_id="naive-bridge",
                            **properties_of(event, {}, sequence),
                        ),
                        routing_key=f"text.api.{said.type}",
                    )

        await queue.consume(handle)
        await asyncio.Future()


if __name__ == "__main__":
    asyncio.run(main())
