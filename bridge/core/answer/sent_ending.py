"""The way an ending takes, as it was decided when the ending was: an ending said again is the same message."""

from collections.abc import Sequence
from dataclasses import field

from bridge.core.answer.outbound_message import (
    CommonHeaders,
    MessageFactory,
    OutboundMessage,
    cloudevents_of,
)
from bridge.core.event.inbound_message import Headers
from bridge.core.value import value

CLOUDEVENTS = "cloudEvents:"


@value(frozen=True, slots=True)
class SentTo:
    """One exchange that an ending goes to, and under which routing key."""

    exchange: str
    routing_key: str


@value(frozen=True, slots=True)
class SentEnding:
    """All of an ending but its bytes: its type, its timestamp (Unix seconds), its headers, and where it goes.

    `places` is empty where no outbound took it. Headers of CloudEvents are not kept: they follow from the rest.
    """

    type: str
    timestamp_s: int
    headers: Headers = field(default_factory=dict)
    places: tuple[SentTo, ...] = ()

    @classmethod
    def of(cls, type_: str, messages: Sequence[OutboundMessage]) -> "SentEnding":
        """The ending among these messages: one an outbound, in a row, and little or nothing behind them."""
        sent: list[OutboundMessage] = []
        for message in reversed(messages):
            if message.to.type == type_:
                sent.insert(0, message)
            elif sent:
                break
        if not sent:
            return cls(type_, 0)
        headers = sent[0].headers
        if sent[0].to.cloudevents:
            headers = {name: value for name, value in headers.items() if not name.startswith(CLOUDEVENTS)}
        places = tuple([SentTo(message.exchange, message.routing_key) for message in sent])
        return cls(type_, sent[0].timestamp_s, headers, places)

    def again(self, factory: MessageFactory, message_id: str, body: bytes) -> list[OutboundMessage] | None:
        """The same messages, on the exchanges that are still configured; None where none of them is.

        Of several outbounds on one exchange each takes its turn, in the order of the configuration.
        """
        free = list(enumerate(factory.outbounds))
        common = CommonHeaders(str(self.headers.get("event_id", "")), self.headers)
        made: list[OutboundMessage] = []
        for place in self.places:
            outbound = next((one for one in free if one[1].exchange == place.exchange), None)
            if outbound is None:
                continue
            free.remove(outbound)
            to = factory.address(*outbound, place.routing_key, self.type)
            conversation_id = self.headers.get("conversation_id")
            known = None if conversation_id is None else str(conversation_id)
            own = cloudevents_of(self.type, message_id, known, self.timestamp_s) if to.cloudevents else {}
            made.append(OutboundMessage(to, body, message_id, self.timestamp_s, common, own))
        return made if made or not self.places else None
