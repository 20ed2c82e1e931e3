"""The publishers that share the publishing connection of a generation."""

from contextlib import AsyncExitStack
from dataclasses import dataclass

import aio_pika

from bridge.edges.rabbitmq.generation import BrokerPublisher, Generation
from bridge.edges.rabbitmq.publishing.confirmed_publisher import BrokerConfirmedPublisher
from bridge.edges.rabbitmq.publishing.republisher import BrokerRepublisher


@dataclass(frozen=True, slots=True)
class Publishers:
    """`outbound` publishes answers, `copies` dead letters and delayed copies, `webhooks` what came by HTTP."""

    outbound: BrokerPublisher
    copies: BrokerRepublisher
    webhooks: BrokerConfirmedPublisher | None = None

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
