"""Looks for conversations that are to be finished, and gives each its lane's turn."""

import asyncio

from bridge.core.answer.outbound_message import MessageFactory
from bridge.flow.finishing.due_finisher import DueFinisher
from bridge.flow.lanes.lane import finish_job
from bridge.flow.lanes.lanes import Lanes
from bridge.flow.ports.ledger import Ledger, LedgerUnavailable

EVERY_S = 1.0
MAX_AT_ONCE = 100


class DueWatch:
    """Asks the ledger, again and again."""

    def __init__(self, ledger: Ledger, finisher: DueFinisher, lanes: Lanes, factory: MessageFactory) -> None:
        self._ledger = ledger
        self._finisher = finisher
        self._lanes = lanes
        self._factory = factory

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                for due in await self._ledger.due(self._factory.clock(), MAX_AT_ONCE):
                    self._lanes.between((due.user_id, due.service_id), finish_job(self._finisher, due))
            except LedgerUnavailable:
                await self._ledger.available()
            await asyncio.sleep(EVERY_S)
