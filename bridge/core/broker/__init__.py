"""RabbitMQ as values: the topology, copies that are published again, and refusals."""
