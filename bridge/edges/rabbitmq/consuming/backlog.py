"""The backlog of the inbounds: messages that are ready and in nobody's hands."""

from bridge.edges.rabbitmq.consuming.consumer import Consumer
from bridge.edges.rabbitmq.generation import BrokerTrouble, limited


class InboundBacklog:
    """The port, over the channels that consume: what is consumed can be asked after."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer

    async def short(self) -> bool:
        """See the port."""
        at_work = self._consumer.queue_consumers
        if not self._consumer.consuming or not at_work:
            return False
        for each in at_work:
            try:
                answer = await limited(
                    each.channel.queue_declare(each.inbound.queue, passive=True), f"looking at {each.inbound.queue}"
                )
            except BrokerTrouble:
                return False
            if (answer.message_count or 0) >= each.inbound.prefetch:
                return False
        return True
