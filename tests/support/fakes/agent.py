"""The Amigo API in memory: one unfinished conversation per (user, service), one request at a time in each."""

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from itertools import count
from typing import TypeVar

from bridge.core.answer.history import ConversationRow, Message
from bridge.core.delivery.reconcile import Finish
from bridge.core.errors import Refused
from bridge.core.event.route import RoutedEvent
from bridge.flow.ports.api import MESSAGES_A_PAGE
from tests.support.fakes.play import Fate, Gate, Play, Step, Talk, Turn
from tests.support.fakes.stream import FakeStream

Listed = TypeVar("Listed", ConversationRow, Message)
MAX_CALLS_AT_ONCE = 2_000


class HotLoop(AssertionError):
    """The same call was made again and again, and no time passed."""


@dataclass(frozen=True)
class Call:
    """One call: operation as the port names it, at which event loop time, for whom, about what."""

    operation: str
    at_s: float
    user_id: str = ""
    conversation_id: str | None = None
    text: str | None = None
    tags: dict[str, str] | None = None


class FakeAgent:
    """The agent port. `talks` is the truth, `journal` every call, `others` what somebody else said.

    `lists` and `shows_messages` are the role's permissions; `listing_lag_s` is how long a new conversation is not
    listed; `finish_of_empty` says what finishing does where there are no messages: `deletes`, `refuses` or `keeps`.
    Without `filters_tags` or `filters_finished` it lists as if these had not been asked for.
    With `lists_running` False a conversation is listed only once its first interaction is over. `hears` is what the
    history makes of an event's text; `before` holds what happens, once, just before the next call of an operation.
    """

    def __init__(self) -> None:
        self.talks: list[Talk] = []
        self.journal: list[Call] = []
        self.overlaps = 0
        self.hot = False
        self.lists = True
        self.lists_running = True
        self.shows_messages = True
        self.filters_tags = True
        self.filters_finished = True
        self.tells_time = True
        self.listing_lag_s = 0.0
        self.finish_of_empty = "deletes"
        self.default = Play()
        self.others: Counter[str] = Counter()
        self.hears: Callable[[str], str] = lambda text: text
        self.spoken_s: dict[str, float] = {}
        """When somebody last said something, by conversation: event loop time."""
        self.before: dict[str, Callable[[], object]] = {}
        self._plays: deque[Play] = deque()
        self._plays_for: defaultdict[str | None, deque[Play]] = defaultdict(deque)
        self._failures: defaultdict[str, deque[BaseException | None]] = defaultdict(deque)
        self._broken: dict[str, Exception] = {}
        self._numbers = count(1)

    # What a test says and sees.

    def script(self, *plays: Play) -> None:
        """How the next requests are answered; after them the default holds."""
        self._plays.extend(plays)

    def script_for(self, text: str | None, *plays: Play) -> None:
        """The same for the requests with this text."""
        self._plays_for[text].extend(plays)

    def fail(self, operation: str, *errors: BaseException | None) -> None:
        """The next calls of an operation raise these before they are carried out; None lets one through."""
        self._failures[operation].extend(errors)

    def break_down(self, operation: str, error: Exception) -> None:
        """Every call of an operation raises, until `mend`."""
        self._broken[operation] = error

    def mend(self, operation: str) -> None:
        self._broken.pop(operation, None)

    def calls(self, *operations: str) -> list[Call]:
        return [call for call in self.journal if call.operation in operations]

    def open(self, user_id: str, service_id: str, *, tags: dict[str, str | None] | None = None) -> Talk:
        """A conversation that was open before the test began."""
        talk = Talk(f"c{next(self._numbers):023x}", user_id, service_id, dict(tags or {}))
        self.talks.append(talk)
        return talk

    def converse(self, talk: Talk, text: str, kind: str = "external-event") -> Turn:
        """An interaction of somebody else."""
        turn = Turn(talk, False, text, kind, next(self._numbers))
        turn.save()
        self.others[text] += 1
        self.spoken_s[talk.id] = asyncio.get_running_loop().time()
        return turn

    def heard(self, text: str) -> int:
        """How often the agent was told this and kept it."""
        return sum(message.text == text for talk in self.talks if not talk.gone for message in talk.messages)

    # The port.

    def create(self, event: RoutedEvent) -> AbstractAsyncContextManager[FakeStream]:
        return self._create(event)

    def interact(self, event: RoutedEvent, conversation_id: str) -> AbstractAsyncContextManager[FakeStream]:
        return self._interact(event, conversation_id)

    async def finish(self, user_id: str, conversation_id: str) -> Finish:
        await self._called("finish", user_id, conversation_id)
        talk = self._talk(conversation_id)
        if talk is None:
            return Finish.GONE  # 404
        if talk.running or talk.finished:
            return Finish.RUNNING  # 409: the API has one answer for both
        if not talk.messages and self.finish_of_empty == "refuses":
            return Finish.GONE  # 400
        talk.finished = True
        talk.gone = not talk.messages and self.finish_of_empty == "deletes"
        return Finish.DONE

    async def conversations(
        self,
        user_id: str,
        service_id: str | None = None,
        *,
        conversation_id: str | None = None,
        event_tag: str | None = None,
        unfinished: bool = False,
    ) -> AsyncIterator[ConversationRow]:
        def wanted(talk: Talk) -> bool:
            return (
                talk.user_id == user_id
                and service_id in (None, talk.service_id)
                and conversation_id in (None, talk.id)
                and (event_tag is None or not self.filters_tags or talk.tags.get("bridge_event") == event_tag)
                and not (unfinished and self.filters_finished and talk.finished)
            )

        async for row in self._paged("conversations", user_id, conversation_id, 100, lambda: self._rows(wanted)):
            yield row

    async def messages(
        self, user_id: str, conversation_id: str, *, newest_first: bool = False, page: int = MESSAGES_A_PAGE
    ) -> AsyncIterator[Message]:
        def listed() -> list[Message]:
            talk = self._talk(conversation_id)
            messages = list(talk.messages) if talk is not None and self.shows_messages else []
            return messages[::-1] if newest_first else messages

        async for message in self._paged("messages", user_id, conversation_id, page, listed):
            yield message

    async def newest(self, user_id: str, conversation_id: str) -> Message | None:
        return await anext(aiter(self.messages(user_id, conversation_id, newest_first=True, page=1)), None)

    async def time_s(self, user_id: str) -> float | None:
        return asyncio.get_running_loop().time() if self.tells_time else None

    async def silent_s(self, user_id: str, conversation_id: str) -> float | None:
        await self._called("silent_s", user_id, conversation_id)
        talk = self._talk(conversation_id)
        if talk is None or not talk.messages or not self.shows_messages:
            return None
        return asyncio.get_running_loop().time() - self.spoken_s.get(conversation_id, 0.0)

    async def modify_tags(
        self, user_id: str, conversation_id: str, updates: Mapping[str, str], deletes: Sequence[str] = ()
    ) -> None:
        await self._called("modify_tags", user_id, conversation_id, tags=dict(updates))
        talk = self._talk(conversation_id)
        if talk is None:
            raise Refused("tags", 404, "Specified conversation is not found.")
        if len({**talk.tags, **updates}) > 20:
            raise Refused("tags", 400, "The conversation cannot contain more than 20 tags.")
        talk.tags.update(updates)
        for key in deletes:
            talk.tags.pop(key, None)

    async def probe(self, *, credentials: bool) -> None:
        await self._called("probe", text="credentials" if credentials else None)

    # How it works.

    async def _called(
        self,
        operation: str,
        user_id: str = "",
        conversation_id: str | None = None,
        text: str | None = None,
        tags: dict[str, str] | None = None,
    ) -> None:
        now_s = asyncio.get_running_loop().time()
        self.journal.append(Call(operation, now_s, user_id, conversation_id, text, tags))
        if len(self.journal) > MAX_CALLS_AT_ONCE and self.journal[-MAX_CALLS_AT_ONCE].at_s == now_s:
            self.hot = True
            raise HotLoop(f"{MAX_CALLS_AT_ONCE} calls at once, the last of them {operation}")
        await asyncio.sleep(0)
        self.before.pop(operation, lambda: None)()
        failure = self._failures[operation].popleft() if self._failures[operation] else self._broken.get(operation)
        if failure is not None:
            raise failure

    async def _paged(
        self, operation: str, user_id: str, conversation_id: str | None, page: int, listed: Callable[[], list[Listed]]
    ) -> AsyncIterator[Listed]:
        """Page by page, each a call, asked for when its first row is."""
        offset = 0
        while True:
            await self._called(operation, user_id, conversation_id)
            rows = listed()
            for row in rows[offset : offset + page]:
                yield row
            offset += page
            if offset >= len(rows):
                return

    def _rows(self, wanted: Callable[[Talk], bool]) -> list[ConversationRow]:
        now_s = asyncio.get_running_loop().time()
        return [
            _row(talk)
            for talk in reversed(self.talks)
            if self.lists
            and not talk.gone
            and (self.lists_running or talk.messages or not talk.running)
            and talk.listed_from_s <= now_s
            and wanted(talk)
        ]

    def _talk(self, conversation_id: str) -> Talk | None:
        return next((talk for talk in self.talks if talk.id == conversation_id and not talk.gone), None)

    @asynccontextmanager
    async def _create(self, event: RoutedEvent) -> AsyncIterator[FakeStream]:
        await self._called("create", event.user_id, text=event.message)
        same = [talk for talk in self.talks if (talk.user_id, talk.service_id) == event.lane and not talk.gone]
        if any(talk.running for talk in same):
            self.overlaps += 1
            raise Refused("create-conversation", 409, "A related operation is in progress.")
        if any(not talk.finished for talk in same):
            raise Refused("create-conversation", 400, "The user has other unfinished conversations.", unfinished=True)
        talk = self.open(*event.lane, tags=dict(event.conversation_tags))
        talk.version_set = event.version_set
        talk.listed_from_s = asyncio.get_running_loop().time() + self.listing_lag_s
        async with self._answering(Turn(talk, True, event.message, event.kind, next(self._numbers))) as stream:
            yield stream

    @asynccontextmanager
    async def _interact(self, event: RoutedEvent, conversation_id: str) -> AsyncIterator[FakeStream]:
        await self._called("interact", event.user_id, conversation_id, event.message)
        talk = self._talk(conversation_id)
        if talk is None:
            raise Refused("interact", 404, "Specified conversation is not found.")
        if talk.running or talk.finished:
            self.overlaps += talk.running
            raise Refused("interact", 409, "The conversation is already finished, or an operation is in process.")
        async with self._answering(Turn(talk, False, event.message, event.kind, next(self._numbers))) as stream:
            yield stream

    @asynccontextmanager
    async def _answering(self, turn: Turn) -> AsyncIterator[FakeStream]:
        self.spoken_s[turn.talk.id] = asyncio.get_running_loop().time()
        if turn.text is not None:
            turn.kept = self.hears(turn.text)
        own = self._plays_for[turn.text] or self._plays
        play = own.popleft() if own else self.default
        turn.talk.running = True
        stream = FakeStream(self._spoken(play.steps, turn))
        try:
            await asyncio.sleep(play.thinks_s)
            if play.refusal is not None:
                raise play.refusal
            yield stream
        finally:
            stream.close()
            if turn.saved or not play.settles_s:
                self._settle(turn, play)
            else:
                asyncio.get_running_loop().call_later(play.settles_s, self._settle, turn, play)

    async def _spoken(self, steps: Sequence[Step], turn: Turn) -> AsyncIterator[bytes]:
        for step in steps:
            await asyncio.sleep(0)
            if isinstance(step, Exception):
                raise step
            if isinstance(step, Gate):
                await step.passed()
            elif isinstance(step, int | float):
                await asyncio.sleep(step)
            else:
                yield step if isinstance(step, bytes) else step(turn)

    def _settle(self, turn: Turn, play: Play) -> None:
        """The request is over: what the API keeps of it where it got no ending."""
        turn.talk.running = False
        if turn.saved:
            return
        if play.fate is Fate.SAVED:
            turn.done = play.over
            turn.save()
        elif play.fate is Fate.HEARD:
            turn.hear()
        elif play.fate is Fate.ROLLED_BACK and turn.creates:
            turn.talk.gone = True


def _row(talk: Talk) -> ConversationRow:
    count, tags = len(talk.messages), dict(talk.tags)
    return ConversationRow(talk.id, talk.user_id, talk.service_id, talk.finished, count, tags, talk.version_set)
