"""Calls about lanes on their way to the database, and which of them nobody needs.

    a turn that ends ──▸ nobody has been waiting: nothing is written, the event's own end says it
                     └─▸ somebody has: `LEAVE`, at once and before whatever is asked next

Somebody has been waiting where the event has a place in the database, where there are others behind it, or where
another process has said so (`awaited`), which may be after the end: then the lane is left all the same, for the news.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import NamedTuple, Protocol

from bridge.core.lanes.lane_claim import InLine, LaneClaim
from bridge.core.lanes.lane_turns import Before, Key
from bridge.edges.ledger.call_kinds import CallKind
from bridge.edges.ledger.rows import KEY_BYTES, Row, key_of

MAX_TURNS = 10_000
"""The last turns that are remembered, of as many lanes."""
SEPARATOR = b"\xff"
"""No key of a user has it, being UTF-8."""


class Turn(NamedTuple):
    """The answer to a wish for a turn. `awaited`: its end is to be told to those behind it."""

    before: Before | None
    awaited: bool


FREE = Turn(None, awaited=False)


@lru_cache(8192)
def lane_hash(lane: Key) -> bytes:
    """The bytes by which a lane is found."""
    user, service = (key_of(name).encode() for name in lane)
    return hashlib.sha256(user + SEPARATOR + service).digest()[:KEY_BYTES]


def line_row(line: LaneClaim) -> Row:
    """The parameters of a wish for a turn."""
    passing = line.passing
    return (lane_hash(line.lane), line.lost_after_s, passing.steers, passing.joins, line.requeue)


def waiting_row(waiting: InLine) -> Row:
    """The parameters of an event that is lined up."""
    return (key_of(waiting.event_id), waiting.back_in_s, waiting.awaits, waiting.held)


class PutSoon(Protocol):
    """Puts a call on its way that nobody waits for. False where it will not be carried out."""

    def __call__(self, kind: CallKind, key: str, row: Row, /) -> bool: ...


class LaneCalls:
    """The lanes of the events that this process has, as far as they matter to others."""

    def __init__(self, put_soon: PutSoon) -> None:
        self._put_soon = put_soon
        self._lane_of: dict[str, bytes] = {}
        self._to_tell: set[str] = set()
        """Events in hand of which the end is to be told."""
        self._turns: OrderedDict[bytes, str] = OrderedDict()
        self._waiting: dict[bytes, Key] = {}
        self._early: set[bytes] = set()
        """Lanes that were left before the answer came in which the turn was refused."""
        self._freed: set[Key] = set()
        self._news = asyncio.Event()

    def asked(self, event_id: str, lane: Key, turn: Turn) -> Before | None:
        """A turn has been asked for, and this is the answer."""
        key, lane_ = key_of(event_id), lane_hash(lane)
        self._lane_of[key] = lane_
        if turn.before is not None:
            self._waiting[lane_] = lane
            self._to_tell.add(key)
            if lane_ in self._early:
                self.freed_by(lane_)
            return turn.before
        self._turns[lane_] = key
        self._turns.move_to_end(lane_)
        if len(self._turns) > MAX_TURNS:
            self._turns.popitem(last=False)
        if turn.awaited:
            self._to_tell.add(key)
        return None

    def line_up(self, lane: Key, events: Sequence[InLine]) -> None:
        """See the port."""
        lane_ = lane_hash(lane)
        rows = [waiting_row(waiting) for waiting in events]
        queued = self._put_soon(CallKind.LINE_UP, lane_.hex(), (lane_, rows))
        for waiting, (key, *_) in zip(events, rows, strict=True):
            if waiting.back_in_s is not None:
                self._lane_of.pop(key, None)
                self._to_tell.discard(key)
            elif queued:
                self._lane_of[key] = lane_
                self._to_tell.add(key)

    def leave(self, event_id: str) -> None:
        """See the port."""
        key = key_of(event_id)
        lane_ = self._lane_of.pop(key, None)
        if lane_ is not None and key in self._to_tell:
            self._to_tell.discard(key)
            self._put_soon(CallKind.LEAVE, lane_.hex(), (lane_, key))

    def let_go(self, event_ids: Collection[str]) -> None:
        """Events are released: what stands in a lane, and is not on its way to come back, is in nobody's hands now."""
        for key in map(key_of, event_ids):
            lane_ = self._lane_of.pop(key, None)
            self._to_tell.discard(key)
            if lane_ is not None:
                self._put_soon(CallKind.LINE_UP, lane_.hex(), (lane_, [(key, 0.0, None, False)]))

    def awaited(self, lane_: bytes) -> None:
        """Another process waits in a lane of which this one has the turn, or had it lately."""
        key = self._turns.get(lane_)
        if key is None:
            return
        if self._lane_of.get(key) == lane_:
            self._to_tell.add(key)
        else:
            self._put_soon(CallKind.LEAVE, lane_.hex(), (lane_, key))

    def freed_by(self, lane_: bytes) -> None:
        """Another process has left a lane."""
        lane = self._waiting.pop(lane_, None)
        if lane is not None:
            self._early.discard(lane_)
            self._freed.add(lane)
            self._news.set()
        elif len(self._early) < MAX_TURNS:
            self._early.add(lane_)

    async def freed(self) -> Collection[Key]:
        """See the port."""
        await self._news.wait()
        self._news.clear()
        freed, self._freed = self._freed, set()
        return freed
