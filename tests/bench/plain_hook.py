"""A webhook receiver as most people would write it: aiohttp, aio-pika, one publish awaited to its confirm a request.

To its advantage: uvloop, no access log, and the exchange looked up once.
"""

import asyncio
import hashlib
import hmac
import json
import os

import aio_pika
import uvloop
from aiohttp import web

SECRET = b"bench-secret"


async def main() -> None:
    settings = json.loads(os.environ["BENCH"])
    connection = await aio_pika.connect_robust(settings["amqp_url"])
    channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
    exchange = await channel.get_exchange("bridge.events")

    async def handle(request: web.Request) -> web.Response:
        body = await request.read()
        expected = "sha256=" + hmac.new(SECRET, body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(expected, request.headers.get("X-Hub-Signature-256", "")):
            return web.json_response({"error": "signature"}, status=401)
        json.loads(body)
        event_id = f"bench:{request.headers['X-GitHub-Delivery']}"
        message = aio_pika.Message(
            body,
            content_type="application/json",
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            message_id=event_id,
            headers={"source": "bench", "x-github-event": request.headers["X-GitHub-Event"]},
        )
        await exchange.publish(message, routing_key="webhook.bench", mandatory=True)
        return web.json_response({"id": event_id}, status=202)

    app = web.Application()
    app.router.add_post("/webhooks/{name}", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", settings["http_port"]).start()
    await asyncio.Future()


if __name__ == "__main__":
    uvloop.run(main())
