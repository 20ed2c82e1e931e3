"""amigo-bridge: one event in from RabbitMQ, one conversation with an Amigo agent, its streamed answer out."""

__version__ = "0.1.0"
