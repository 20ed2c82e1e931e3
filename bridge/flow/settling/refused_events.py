"""Events that are held only because the broker refuses what they publish: docs/semantics.md, Refused messages.

refused ▸ again in memory, for a few events and not for long ▸ given to a delay queue ▸ again ▸ … ▸ patience is out
"""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf

from bridge.core.answer.ending import ENDINGS
from bridge.core.answer.outbound_message import OutboundMessage
from bridge.core.broker.publish_refusal import PublishRefusal
from bridge.core.delivery.retry import Backoff, put_off
from bridge.core.errors import BridgeError
from bridge.flow.ports.runtime import Clock, Log, loop_time
from bridge.flow.settling.outbox import Outbox
from bridge.flow.settling.refusal_log import RefusalLog
from bridge.flow.work import Work

MAX_KEPT_BYTES = 16 * 1024 * 1024
"""The size of the lines that wait for their events to return, at the most: the endings are in the ledger."""
MAX_KEPT = 10_000
"""Events of which something is known, at the most."""
KEPT_BEYOND_S = 600.0
"""How much longer than an event may wait its lines are kept: by then it has gone another way."""


def shares_of(prefetches: Mapping[str, int]) -> Mapping[str, int]:
    """How many events of each inbound queue may be held at once over refusals: a quarter of its prefetch."""
    return {queue: prefetch // 4 for queue, prefetch in prefetches.items()}


class NotTaken(BridgeError):
    """The broker refuses a copy for now, and patience is out."""

    def __init__(self, refusal: PublishRefusal) -> None:
        super().__init__(refusal.error)
        self.refusal = refusal


class RefusalPatience:
    """How long one event may be held in memory over refusals; it begins with the first look at what is left."""

    def __init__(self, events: "RefusedEvents", queue: str, refused_for_s: float) -> None:
        self._events = events
        self._queue = queue
        self._refused_for_s = refused_for_s
        self._has_place = False
        self._since_s: float | None = None

    @property
    def since_s(self) -> float:
        """Since when something is refused (event loop time)."""
        return loop_time() if self._since_s is None else self._since_s

    def left_s(self) -> float:
        """Seconds that are left; none where too many are held already."""
        if self._since_s is None:
            self._since_s = loop_time() - self._refused_for_s
            self._has_place = self._refused_for_s < self._events.hold_s and self._events.takes_place(self._queue)
        return max(0.0, self._since_s + self._events.hold_s - loop_time()) if self._has_place else 0.0

    def close(self) -> None:
        """The event is held no more over this."""
        if self._has_place:
            self._has_place = False
            self._events.gives_place_back(self._queue)


class EndlessPatience(RefusalPatience):
    """The patience with what can wait nowhere else."""

    def left_s(self) -> float:
        super().left_s()
        return inf


@dataclass(frozen=True, slots=True)
class KeptMessages:
    """Refused lines of an event, kept until then (event loop time), of so many bytes, for its return.

    `lacking` are the outbounds that do not have its ending yet; None where it has none.
    """

    until_s: float
    size: int
    messages: Sequence[OutboundMessage]
    lacking: frozenset[int] | None


class RefusedEvents:
    """Says of each event whether it may be held while it is tried again, and keeps what it leaves behind otherwise."""

    def __init__(self, backoff: Backoff, shares: Mapping[str, int], hold_s: float, clock: Clock, log: Log) -> None:
        """`shares`: how many events of each inbound queue may be held over refusals at once, each for `hold_s`."""
        self.backoff = backoff
        self.hold_s = hold_s
        self._shares = shares
        self._clock = clock
        self._log = RefusalLog(log)
        self._held: Counter[str] = Counter()
        self._kept: OrderedDict[str, KeptMessages] = OrderedDict()
        self._kept_bytes = 0

    def takes_place(self, queue: str) -> bool:
        """One more event of the queue is held. False where there is no room for it."""
        if self._held[queue] >= self._shares.get(queue, 0):
            return False
        self._held[queue] += 1
        return True

    def gives_place_back(self, queue: str) -> None:
        self._held[queue] -= 1

    def patience(self, queue: str, since_s: float | None, *, parkable: bool = True) -> RefusalPatience:
        """The patience with an event of the queue, of which something is refused since then (Unix seconds), if at all.

        `parkable`: it can wait in a delay queue.
        """
        return (RefusalPatience if parkable else EndlessPatience)(self, queue, self._refused_for_s(since_s))

    def spent(self) -> RefusalPatience:
        """The patience with what is tried once."""
        return RefusalPatience(self, "", inf)

    def resume(self, work: Work) -> None:
        """Go on with what an earlier try of the event left, before anything else of it is published."""
        self.go_on(work, work.outbox)
        if self._kept and (kept := self._taken_back(work.event.id)) is not None:
            work.lacking = kept.lacking
            work.outbox.put(kept.messages)

    def go_on(self, work: Work, outbox: Outbox) -> None:
        """Reckon with what has been refused of the event so far."""
        if work.refused_since_s is not None:
            outbox.refused_since(loop_time() - self._refused_for_s(work.refused_since_s))

    async def confirmed(self, work: Work, outbox: Outbox, *, ended: bool = False) -> float | None:
        """Return None when everything is confirmed; else for how many seconds the event had better wait elsewhere.

        `ended`: its ending has been put. Raises Undeliverable where patience is out altogether.
        """
        await outbox.resolved()
        if outbox.waiting and not await self._confirmed_soon(work, outbox):
            return self._put_off(work, outbox, ended=ended)
        work.refused_since_s = work.lacking = None
        return None

    def put_off(self, since_s: float) -> tuple[float, float]:
        """How long that waits elsewhere which is refused since then (event loop time), and that in Unix seconds."""
        refused_for_s = loop_time() - since_s
        return put_off(refused_for_s, self.backoff.policy), self._clock() - refused_for_s

    async def _confirmed_soon(self, work: Work, outbox: Outbox) -> bool:
        """True where everything is confirmed while the event may be held."""
        patience = self.patience(work.incoming.queue, work.refused_since_s)
        work.is_refused = True
        try:
            left_s = patience.left_s()
            if left_s:
                async with asyncio.timeout(left_s):
                    await outbox.all_confirmed()
        except TimeoutError:
            await outbox.resolved()
        finally:
            work.is_refused = False
            patience.close()
        return not outbox.waiting

    def _put_off(self, work: Work, outbox: Outbox, *, ended: bool) -> float:
        left = outbox.leave()
        wait_s, since_s = self.put_off(left.since_s)
        work.refused_since_s = work.refused_since_s or since_s
        if outbox is work.outbox:
            endings = [each for each in left.messages if _is_ending(work, each)]
            lacking = frozenset(each.to.outbound for each in endings) if ended else None
            self._keep(work.event.id, [each for each in left.messages if each not in endings], lacking)
        publish_for_s = self.backoff.policy.publish_for_s
        return max(self.backoff.policy.first_s, min(wait_s, publish_for_s - self._refused_for_s(work.refused_since_s)))

    def _keep(self, event_id: str, messages: Sequence[OutboundMessage], lacking: frozenset[int] | None) -> None:
        """Keep lines for the event's return. Only in memory: what a process leaves behind, its death would lose too."""
        now_s = loop_time()
        while self._kept and next(iter(self._kept.values())).until_s < now_s:
            self._taken_back(next(iter(self._kept)))
        size = sum(len(message.body) for message in messages)
        if self._kept_bytes + size > MAX_KEPT_BYTES:
            self._log.warning("messages.dropped", event_id=event_id, messages=len(messages), bytes=size)
            messages, size = (), 0
        self._kept_bytes += size
        until_s = now_s + self.backoff.policy.publish_for_s + KEPT_BEYOND_S
        self._kept[event_id] = KeptMessages(until_s, size, messages, lacking)
        if len(self._kept) > MAX_KEPT:
            self._taken_back(next(iter(self._kept)))

    def _taken_back(self, event_id: str) -> "KeptMessages | None":
        kept = self._kept.pop(event_id, None)
        self._kept_bytes -= 0 if kept is None else kept.size
        return kept

    def _refused_for_s(self, since_s: float | None) -> float:
        return 0.0 if since_s is None else max(0.0, self._clock() - since_s)


def _is_ending(work: Work, message: OutboundMessage) -> bool:
    """True for the event's ending, which is put into the outbox anew by whoever goes on with the event."""
    return message.type in ENDINGS and message.message_id.startswith(f"{work.event.id}:{message.type}")
