"""Finishing a conversation that is due, in its lane's turn: docs/semantics.md, The end of a conversation.

still due? ▸ silent for so long? ▸ written as requested ▸ finish ▸ ending written ▸ published, confirmed ▸ row gone
"""

from dataclasses import replace

from bridge.core.answer.ending import conversation_finished
from bridge.core.answer.outbound_message import MessageFactory
from bridge.core.counters import Counters
from bridge.core.delivery.reconcile import Finish
from bridge.core.errors import ApiError, Refused, is_transient
from bridge.core.ledger.due_finish import DueFinish
from bridge.flow import failpoints
from bridge.flow.answering import reads
from bridge.flow.answering.open_conversations import OpenConversations
from bridge.flow.finishing.finish_announcer import FinishAnnouncer
from bridge.flow.ports.api import Agent
from bridge.flow.ports.ledger import Ledger, LedgerUnavailable
from bridge.flow.ports.runtime import Log

AGAIN_S = 60.0
"""The wait before a finish that came to nothing is tried again."""


class DueFinisher:
    """Finishes one conversation after the other. Whatever goes wrong, the ledger's row says how to go on."""

    def __init__(
        self,
        agent: Agent,
        ledger: Ledger,
        conversations: OpenConversations,
        factory: MessageFactory,
        announcer: FinishAnnouncer,
        counters: Counters,
        log: Log,
    ) -> None:
        self._agent = agent
        self._ledger = ledger
        self._open = conversations
        self._factory = factory
        self._announcer = announcer
        self._counters = counters
        self._log = log

    async def finish(self, due: DueFinish) -> None:
        """Finish it, if that is still due."""
        try:
            taken = await self._ledger.take_due(due.conversation_id, self._factory.clock())
            if taken is not None:
                await self._finished(taken)
        except LedgerUnavailable:
            pass  # it says so itself
        except Exception:
            self._log.critical("finish.unhandled", exc_info=True, conversation_id=due.conversation_id)

    async def finished_by_person(self, conversation_id: str) -> bool:
        """Say soon that a person has finished it at the API. False where it is none that the bridge would finish.

        Raises LedgerUnavailable.
        """
        due = await self._ledger.find_due(conversation_id)
        if due is None:
            return False
        self._open.forget((due.user_id, due.service_id))
        if due.ending is None:
            ending = conversation_finished(due.event_id, conversation_id, by="person")
            now_s = self._factory.clock()
            await self._ledger.set_due(replace(due, requested=True, ending=ending, finish_s=0.0, last_s=now_s))
        return True

    async def _finished(self, due: DueFinish) -> None:
        failpoints.reached("finish-taken", due.event_id)
        try:
            ending = due.ending or await self._ended(due)
        except ApiError as error:
            self._log.info("conversation.unfinished", conversation_id=due.conversation_id, error=str(error))
            await self._later(due)
            return
        if ending is not None:
            await self._announcer.say(due, ending)

    async def _ended(self, due: DueFinish) -> bytes | None:
        """See to its end. The ending, as the ledger has it; None where there is nothing to be said now."""
        if due.requested and not await self._is_open(due):
            return await self._over(due, already=None)
        if due.finish_s and not due.requested and (moved := await self._spoken_in(due)) is not None:
            await self._ledger.set_due(moved)
            return None
        await self._ledger.set_due(replace(due, requested=True))
        failpoints.reached("finish-requested", due.event_id)
        try:
            finish = await self._agent.finish(due.user_id, due.conversation_id)
        except Refused as error:
            self._refused(due, error)
            return None
        failpoints.reached("finish-answered", due.event_id)
        if finish is Finish.RUNNING and await self._is_open(due):
            await self._later(due)
            return None
        return await self._over(due, already=finish is not Finish.DONE)

    def _refused(self, due: DueFinish, error: Refused) -> None:
        """Given up where a person must act; what time mends is raised."""
        if is_transient(error.status):
            raise error
        self._counters.unfinished += 1
        self._log.error("conversation.finish_refused", conversation_id=due.conversation_id, error=str(error))
        self._ledger.drop_due(due.conversation_id)

    async def _over(self, due: DueFinish, *, already: bool | None) -> bytes:
        self._open.forget((due.user_id, due.service_id))
        ending = conversation_finished(due.event_id, due.conversation_id, already=already)
        await self._ledger.set_due(replace(due, requested=True, ending=ending))
        failpoints.reached("finish-recorded", due.event_id)
        return ending

    async def _spoken_in(self, due: DueFinish) -> DueFinish | None:
        """The conversation with a later sign of life, where somebody has said something in it since; else None."""
        silent_s = await self._agent.silent_s(due.user_id, due.conversation_id)
        if silent_s is None or silent_s >= due.finish_s:
            return None
        return replace(due, last_s=self._factory.clock() - max(0.0, silent_s))

    async def _is_open(self, due: DueFinish) -> bool:
        row = await reads.conversation(self._agent, due.user_id, due.conversation_id)
        return row is not None and not row.is_finished

    async def _later(self, due: DueFinish) -> None:
        await self._ledger.set_due(replace(due, requested=True, again_s=self._factory.clock() + AGAIN_S))
