"""RabbitMQ: two connections in one generation, a consumer, a publisher, a republisher, and who watches them."""
