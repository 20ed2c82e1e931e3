"""The history of an event for a person who asks: out of the ledger's entry, and of the API's lists."""

from collections.abc import Iterator, Sequence

from bridge.core.answer.history import ConversationRow
from bridge.core.delivery.ledger_entry import Entry, State
from bridge.core.delivery.progress import RequestKind

SAYS = {
    State.CLAIMED: "it is in hand, and nothing has been asked of the API for it",
    State.WAITING: "it is in a delay queue, and comes back by itself",
    State.REQUESTED: "the API has been asked, and has not answered yet as far as is known",
    State.OPEN: "the agent's answer is being published",
    State.ANSWERED: "the agent has answered; the ending is being published",
    State.COMPLETE: "it is complete: answered, published, acknowledged",
    State.FAILED: "it has failed, and is in the dead-letter queue",
}


def facts(entry: Entry) -> dict[str, object]:
    """The entry as plain values."""
    progress, letter = entry.progress, entry.letter
    return {
        "event_id": entry.event_id,
        "state": entry.state.value,
        "attempts": entry.attempt,
        "request": progress.request.value,
        "conversation_id": progress.conversation_id,
        "user_id": None if progress.planned is None else progress.planned.user_id,
        "version_set": progress.version_set,
        "stream": progress.stream,
        "published": progress.published,
        "body_sha256": entry.digest.hex(),
        "replay": entry.requeue,
        "deaths": entry.deaths,
        "ending": entry.ending.decode("utf-8", "replace") if entry.ending is not None else None,
        "failure": {"reason": letter.reason, "error": letter.error, "attempts": letter.attempts} if letter else None,
    }


def entry_lines(entry: Entry) -> Iterator[str]:
    """The entry as lines."""
    progress = entry.progress
    yield f"{entry.event_id}: {entry.state.value}: {SAYS[entry.state]}"
    if entry.letter is not None:
        yield f"  failed       {entry.letter.reason} after {entry.letter.attempts} attempts: {entry.letter.error}"
    if progress.request is not RequestKind.NONE:
        yield f"  request      {progress.request.value}, attempts used up before it: {entry.attempt}"
    if progress.planned is not None:
        yield f"  user         {progress.planned.user_id}, found by e-mail"
    if progress.conversation_id is not None:
        yield f"  conversation {progress.conversation_id}"
    if progress.version_set is not None:
        yield f"  version set  {progress.version_set}"
    if progress.stream is not None:
        yield f"  stream       {progress.stream}, known to be published up to sequence {progress.published}"
    if entry.ending is not None:
        yield f"  ending       {len(entry.ending)} bytes"
    elif entry.state is State.COMPLETE:
        yield "  ending       kept no more; the API's history has what the agent said"
    if entry.deaths:
        yield f"  deaths       {entry.deaths} processes died with it in hand"
    if entry.requeue:
        yield f"  replay       {entry.requeue}"


def conversation_lines(rows: Sequence[ConversationRow]) -> Iterator[str]:
    """The conversations that carry the event's fence, as lines."""
    for row in rows:
        state = "finished" if row.is_finished else "open"
        yield f"  at the API   {row.id}, {state}, {row.num_messages} messages"
    if not rows:
        yield "  at the API   no conversation of this user carries the event's tag"
