"""Asking the API what became of an event, and going on asking until it can be told.

See docs/semantics.md, What the API shows.
"""

import asyncio
from collections.abc import Callable, Sequence

from bridge.core.answer.history import ConversationRow, Message
from bridge.core.delivery import reconcile
from bridge.core.delivery.progress import RequestKind
from bridge.core.delivery.reconcile import Finding, Finish, Means
from bridge.core.errors import Lost, NotSent, Refused, SignInRefused, TooEarly, Unavailable, UnknownUser, Unsendable
from bridge.core.event.event_fields import OnBusy
from bridge.flow.ledger_journal import NotWritten
from bridge.flow.ports.api import Agent
from bridge.flow.ports.runtime import Log
from bridge.flow.work import Work

NOT_MADE = (NotSent, TooEarly, SignInRefused, UnknownUser, Unsendable, NotWritten)
"""Errors of a request that was not made: it cannot have reached the API, or the API refused it unread."""


class Sight:
    """Sight of the API's lists: a role may list nothing, known only once something that exists was looked for."""

    def __init__(self) -> None:
        self.lists: bool | None = None
        self.missing: str | None = None
        self._known: tuple[str, str] | None = None

    def exists(self, user_id: str, conversation_id: str) -> None:
        """The API has said so itself: this user has this conversation."""
        self._known = (user_id, conversation_id)

    def listed(self, rows: Sequence[ConversationRow]) -> None:
        if rows:
            self.lists, self.missing = True, None

    @property
    def to_look_for(self) -> tuple[str, str] | None:
        """A user and a conversation by which it can be found out, where it is not known yet."""
        return self._known if self.lists is None else None

    def blind(self, error: str) -> None:
        """Something that exists was not shown."""
        self.missing = error
        if error == reconcile.NO_LISTING:
            self.lists = False


class Reconciler:
    """Looks until a finding is final: nothing here starts or repeats anything."""

    def __init__(self, agent: Agent, settle_s: float, log: Log) -> None:
        self.sight = Sight()
        self._agent = agent
        self._settle_s = settle_s
        self._log = log

    async def of(self, work: Work) -> Finding:
        """Find the fate of the requests of `work.progress`: NOT_DONE, EMPTY, ANSWERED, WAIT or UNPROVABLE.

        Raises TooEarly, SignInRefused, NotSent and Unavailable; what was asked stays asked, so try again later.
        """
        try:
            finding = await self._looked(work)
        except Lost as error:
            raise Unavailable(f"while asking what became of the event: {error}") from None
        except Refused as error:
            if error.status >= 500 or error.status in (408, 409, 425):
                raise Unavailable(f"while asking what became of the event: {error}") from None
            return Finding(Means.UNPROVABLE, error=f"while asking what became of the event: {error}")
        except Unsendable as error:
            return Finding(Means.UNPROVABLE, error=f"while asking what became of the event: {error}")
        if finding.means is Means.UNPROVABLE and finding.error in (reconcile.NO_LISTING, reconcile.NO_MESSAGES):
            self.sight.blind(finding.error)
        self._log.info(
            "event.reconciled",
            event_id=work.event.id,
            request=work.progress.request,
            means=finding.means.name.lower(),
            conversation_id=finding.conversation_id,
            error=finding.error or None,
        )
        return finding

    async def conversations(self, user_id: str, service_id: str) -> Sequence[ConversationRow]:
        """The user's conversations with the service, newest first."""
        rows = await self._agent.conversations(user_id, service_id)
        self.sight.listed(rows)
        return rows

    async def _looked(self, work: Work) -> Finding:
        if work.progress.request is RequestKind.INTERACT and work.progress.conversation_id:
            return await self._by_text(work, work.progress.conversation_id, self._of_interact)
        finding, rows = await self._by_fence(work)
        if finding.means is not Means.NOT_DONE or work.progress.request is not RequestKind.UNKNOWN:
            return finding
        target = self._only_way(work, rows)
        return finding if target is None else await self._by_text(work, target, self._of_open)

    async def _by_fence(self, work: Work) -> tuple[Finding, Sequence[ConversationRow]]:
        looks = 0
        while True:
            rows = await self.conversations(work.event.user_id, work.event.service_id)
            looks += 1
            own = [row for row in rows if row.carries(work.event.fence)]
            if own:
                return max([await self._of_own(work, row) for row in own], key=lambda finding: finding.means), rows
            finding = reconcile.not_listed(looks, await self._role_lists())
            if finding.means is not Means.LOOK_AGAIN:
                return finding, rows
            await asyncio.sleep(self._settle_s)

    async def _of_own(self, work: Work, row: ConversationRow) -> Finding:
        user_id = work.event.user_id
        finding = reconcile.of_own(row, await self._messages(user_id, row), Finish.NOT_TRIED)
        if finding.means is not Means.FINISH:
            return finding
        finish = await self._agent.finish(user_id, row.id)
        rows = await self._agent.conversations(user_id, conversation_id=row.id)
        seen = next((again for again in rows if again.id == row.id), None)
        if seen is None:
            return Finding(Means.WAIT if finish is Finish.RUNNING else Means.NOT_DONE, row.id)
        return reconcile.of_own(seen, await self._messages(user_id, seen), finish)

    async def _messages(self, user_id: str, row: ConversationRow) -> Sequence[Message]:
        return await self._agent.messages(user_id, row.id)

    async def _by_text(
        self, work: Work, conversation_id: str, meaning: Callable[[Work, Sequence[Message], int], Finding]
    ) -> Finding:
        looks = 0
        while True:
            messages = await self._agent.messages(work.event.user_id, conversation_id)
            looks += 1
            finding = meaning(work, messages, looks)
            if finding.means is not Means.LOOK_AGAIN:
                return finding
            await asyncio.sleep(self._settle_s)

    @staticmethod
    def _of_interact(work: Work, messages: Sequence[Message], looks: int) -> Finding:
        return reconcile.of_interact(work.progress, work.event.message, messages, looks)

    def _of_open(self, work: Work, messages: Sequence[Message], looks: int) -> Finding:
        return reconcile.of_open(work.event.message, "", messages, looks)

    def _only_way(self, work: Work, rows: Sequence[ConversationRow]) -> str | None:
        """The open conversation that an earlier delivery can only have interacted with, if there is one."""
        if work.event.conversation_id is not None:
            return work.event.conversation_id
        if work.event.on_busy is not OnBusy.INTERACT:
            return None
        return next((row.id for row in rows if not row.is_finished), None)

    async def _role_lists(self) -> bool | None:
        """Look for a conversation that is known to exist, where it is not known yet whether this role sees any."""
        known = self.sight.to_look_for
        if known is None:
            return self.sight.lists
        user_id, conversation_id = known
        rows = await self._agent.conversations(user_id, conversation_id=conversation_id)
        self.sight.listed(rows)
        return bool(rows)
