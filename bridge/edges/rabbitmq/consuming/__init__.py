"""Consuming: the consumer of the inbound queues, deliveries and their acks."""
