"""A backend that publishes one event with pika. Give the broker's URL in AMQP_URL."""

import json
import os

import pika

connection = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"]))
channel = connection.channel()
channel.confirm_delivery()  # basic_publish returns when the broker has the event, or raises
channel.basic_publish(
    exchange="bridge.events",
    routing_key="payments.failed",
    body=json.dumps(
        {
            "id": "payment-4711-failed",  # the idempotency key: the same id is the same event
            "message": "The payment of 25 EUR for invoice 4711 failed: card expired.",
            "user_id": "customer-42",
            "service_id": "5f0000000000000000000001",
            "channel": "sms",
            "tags": {"source": "payments"},
        }
    ),
    properties=pika.BasicProperties(content_type="application/json", delivery_mode=2),
    mandatory=True,
)
connection.close()
