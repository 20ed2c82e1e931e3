"""The publishers that share the publishing connection of a generation."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Protocol

import aio_pika

from bridge.edges.rabbitmq.generation import BrokerPublisher, Generation
from bridge.edges.rabbitmq.publishing.confirmed_publisher import BrokerConfirmedPublisher
from bridge.edges.rabbitmq.publishing.republisher import BrokerRepublisher


class ConnectionUser(Protocol):
    """Something else that uses the publishing connection, on channels of its own."""

    def attach(self, connection: aio_pika.abc.AbstractConnection, generation: Generation) -> None:
        """Use this connection from now on."""

    def detach(self) -> None:
        """The generation has ended."""


@dataclass(frozen=True, slots=True)
class Publishers:
    """`outbound` publishes answers, `copies` dead letters and delayed copies, `webhooks` what came by HTTP.

    `beside` use the connection too, and never end the generation.
    """

    outbound: BrokerPublisher
    copies: BrokerRepublisher
    webhooks: BrokerConfirmedPublisher | None = None
    beside: Sequence[ConnectionUser] = ()

    async def attach(
        self, stack: AsyncExitStack, connection: aio_pika.abc.AbstractConnection, generation: Generation
    ) -> None:
        """Publish on this connection until the stack is closed. Raises BrokerTrouble."""
        stack.callback(self.outbound.detach)
        await self.outbound.attach(connection, generation)
        stack.callback(self.copies.detach)
        await self.copies.attach(connection, generation)
        if self.webhooks is not None:
            stack.callback(self.webhooks.detach)
            await self.webhooks.attach(connection, generation)
        for user in self.beside:
            stack.callback(user.detach)
            user.attach(connection, generation)
