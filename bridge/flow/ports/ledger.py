"""The ledger as the flow sees it."""

from collections.abc import Awaitable, Collection, Mapping, Sequence
from typing import Protocol

from bridge.core.control.pause import Pause
from bridge.core.delivery.progress import Progress
from bridge.core.errors import BridgeError
from bridge.core.event.user import KnownUser
from bridge.core.lanes.lane_claim import InLine, LaneClaim
from bridge.core.lanes.lane_turns import Before, Key
from bridge.core.ledger.due_finish import DueFinish
from bridge.core.ledger.ledger_entry import Claim, Entry


class Ledger(Protocol):
    """Remembers events across processes. Every method raises LedgerUnavailable, and returns when it is durable.

    An event that is claimed belongs to this process until `release`, or for as long as it lives and renews its lease.
    """

    @property
    def trouble(self) -> str | None:
        """Why it is unavailable; None when it is well. It logs both by itself, once."""

    @property
    def shared(self) -> bool:
        """True where other processes may use it at the same time."""

    async def available(self) -> None:
        """Return as soon as there is no trouble."""

    async def away(self) -> None:
        """Return as soon as there is trouble."""

    async def claim(
        self, event_id: str, digest: bytes, progress: Progress | None = None, line: LaneClaim | None = None
    ) -> Claim:
        """Take the event, unless another process has it. Of two that claim at once, one gets it.

        A claim of what is in the hands of a process that has died counts as a death of the event. With `progress`, an
        event that nobody knew is at once remembered as requested under it. With `line`, the turn of the lane is taken
        with the event, or both are refused, and the event has a place in the lane from then on; one that has ended
        needs no turn. A turn that this process has for another event is over.
        """

    async def take_turn(self, event_id: str, line: LaneClaim) -> Before | None:
        """Take the turn of a lane for a claimed event. Gives those that come before it, where it is refused."""

    def line_up(self, lane: Key, events: Sequence[InLine]) -> None:
        """Give events that are in this process's hands, or leave them, places in their lane, in this order.

        Those that have a place keep it. Carried out as `keep_due`, in order with claims and `leave_lane`.
        """

    def leave_lane(self, event_id: str) -> None:
        """The event is waited for no more: it is settled, or stands in another lane. Carried out as `keep_due`.

        Nothing is carried out where nobody has been waiting.
        """

    async def ahead(self, lane: Key, event_ids: Collection[str], lost_after_s: float) -> Mapping[str, int]:
        """How many hold up each of these events in their lane; of those without a place nothing is said.

        Those that should have been back longer ago than `lost_after_s` hold up nobody.
        """

    async def freed(self) -> Collection[Key]:
        """Return as soon as another process has left lanes in which this one was refused the turn: those lanes."""

    def gathering(self) -> Awaitable[None] | None:
        """While calls are gathered: done in time for one more, before all are carried out. None otherwise."""

    async def write(self, entry: Entry) -> None:
        """Remember this of an event that is claimed. Writes of one event are carried out in order."""

    def write_soon(self, entry: Entry) -> None:
        """The same within half a second, without an error: it is not missed where process or ledger die first."""

    def complete_soon(self, event_id: str, progress: Progress) -> None:
        """An event that this process has written as answered is complete, and otherwise as it was. As `write_soon`.

        `progress` is the one that was written. An event of which nothing is known stays unknown.
        """

    async def cancel(self, event_id: str, ending: bytes) -> bool:
        """Give an event that has not started, known or not, this ending: whoever claims it finds it answered.

        Who has it in hand loses it: their next write raises LeaseLost. False where something has been asked for it, or
        it has ended; True also where it was cancelled before.
        """

    def keep_due(self, due: DueFinish) -> None:
        """A sign of life of a conversation, carried out with what is written next or before; it is not waited for.

        Of several wishes for one conversation the one with the latest end holds. What was begun of its finish is over.
        """

    def drop_due(self, conversation_id: str) -> None:
        """The conversation is over, or is none of the bridge's concern. Carried out as `keep_due`."""

    async def due(self, now_s: float, most: int) -> Sequence[DueFinish]:
        """The finishes that are due at that Unix time and in nobody else's hands, the oldest first."""

    async def take_due(self, conversation_id: str, now_s: float) -> DueFinish | None:
        """Take it for a minute, if it is still due and no other process has it."""

    async def find_due(self, conversation_id: str) -> DueFinish | None:
        """Look up a conversation that is not known to be over, due or not, in whoever's hands."""

    async def set_due(self, due: DueFinish) -> None:
        """Remember how far its finish has come."""

    async def find_user(self, digest: str, now_s: float) -> KnownUser | None:
        """The user of an e-mail, by its digest, unless what is known of it has run out at that Unix time."""

    def keep_user(self, known: KnownUser) -> None:
        """Remember whose e-mail it is. Carried out as `keep_due`; of two, the later one holds."""

    def drop_user(self, known: KnownUser) -> None:
        """Forget it, if it is still this user's. Carried out as `keep_due`."""

    async def pauses(self) -> Sequence[Pause]:
        """All pauses that nobody has lifted."""

    async def set_pause(self, pause: Pause) -> None:
        """Remember the pause; of two under one key the later one holds."""

    async def drop_pause(self, key: str, ended_s: float | None = None) -> bool:
        """Lift the pause of this key; True for the one who does. With `ended_s` only where its end has come by then."""

    async def take_probe(self, key: str, now_s: float, every_s: float) -> bool:
        """Look, on behalf of all, whether the route is still refused that the pause of this key holds.

        True for one process every so many seconds, counted from the pause's `probed_s`; False without such a pause.
        """

    async def hold(self, event_id: str, queue: str, key: str, now_s: float) -> None:
        """Note that the pause of this key keeps the event back, in the held queue of the inbound `queue`."""

    async def take_unheld(self, now_s: float) -> Sequence[str]:
        """Inbound queues of events that no pause keeps back any more, for one process a minute to see to."""

    async def clear_unheld(self, queue: str, now_s: float) -> None:
        """The held queue is passed on: forget its events that no pause keeps back, older than a minute."""

    async def release(self, event_ids: Collection[str]) -> None:
        """Let go of events, so that any process may claim them at once. One that has a lane's turn waits again."""

    async def find(self, event_id: str) -> Entry | None:
        """The entry, without claiming it; of the event's deaths, as many as a claim would find."""

    async def begun(self) -> int:
        """This process begins to consume. Gives how many before it, in a row, died before they could say `lives_on`."""

    async def lives_on(self) -> None:
        """This process has outlived the danger of the beginning."""


class LedgerUnavailable(BridgeError):
    """The ledger is locked, full, broken or gone. What it would have said must be asked of the API."""


class LeaseLost(LedgerUnavailable):
    """Another process has taken over the event that was to be written, and sees to it from now on."""


class EntryUnreadable(LedgerUnavailable):
    """The ledger's entry of one event makes no sense: the event is known, and nothing of what became of it."""
