"""RabbitMQ: two connections in one generation, a consumer, a publisher, a copier, and who watches them."""
