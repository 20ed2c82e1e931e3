"""The fate of a request whose outcome is unknown: docs/semantics.md, What the API shows.

The caller asks and looks; here is only what the answers mean. Each function takes what was seen and gives one Finding.
A `start` leaves its event tag (`bridge_event`) by which its conversation is found; an `interact` leaves only its
text, so there the progress must help: the announced message id, or the newest message before it (the watermark).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum

from bridge.core.answer.history import ConversationRow, Message, after, answer, first_interaction
from bridge.core.delivery.progress import Progress
from bridge.core.ledger.planned_event import digest_of
from bridge.core.permissions import GET_CONVERSATION, GET_MESSAGE

LOOKS = 2
UNCLEAR_S = 60.0
"""A message so long before the request, by the API's own clock, is another's; a younger one may be either's."""
MAX_WAITS = 20

SAID_BEFORE = "shortly before the event the same text was said in the conversation, and which is which cannot be told"


class Blind(Enum):
    """Kinds of rows that exist and are not shown to this role; the value says which permission is missing."""

    CONVERSATIONS = f"the API lists no conversations for this role: {GET_CONVERSATION} is missing"
    MESSAGES = f"the API lists no messages of a conversation that has some: {GET_MESSAGE} is missing"

    @property
    def words(self) -> str:
        """The sentence for logs, dead letters and `/readyz`."""
        return f"{self.value}, so nothing can be proved"


class Means(IntEnum):
    """The meaning of the API's lists; where several conversations say different things, the greatest holds."""

    NOT_DONE = 0
    """Nothing was carried out: ask again from the beginning."""
    EMPTY = 1
    """The conversation exists and nothing was said in it: interact on it."""
    LOOK_AGAIN = 2
    """Not seen, but once is not enough."""
    FINISH = 3
    """Empty as far as can be seen: finish it, which also tells whether it is still running."""
    WAIT = 4
    """Still running: look again later."""
    UNPROVABLE = 5
    """The lists cannot tell; `error` says why."""
    ANSWERED = 6
    """Done: the answer is in the history."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The meaning, with the conversation and the answer where there is one."""

    means: Means
    conversation_id: str | None = None
    answer: Message | None = None
    conversation_completed: bool = False
    error: str = ""
    blind: Blind | None = None
    """The rows that this role is not shown, where that is why nothing can be proved."""


def unshown(blind: Blind, conversation_id: str | None = None) -> Finding:
    """The finding where what exists is not shown to this role."""
    return Finding(Means.UNPROVABLE, conversation_id, error=blind.words, blind=blind)


class Finish(IntEnum):
    """The result of finishing a conversation: not tried, 409, 204, or what says that there was nothing to finish."""

    NOT_TRIED = 0
    RUNNING = 1
    """409: something runs in it, or it is finished already."""
    DONE = 2
    GONE = 3
    """400, 404."""


def not_listed(looks: int, role_lists: bool | None) -> Finding:
    """No conversation carries the event tag. `role_lists` is False where one that is known to exist was not listed."""
    if role_lists is False:
        return unshown(Blind.CONVERSATIONS)
    return Finding(Means.NOT_DONE if looks >= LOOKS else Means.LOOK_AGAIN)


def of_own(row: ConversationRow, messages: Sequence[Message], finish: Finish) -> Finding:
    """A conversation that carries the event tag; `messages` oldest first. The event's interaction is its first."""
    mine = first_interaction(messages)
    answered = answer(mine)
    if answered is not None:
        last = len(mine) == len(messages)
        return Finding(Means.ANSWERED, row.id, answered, conversation_completed=row.is_finished and last)
    if messages:
        return Finding(Means.WAIT, row.id, error="the conversation has the event but no answer yet")
    if row.num_messages > 0:
        return unshown(Blind.MESSAGES, row.id)
    match finish:
        case Finish.NOT_TRIED:
            return Finding(Means.FINISH, row.id)
        case Finish.RUNNING if not row.is_finished:
            return Finding(Means.WAIT, row.id, error="the conversation is still running")
        case _:
            return Finding(Means.NOT_DONE if row.is_finished else Means.EMPTY, row.id)


def of_interact(progress: Progress, text: str | None, messages: Sequence[Message], looks: int) -> Finding:
    """An interact of this event on `progress.conversation_id`; `messages` oldest first.

    The text is the one that was planned; where nobody knows that, `text`, what the event's is now.
    """
    mine = _announced(progress, messages)
    planned = None if progress.planned is None else progress.planned.text
    digest = planned or (None if text is None else digest_of(text))
    if mine is None and digest is not None:
        alike = [message for message in after(messages, progress.watermark) if digest_of(message.text) == digest]
        mine = next((message for message in alike if _since(message, progress.asked_s)), None)
        if mine is None and not all(_long_before(message, progress.asked_s) for message in alike):
            return Finding(Means.UNPROVABLE, progress.conversation_id, error=SAID_BEFORE)
    if mine is not None:
        answered = answer(message for message in messages if message.interaction_id == mine.interaction_id)
        if answered is not None:
            return Finding(Means.ANSWERED, progress.conversation_id, answered)
        return Finding(Means.WAIT, progress.conversation_id, error="the conversation has the event but no answer yet")
    return Finding(Means.NOT_DONE if looks >= LOOKS else Means.LOOK_AGAIN, progress.conversation_id)


def of_open(text: str | None, conversation_id: str, messages: Sequence[Message], looks: int) -> Finding:
    """Nothing is known of an earlier delivery, and the only way is to interact on a conversation that is open.

    The same text in it may be this event's or another's: that cannot be told apart, and is never guessed.
    """
    if text is None or any(_same(message.text, text) for message in messages):
        return Finding(
            Means.UNPROVABLE,
            conversation_id,
            error="the open conversation may have this event already: the same text from another event looks alike",
        )
    return Finding(Means.NOT_DONE if looks >= LOOKS else Means.LOOK_AGAIN, conversation_id)


def _announced(progress: Progress, messages: Sequence[Message]) -> Message | None:
    if progress.announced is None:
        return None
    return next((message for message in messages if message.id == progress.announced), None)


def _since(message: Message, asked_s: float | None) -> bool:
    """True where the message came with the request or later. Without a time all that is after the watermark did."""
    return asked_s is None or (message.created_s is not None and message.created_s >= asked_s)


def _long_before(message: Message, asked_s: float | None) -> bool:
    return asked_s is not None and message.created_s is not None and message.created_s < asked_s - UNCLEAR_S


def _same(one: str, other: str) -> bool:
    return one.strip() == other.strip()
