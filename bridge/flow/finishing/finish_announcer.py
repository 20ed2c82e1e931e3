"""Saying that a due finish is done: `conversation-finished`, under one id however often it takes.

published once, in the lane's turn ─▸ confirmed ▸ row gone
                                   └▸ refused   ▸ row stays with the bytes ▸ due again, later each time, and then only
                                                  where it is not confirmed yet
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

from bridge.core.answer.ending import CONVERSATION_FINISHED
from bridge.core.answer.outbound_message import EventContext, MessageFactory, OutboundMessage, ending_id, still_lacking
from bridge.core.counters import Counters
from bridge.core.delivery.retry import Backoff
from bridge.core.ledger.due_finish import DueFinish
from bridge.flow import failpoints
from bridge.flow.ports.ledger import Ledger
from bridge.flow.ports.runtime import Log
from bridge.flow.settling.outbox import Outbox, Undeliverable
from bridge.flow.settling.refusal_log import RefusalLog

MAX_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class RefusedEnding:
    """How often it was refused, and the outbounds that do not have it yet; None where that is not known."""

    times: int = 0
    lacking: frozenset[int] | None = None


NEVER_REFUSED = RefusedEnding()


class FinishAnnouncer:
    """Publishes these endings. None waits in memory: whatever the broker refuses stands in the ledger's row."""

    def __init__(
        self,
        ledger: Ledger,
        factory: MessageFactory,
        new_outbox: Callable[[], Outbox],
        backoff: Backoff,
        counters: Counters,
        log: Log,
    ) -> None:
        self._ledger = ledger
        self._factory = factory
        self._new_outbox = new_outbox
        self._backoff = backoff
        self._counters = counters
        self._log = log
        self._refusal_log = RefusalLog(log)
        self._refused: OrderedDict[str, RefusedEnding] = OrderedDict()
        """Endings of conversations that were refused, as far as this process knows."""

    async def say(self, due: DueFinish, ending: bytes) -> None:
        """Publish it once. The row goes when it is confirmed, or when the broker will never take it."""
        outbox, before = self._new_outbox(), self._refused.pop(due.conversation_id, NEVER_REFUSED)
        outbox.put(still_lacking(self._messages(due, ending), before.lacking))
        given_up = await self._resolved(outbox)
        left = outbox.leave().messages
        if left or (given_up is not None and not outbox.hopeless):
            lacking = before.lacking if given_up is not None else frozenset(each.to.outbound for each in left)
            self._remember(due.conversation_id, RefusedEnding(before.times + 1, lacking))
            await self._refused_now(replace(due, requested=True, ending=ending), before.times + 1, outbox.refusal)
            return
        failpoints.reached("finish-said", due.event_id)
        self._ledger.drop_due(due.conversation_id)
        self._counters.finished += 1
        if given_up is not None:
            self._counters.unsaid += 1
            self._refusal_log.error(
                "ending.refused", event_id=due.event_id, conversation_id=due.conversation_id, error=given_up
            )
        self._log.info("conversation.finished", conversation_id=due.conversation_id, event_id=due.event_id)

    @staticmethod
    async def _resolved(outbox: Outbox) -> str | None:
        """Return once each message is confirmed or refused, with why where one is refused for good."""
        given_up = None
        while True:
            try:
                await outbox.resolved()
            except Undeliverable as error:
                given_up = str(error)
                outbox.forgive()
            else:
                return given_up

    def _remember(self, conversation_id: str, refused: RefusedEnding) -> None:
        self._refused[conversation_id] = refused
        if len(self._refused) > MAX_REMEMBERED:
            self._refused.popitem(last=False)

    async def _refused_now(self, due: DueFinish, times: int, error: str) -> None:
        wait_s = self._backoff.pause(times, longest_s=self._backoff.policy.longest_s)
        self._refusal_log.warning(
            "finish.unsaid", conversation_id=due.conversation_id, event_id=due.event_id, error=error, again_in_s=wait_s
        )
        await self._ledger.set_due(replace(due, again_s=self._factory.clock() + wait_s))

    def _messages(self, due: DueFinish, ending: bytes) -> list[OutboundMessage]:
        context = EventContext(
            event_id=due.event_id,
            user_id=due.user_id,
            service_id=due.service_id,
            channel=due.channel,
            version_set=due.version_set or None,
            conversation_version_set=due.version_set or None,
            route=due.route,
            conversation_id=due.conversation_id,
            tags=due.tags,
        )
        message_id = ending_id(due.conversation_id, CONVERSATION_FINISHED)
        return self._factory.messages(context, CONVERSATION_FINISHED, message_id, ending)
