"""A subscriber with pika: prints what the agents say on every text channel, as they say it. AMQP_URL names the broker.

Three rules: drop what has a `message_id` seen before; drop the pieces of a voided stream; the ending is the truth.
"""

import json
import os

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.spec import Basic, BasicProperties

seen: set[str] = set()  # in earnest: a table with a time to live, written in the same transaction as the effect
pieces: dict[tuple[str, str], list[str]] = {}  # what was shown so far, by event and stream


def on_message(channel: BlockingChannel, method: Basic.Deliver, properties: BasicProperties, body: bytes) -> None:
    headers, event = properties.headers, json.loads(body)
    if properties.message_id not in seen:
        seen.add(properties.message_id)
        key = (headers["event_id"], headers.get("stream"))
        if properties.type == "new-message":
            pieces.setdefault(key, []).append(event["message"])
            print(f"{key[0]} … {event['message']}", flush=True)
        elif properties.type == "bridge-voided":
            before, void = event.get("before"), event["stream"]
            for of_event, stream in list(pieces):
                if of_event == key[0] and (stream == void or (void is None and stream != before)):
                    del pieces[of_event, stream]
            print(f"{key[0]} ✗ forget what was said so far: {event['reason']}", flush=True)
        elif properties.type == "interaction-complete":
            print(f"{key[0]} ✓ {event['full_message']}", flush=True)
        elif properties.type == "bridge-failed":
            print(f"{key[0]} ✗ {event['reason']}: {event['error']}", flush=True)
    channel.basic_ack(method.delivery_tag)


connection = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"]))
channel = connection.channel()
channel.queue_declare("sms-gateway", durable=True, arguments={"x-queue-type": "quorum"})
channel.queue_bind("sms-gateway", "agent.events", "text.#")  # {channel_type}.{channel}.{type}
channel.basic_qos(prefetch_count=100)
channel.basic_consume("sms-gateway", on_message)
channel.start_consuming()
