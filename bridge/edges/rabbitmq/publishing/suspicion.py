"""Routing keys that the broker has closed a channel over lately (403): what goes there is published beside the others.

no suspicion    everything flies together
suspected       one message after the other on a channel of its own, so that the shared one stays open; for a second
                after a refusal, others of the key are refused unsent
taken           the suspicion ends

A key may be new with every conversation, and is then refused only once. So messages of the same exchange, type and
channel as a refused one go beside the others too, until many of them in a row were taken.

What an event publishes after a message of its own that is on its way there takes the same way, until that is told of:
the order within an event holds. Another event's messages do not wait for it.
"""

from collections import Counter, OrderedDict
from dataclasses import dataclass

from bridge.core.answer.outbound_message import OutboundMessage
from bridge.core.broker.publish_refusal import PublishRefusal, RefusalKind
from bridge.flow.ports.broker import Receipt

MAX_SUSPECTS = 1_000
"""Keys under suspicion, at the most: beyond that the one suspected longest ago is forgotten."""
REFUSED_FOR_S = 1.0
MANY = 100
"""Taken in a row, messages like a refused one are suspected no more."""
OF_THE_KEY = frozenset({RefusalKind.FORBIDDEN})
"""Refusals that would meet any message of the same exchange and routing key just then, and that pass."""

Place = tuple[str, str]
Likeness = tuple[str, str, object]


@dataclass(frozen=True, slots=True)
class LastRefusal:
    """The last refusal of a key, and until when (event loop time) it counts for others of the key."""

    refusal: PublishRefusal
    until_s: float


class Suspicion:
    """Keeps the suspects, and what is on its way beside the others. `active` is False where there is neither."""

    def __init__(self) -> None:
        self.active = False
        self._suspects: OrderedDict[Place, LastRefusal] = OrderedDict()
        self._alike: OrderedDict[Likeness, int] = OrderedDict()
        """Likenesses that are suspected, each with how many of it in a row were taken."""
        self._aside: dict[OutboundMessage, Receipt] = {}
        self._receipts: Counter[int] = Counter()

    def refusal_of(self, message: OutboundMessage, now_s: float) -> PublishRefusal | None:
        """Why this message would be refused just now, where that is known."""
        last = self._suspects.get(_place(message))
        return None if last is None or last.until_s <= now_s else last.refusal

    def is_aside(self, message: OutboundMessage, receipt: Receipt) -> bool:
        """True where this message goes beside the others."""
        suspected = _place(message) in self._suspects or _likeness(message) in self._alike
        return suspected or id(receipt) in self._receipts

    def goes_aside(self, message: OutboundMessage, receipt: Receipt) -> None:
        """The message has been handed over, to go beside the others."""
        self._aside[message] = receipt
        self._receipts[id(receipt)] += 1
        self.active = True

    def settled(self, message: OutboundMessage) -> None:
        """The fate of a message is known, or nobody wants to know it."""
        receipt = self._aside.pop(message, None)
        if receipt is None:
            return
        self._receipts[id(receipt)] -= 1
        if not self._receipts[id(receipt)]:
            del self._receipts[id(receipt)]
        self.active = bool(self._suspects or self._alike or self._aside)

    def refused(self, message: OutboundMessage, refusal: PublishRefusal, now_s: float) -> bool:
        """The broker has closed a channel over it, or refused it otherwise. True where that meets the whole key."""
        if refusal.kind not in OF_THE_KEY:
            self.taken(message)
            return False
        place = _place(message)
        self._suspects[place] = LastRefusal(refusal, now_s + REFUSED_FOR_S)
        self._suspects.move_to_end(place)
        if len(self._suspects) > MAX_SUSPECTS:
            self._suspects.popitem(last=False)
        self._alike[_likeness(message)] = 0
        self._alike.move_to_end(_likeness(message))
        if len(self._alike) > MAX_SUSPECTS:
            self._alike.popitem(last=False)
        self.active = True
        return True

    def taken(self, message: OutboundMessage) -> None:
        """The broker did not refuse its key: the suspicion of that ends, and at last that of those alike."""
        self._suspects.pop(_place(message), None)
        likeness = _likeness(message)
        times = self._alike.get(likeness)
        if times is not None:
            self._alike[likeness] = times + 1
            if times + 1 >= MANY:
                del self._alike[likeness]
        self.active = bool(self._suspects or self._alike or self._aside)


def _place(message: OutboundMessage) -> Place:
    return message.exchange, message.routing_key


def _likeness(message: OutboundMessage) -> Likeness:
    return message.exchange, message.type, message.common_headers.headers.get("channel")
