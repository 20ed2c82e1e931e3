"""Routing keys that the broker has closed a channel over lately (403): what goes there is published beside the others.

no suspicion    everything flies together
suspected       one message after the other on a channel of its own, so that the shared one stays open; for a second
                after a refusal, others of the key are refused unsent
taken           the suspicion ends

A key may be new with every conversation, and is then refused only once. So messages of the same exchange, type and
channel as a refused one go beside the others too, until many of them in a row were taken. Each refusal costs a channel:
once some of those alike were refused within a second, keys that were refused before wait for the next one, unsent; and
so do new ones while many wait already. A key that is new is tried otherwise, whatever became of others.

What an event publishes after a message of its own that is on its way there takes the same way, until that is told of:
the order within an event holds. Another event's messages do not wait for it.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from bridge.core.answer.outbound_message import OutboundMessage
from bridge.core.broker.publish_refusal import PublishRefusal, RefusalKind
from bridge.flow.ports.broker import Receipt

MAX_SUSPECTS = 5_000
"""Keys under suspicion, at the most: beyond that the one suspected longest ago is forgotten."""
REFUSED_FOR_S = 1.0
MANY = 100
"""Taken in a row, messages like a refused one are suspected no more."""
REFUSALS_A_SECOND = 10
"""Refusals among those alike after which keys that were refused before are not tried within the same second."""
MAX_ASIDE = 100
"""Messages that wait beside the others, from which on those like a refused one are refused unsent as well."""
OF_THE_KEY = frozenset({RefusalKind.FORBIDDEN})
"""Refusals that would meet any message of the same exchange and routing key just then, and that pass."""

Place = tuple[str, str]
Likeness = tuple[str, str, object]


@dataclass(frozen=True, slots=True)
class LastRefusal:
    """The last refusal of a key, and until when (event loop time) it counts for others of the key."""

    refusal: PublishRefusal
    until_s: float


@dataclass(slots=True)
class AlikeKeys:
    """The fates of messages of one exchange, type and channel since one of them was refused.

    `taken` in a row, `refused` in the second that ends `until_s` (event loop time), the last time as `refusal` says.
    """

    refusal: PublishRefusal
    until_s: float
    refused: int = 0
    taken: int = 0

    def add(self, refusal: PublishRefusal, now_s: float) -> None:
        """One more was refused."""
        if self.until_s <= now_s:
            self.refused, self.until_s = 0, now_s + REFUSED_FOR_S
        self.refusal, self.refused, self.taken = refusal, self.refused + 1, 0


class Suspicion:
    """Keeps the suspects, and what is on its way beside the others. `active` is False where there is neither."""

    def __init__(self) -> None:
        self.active = False
        self._suspects: OrderedDict[Place, LastRefusal] = OrderedDict()
        self._alike: OrderedDict[Likeness, AlikeKeys] = OrderedDict()
        self._aside: dict[OutboundMessage, Receipt] = {}
        self._receipts: Counter[int] = Counter()

    def refusal_of(self, message: OutboundMessage, now_s: float, aside: int = 0) -> PublishRefusal | None:
        """Why this message is refused unsent just now, while so many wait beside the others; None where it is not."""
        last = self._suspects.get(_place(message))
        if last is not None and last.until_s > now_s:
            return last.refusal
        alike = self._alike.get(_likeness(message))
        if alike is None or alike.until_s <= now_s:
            return None
        too_many = aside >= MAX_ASIDE or (last is not None and alike.refused >= REFUSALS_A_SECOND)
        return alike.refusal if too_many else None

    def falling(self, message: OutboundMessage, now_s: float) -> Callable[[OutboundMessage], bool]:
        """Tells of others that wait whether they are refused with this one, which has just been."""
        place, likeness = _place(message), _likeness(message)
        alike = self._alike.get(likeness)
        others = alike is not None and alike.until_s > now_s and alike.refused >= REFUSALS_A_SECOND

        def falls(other: OutboundMessage) -> bool:
            known = _place(other)
            return known == place or (others and known in self._suspects and _likeness(other) == likeness)

        return falls

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
        likeness = _likeness(message)
        self._alike.setdefault(likeness, AlikeKeys(refusal, now_s + REFUSED_FOR_S)).add(refusal, now_s)
        self._alike.move_to_end(likeness)
        if len(self._alike) > MAX_SUSPECTS:
            self._alike.popitem(last=False)
        self.active = True
        return True

    def taken(self, message: OutboundMessage) -> None:
        """The broker did not refuse its key: the suspicion of that ends, and at last that of those alike."""
        self._suspects.pop(_place(message), None)
        likeness = _likeness(message)
        alike = self._alike.get(likeness)
        if alike is not None:
            alike.taken += 1
            if alike.taken >= MANY:
                del self._alike[likeness]
        self.active = bool(self._suspects or self._alike or self._aside)


def _place(message: OutboundMessage) -> Place:
    return message.exchange, message.routing_key


def _likeness(message: OutboundMessage) -> Likeness:
    return message.exchange, message.type, message.common_headers.headers.get("channel")
