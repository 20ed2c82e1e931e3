"""Events of kind `tag`: one call for those that wait one behind the other, the last word on a key wins.

each written as requested ▸ one call ▸ each one's ending in its own turn      a call that is refused: each alone
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from bridge.core.delivery.handling import HandlingStep
from bridge.core.delivery.progress import NotMade, ProvedVoid, Requested
from bridge.core.errors import Refused
from bridge.core.event.event_fields import EventKind
from bridge.core.event.tags import merged
from bridge.core.ledger.ledger_entry import Holder
from bridge.core.ledger.planned_event import PlannedEvent
from bridge.flow import failpoints
from bridge.flow.answering.open_conversations import OpenConversations
from bridge.flow.answering.reconciler import NOT_MADE
from bridge.flow.ledger_journal import LedgerJournal, NotWritten
from bridge.flow.ports.api import Agent
from bridge.flow.ports.ledger import LedgerUnavailable
from bridge.flow.work import TagGroup, Work


def group_up(first: Work, behind: Iterable[Work]) -> None:
    """The event leads a group where some of those right behind it do likewise; one that leads one leads it on."""
    if first.tag_group is not None or first.event.seeks_owner:
        return
    works = [first]
    for work in behind:
        like = work.event.kind is EventKind.TAG and work.event.conversation_id == first.event.conversation_id
        if not like or work.comes_again or work.tag_group is not None or work.event.lifetime is not None:
            break
        works.append(work)
        work.event = replace(work.event, seeks_owner=False)  # it stands in the lane that the first one has found
    if len(works) > 1:
        group = TagGroup(works)
        for work in works:
            work.tag_group = group


class Tagging:
    """Makes the calls. Raises as an attempt does."""

    def __init__(self, agent: Agent, journal: LedgerJournal, conversations: OpenConversations) -> None:
        self._agent = agent
        self._journal = journal
        self._open = conversations

    def is_done(self, work: Work) -> bool:
        """True where an earlier event's call has carried out this one too."""
        return work.tag_group is not None and work in work.tag_group.done

    async def tag(self, work: Work, request: Requested) -> None:
        """Tag the conversation of the request as the event wants it, and as those of its group do."""
        _ask(work, request)
        works = [work]
        try:
            await self._journal.requested(work)
            works += await self._others(work, request)
            await self._merged(works, request)
        except NOT_MADE:
            for each in works:
                each.apply(NotMade())
            raise

    async def _merged(self, works: Sequence[Work], request: Requested) -> None:
        """One call for all; where it is refused, one for the first, and each of the others goes alone from then on."""
        group = works[0].tag_group
        try:
            await self._call(works, request)
        except Refused as error:
            if group is None or len(works) == 1 or error.status >= 500:
                raise
            group.dissolve()
            await self._call(works[:1], request)
            return
        if group is not None:
            group.done.update(works[1:])

    async def _others(self, work: Work, request: Requested) -> list[Work]:
        """The others of the group, each claimed and written as requested, so that nobody cancels it any more."""
        group = work.tag_group
        others: list[Work] = []
        for other in () if group is None else group.after(work):
            if not await (self._asked_again if other.handling.claimed else self._claimed)(other, request):
                break
            others.append(other)
        return others

    async def _asked_again(self, other: Work, request: Requested) -> bool:
        """Write an event that was claimed for an earlier call as requested once more. False where it is another's."""
        _ask(other, request)
        try:
            await self._journal.requested(other)
        except NotWritten:
            return False
        return True

    async def _claimed(self, other: Work, request: Requested) -> bool:
        """Claim an event before its turn. False where it is not a new one: its turn will tell."""
        other.foreseen = other.progress.after(_about(other, request))
        try:
            claim = await self._journal.claim(other, in_line=False)
        except LedgerUnavailable:
            claim = None
        other.foreseen = None
        if claim is None or claim.holder is not Holder.NOBODY:
            other.plan_anew()
            return False
        other.follow(HandlingStep.TURN)
        other.follow(HandlingStep.CLAIMED)
        _ask(other, request)
        return True

    async def _call(self, works: Sequence[Work], request: Requested) -> None:
        event, target = works[0].event, request.conversation_id or ""
        updates, deletes = merged([(work.event.tags, work.event.delete_tags) for work in works])
        failpoints.reached("before-post", event.id)
        known = self._open.forget_tags(target, event.lane)
        await self._agent.modify_tags(event.user_id, target, updates, deletes)
        if known is not None:
            self._open.retag(event.lane, known, updates, deletes)
        failpoints.reached("post-answered", event.id)


def _ask(work: Work, request: Requested) -> None:
    """The request is about to be made; one that was made before does no harm when it is made again."""
    if work.progress.needs_proof:
        work.apply(ProvedVoid())
    work.apply(_about(work, request))


def _about(work: Work, request: Requested) -> Requested:
    """The request as this event of a group makes it."""
    return replace(request, planned=PlannedEvent.of(work.event, with_text=False))
