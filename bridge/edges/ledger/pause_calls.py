"""Calls about pauses, and about events that one of them keeps back, on their way to the database."""

from collections.abc import Sequence

from bridge.core.control.pause import Pause
from bridge.edges.ledger.call_kinds import CallKind
from bridge.edges.ledger.call_queue import PROCESS
from bridge.edges.ledger.pause_rows import pause_of, pause_row
from bridge.edges.ledger.queued_ledger import QueuedLedger
from bridge.flow.ports.ledger import EntryUnreadable


class PausingLedger(QueuedLedger):
    """The part of the port that pauses need."""

    async def pauses(self) -> Sequence[Pause]:
        """All pauses; see the port."""
        known = []
        for row in await self._calls.put(CallKind.PAUSES, PROCESS):
            try:
                known.append(pause_of(row))
            except EntryUnreadable as error:
                self._log.error("entry.unreadable", error=str(error))
        return known

    async def set_pause(self, pause: Pause) -> None:
        """Write it; see the port."""
        await self._calls.put(CallKind.SET_PAUSE, PROCESS, pause_row(pause))

    async def drop_pause(self, key: str, ended_s: float | None = None) -> bool:
        """Lift it; see the port."""
        return bool(await self._calls.put(CallKind.DROP_PAUSE, PROCESS, (key, ended_s)))

    async def take_probe(self, key: str, now_s: float, every_s: float) -> bool:
        """Be the one who looks; see the port."""
        return bool(await self._calls.put(CallKind.TAKE_PROBE, PROCESS, (key, now_s, now_s - every_s)))

    async def hold(self, event_id: str, queue: str, key: str, now_s: float) -> None:
        """Note what keeps an event back; see the port."""
        await self._calls.put(CallKind.HOLD, event_id, (queue, key, now_s))

    async def take_unheld(self, now_s: float) -> Sequence[str]:
        """Queues to be passed on; see the port."""
        return [str(queue) for queue in await self._calls.put(CallKind.TAKE_UNHELD, PROCESS, (now_s,))]

    async def clear_unheld(self, queue: str, now_s: float) -> None:
        """Forget what is held no more; see the port."""
        await self._calls.put(CallKind.CLEAR_UNHELD, PROCESS, (queue, now_s))
