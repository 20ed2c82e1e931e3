"""Asking the API what became of an event, and going on asking until it can be told.

See docs/semantics.md, What the API shows.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from bridge.core.answer.history import ConversationRow, Message
from bridge.core.delivery import reconcile
from bridge.core.delivery.progress import RequestKind
from bridge.core.delivery.reconcile import Blind, Finding, Finish, Means, unshown
from bridge.core.errors import (
    Lost,
    NotSent,
    Refused,
    SignInRefused,
    TooEarly,
    Unavailable,
    UnknownUser,
    Unsendable,
    is_transient,
)
from bridge.core.event.event_fields import OnBusy
from bridge.core.event.route import RoutedEvent
from bridge.flow.answering import reads
from bridge.flow.ledger_journal import NotWritten
from bridge.flow.ports.api import MAX_MESSAGES_A_PAGE, Agent
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
        """A user and a conversation by which it can be found out, unless it is known that the role lists."""
        return None if self.lists else self._known

    def blind(self, blind: Blind) -> None:
        """Something that exists was not shown."""
        self.missing = blind.words
        if blind is Blind.CONVERSATIONS:
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
            if is_transient(error.status):
                raise Unavailable(f"while asking what became of the event: {error}") from None
            return Finding(Means.UNPROVABLE, error=f"while asking what became of the event: {error}")
        except Unsendable as error:
            return Finding(Means.UNPROVABLE, error=f"while asking what became of the event: {error}")
        if finding.blind is not None:
            self.sight.blind(finding.blind)
        self._log.info(
            "event.reconciled",
            event_id=work.event.id,
            request=work.progress.request,
            means=finding.means.name.lower(),
            conversation_id=finding.conversation_id,
            error=finding.error or None,
        )
        return finding

    async def unfinished(self, user_id: str, service_id: str) -> list[ConversationRow]:
        """The unfinished conversations of the user with the service, newest first."""
        rows = await reads.unfinished(self._agent, user_id, service_id)
        self.sight.listed(rows)
        return rows

    async def of_event(self, event: RoutedEvent) -> list[ConversationRow]:
        """The conversations that were started for the event, finished or not."""
        rows = await reads.carrying(self._agent, event.user_id, event.service_id, event.event_tag)
        self.sight.listed(rows)
        return rows

    async def _looked(self, work: Work) -> Finding:
        if work.progress.request is RequestKind.INTERACT and work.progress.conversation_id:
            return await self._by_text(work, work.progress.conversation_id, self._of_interact)
        finding, open_rows = await self._by_event_tag(work)
        if finding.means is not Means.NOT_DONE or work.progress.request is not RequestKind.UNKNOWN:
            return finding
        target = self._only_way(work, open_rows)
        return finding if target is None else await self._by_text(work, target, self._of_open)

    async def _by_event_tag(self, work: Work) -> tuple[Finding, Sequence[ConversationRow]]:
        """Look among the unfinished conversations, where most are found, and then among all with the event's tag."""
        open_rows = await self.unfinished(*work.event.lane)
        findings = [await self._of_own(work, row) for row in open_rows if row.carries(work.event.event_tag)]
        if findings and _best(findings).means is Means.ANSWERED:
            return _best(findings), open_rows
        looks = 1
        while True:
            seen = [finding.conversation_id for finding in findings]
            if not findings:
                finding = reconcile.not_listed(looks, await self._role_lists())
                if finding.means is not Means.LOOK_AGAIN:
                    return finding, open_rows
                await asyncio.sleep(self._settle_s)
            own = await self.of_event(work.event)
            looks += 1
            findings += [await self._of_own(work, row) for row in own if row.id not in seen]
            if findings:
                return _best(findings), open_rows

    async def _of_own(self, work: Work, row: ConversationRow) -> Finding:
        user_id = work.event.user_id
        finding = reconcile.of_own(row, await self._exchange(user_id, row), Finish.NOT_TRIED)
        if finding.means is not Means.FINISH:
            return finding
        finish = await self._agent.finish(user_id, row.id)
        seen = await reads.conversation(self._agent, user_id, row.id)
        if seen is None:
            return Finding(Means.WAIT if finish is Finish.RUNNING else Means.NOT_DONE, row.id)
        return reconcile.of_own(seen, await self._exchange(user_id, seen), finish)

    async def _exchange(self, user_id: str, row: ConversationRow) -> Sequence[Message]:
        return await reads.first_exchange(self._agent, user_id, row.id)

    async def _by_text(
        self, work: Work, conversation_id: str, look: Callable[[Work, str, int], Awaitable[Finding]]
    ) -> Finding:
        looks = 0
        while True:
            looks += 1
            finding = await look(work, conversation_id, looks)
            if finding.means is not Means.LOOK_AGAIN:
                return finding
            await asyncio.sleep(self._settle_s)

    async def _of_interact(self, work: Work, conversation_id: str, looks: int) -> Finding:
        """Read back to the watermark, or to the announced message, which comes after it."""
        progress = work.progress
        known = {progress.watermark, progress.announced} - {None}
        messages = await reads.back_to(self._agent, work.event.user_id, conversation_id, known)
        finding = reconcile.of_interact(progress, work.event.message, messages, looks)
        if finding.means is Means.NOT_DONE and not messages:
            return await self._hidden(work, conversation_id) or finding
        return finding

    async def _hidden(self, work: Work, conversation_id: str) -> Finding | None:
        """Tell a conversation without a message, or that is gone, from one whose messages this role is not shown."""
        row = await reads.conversation(self._agent, work.event.user_id, conversation_id)
        if row is not None:
            return unshown(Blind.MESSAGES, conversation_id) if row.num_messages > 0 else None
        listed = await self._role_lists()
        return unshown(Blind.CONVERSATIONS, conversation_id) if listed is False else None

    async def _of_open(self, work: Work, conversation_id: str, looks: int) -> Finding:
        """Read the newest first, until the text is found."""
        finding = reconcile.of_open(work.event.message, conversation_id, (), looks)
        if finding.means is Means.UNPROVABLE:
            return finding
        rows = self._agent.messages(work.event.user_id, conversation_id, newest_first=True, page=MAX_MESSAGES_A_PAGE)
        async for message in rows:
            alike = reconcile.of_open(work.event.message, conversation_id, [message], looks)
            if alike.means is Means.UNPROVABLE:
                return alike
        return finding

    def _only_way(self, work: Work, rows: Sequence[ConversationRow]) -> str | None:
        """The open conversation that an earlier delivery can only have interacted with, if there is one."""
        if work.event.conversation_id is not None:
            return work.event.conversation_id
        if work.event.on_busy is not OnBusy.INTERACT:
            return None
        return rows[0].id if rows else None

    async def _role_lists(self) -> bool | None:
        """Look for a conversation that is known to exist, where it is not known yet whether this role sees any."""
        known = self.sight.to_look_for
        if known is None:
            return self.sight.lists
        user_id, conversation_id = known
        row = await reads.conversation(self._agent, user_id, conversation_id)
        if row is None:
            return False
        self.sight.listed([row])
        return True


def _best(findings: Sequence[Finding]) -> Finding:
    return max(findings, key=lambda finding: finding.means)
