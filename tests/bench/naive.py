"""A bridge as most people would write it: `connect_robust`, `message.process()`, `async for line`, one publish awaited
after the other.

To its advantage: it keeps a token for each user, lifts aiohttp's limit of 100 connections, and its line buffer is
large enough for every line of the benchmark (with aiohttp's default a line of 2 MiB ends the stream).
"""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from typing import Any

import aio_pika
import aiohttp

INBOUND, OUTBOUND = "bridge.events", "agent.events"
READ_BYTES = 4 * 1024 * 1024


class Agent:
    """The Amigo API with plain aiohttp."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = f"{url}/v1/acme"
        self._tokens: dict[str, str] = {}

    async def create(self, event: dict[str, Any]) -> AsyncIterator[bytes]:
        """Start a conversation; the lines of the answer."""
        request = self._session.post(
            f"{self._url}/conversation/",
            params={"response_format": "text", "current_agent_action_type": "^$"},
            headers={"Authorization": f"Bearer {await self._token(event['user_id'])}"},
            json={
                "service_id": event["service_id"],
                "initial_message": event["message"],
                "initial_message_type": "external-event",
                "tags": {"channel": "api", "channel_type": "text"},
            },
        )
        async with request as response:
            response.raise_for_status()
            async for line in response.content:
                yield line.rstrip(b"\n")

    async def join(self, event: dict[str, Any]) -> AsyncIterator[bytes]:
        """Look for the user's open conversation, and tell the event there; the lines of the answer."""
        headers = {"Authorization": f"Bearer {await self._token(event['user_id'])}"}
        filters = {"user_id": event["user_id"], "service_id": event["service_id"], "is_finished": "false"}
        async with self._session.get(f"{self._url}/conversation/", params=filters, headers=headers) as response:
            response.raise_for_status()
            conversation_id = (await response.json())["conversations"][0]["id"]
        form = aiohttp.FormData(default_to_multipart=True)
        form.add_field("initial_message_type", "external-event")
        form.add_field("recorded_message", event["message"].encode(), filename="message.txt", content_type="text/plain")
        request = self._session.post(
            f"{self._url}/conversation/{conversation_id}/interact",
            params={"request_format": "text", "response_format": "text", "current_agent_action_type": "^$"},
            headers=headers,
            data=form,
        )
        async with request as response:
            response.raise_for_status()
            async for line in response.content:
                yield line.rstrip(b"\n")

    async def _token(self, user_id: str) -> str:
        if user_id not in self._tokens:
            headers = {"x-api-key": "secret", "x-api-key-id": "key", "x-user-id": user_id}
            async with self._session.post(f"{self._url}/user/signin_with_api_key", headers=headers) as response:
                response.raise_for_status()
                self._tokens[user_id] = (await response.json())["id_token"]
        return self._tokens[user_id]


def http_session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=None), read_bufsize=READ_BYTES
    )


def properties_of(event: dict[str, Any], said: dict[str, Any], sequence: int) -> dict[str, Any]:
    """What aio-pika's Message and FastStream's publish take alike; the same as the bridge's messages carry."""
    headers = {
        "event_id": event["id"],
        "conversation_id": said.get("conversation_id"),
        "user_id": event["user_id"],
        "service_id": event["service_id"],
        "channel": "api",
        "channel_type": "text",
        "attempt": 1,
        "sequence": sequence,
    }
    return {
        "content_type": "application/json",
        "message_id": f"{event['id']}:{sequence}",
        "correlation_id": event["id"],
        "timestamp": int(time.time()),
        "headers": {name: value for name, value in headers.items() if value is not None},
    }


async def main() -> None:
    settings = json.loads(os.environ["BENCH"])
    connection = await aio_pika.connect_robust(settings["amqp_url"])
    async with connection, http_session() as session:
        agent = Agent(session, settings["api_url"])
        ask = agent.join if settings["joins"] else agent.create
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=settings["prefetch"])
        exchange = await channel.get_exchange(OUTBOUND)
        queue = await channel.get_queue(INBOUND)

        async def handle(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            async with message.process():
                event = json.loads(message.body)
                sequence = 0
                async for line in ask(event):
                    said = json.loads(line)
                    sequence += 1
                    await exchange.publish(
                        aio_pika.Message(
                            line,
                            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                            type=said["type"],
                            app_id="naive-bridge",
                            **properties_of(event, said, sequence),
                        ),
                        routing_key=f"text.api.{said['type']}",
                    )

        await queue.consume(handle)
        await asyncio.Future()


if __name__ == "__main__":
    asyncio.run(main())
