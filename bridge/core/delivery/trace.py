"""The history of an event for a person who asks: out of the ledger's entry, and of the API's lists.

`facts` has the names that `trace --json` promises; `entry_lines` says the same in words.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from math import inf

from bridge.core.answer.history import ConversationRow
from bridge.core.delivery.progress import RequestKind
from bridge.core.ledger.attempt_log import Wait, WaitReason
from bridge.core.ledger.ledger_entry import Entry, State
from bridge.core.ledger.owed_enrichments import OwedEnrichments
from bridge.core.ledger.planned_event import PlannedEvent

SAYS = {
    State.CLAIMED: "it is in hand, and nothing has been asked of the API for it",
    State.WAITING: "it is in a delay queue, and comes back by itself",
    State.REQUESTED: "the API has been asked, and has not answered yet as far as is known",
    State.OPEN: "the agent's answer is being published",
    State.ANSWERED: "the agent has answered; the ending is being published",
    State.COMPLETE: "it is complete: answered, published, acknowledged",
    State.FAILED: "it has failed, and is in the dead-letter queue",
}
WAITS = {
    WaitReason.RETRY: "for its next try",
    WaitReason.LANE: "for its turn: an earlier event of the same user and service comes first",
    WaitReason.API: "for the API, which is away or does not take the bridge's credentials",
    WaitReason.LEDGER: "for the ledger",
    WaitReason.LIMIT: "for a rate limit",
    WaitReason.BROKER: "for the broker, which refuses what is published for it",
    WaitReason.PERSON: "in the held queue: a person has paused its route, its user, its inbound or everything",
    WaitReason.REFUSALS: "in the held queue: its route is held, since the API has refused event after event of it",
}


@dataclass(frozen=True, slots=True)
class TracedEntry:
    """An entry as it was read, with its times (Unix seconds): of its first claim and its last change.

    Of an entry that was laid aside, `laid_aside`, only that is known by when it had come to its end: `changed_s`.
    """

    entry: Entry
    first_s: float | None
    changed_s: float
    laid_aside: bool = False


@dataclass(frozen=True, slots=True)
class AskedConversation:
    """A conversation as the API lists it. `answered`: the event's answer is in it; None where that cannot be told."""

    row: ConversationRow
    answered: bool | None

    @property
    def facts(self) -> dict[str, object]:
        """The conversation as plain values."""
        return {**asdict(self.row), "answered": self.answered}


def subject(entry: Entry) -> dict[str, object]:
    """The event's place in the world, as it was planned or as its ending was sent; None where nobody knows any more."""
    planned, sent = _planned(entry), entry.sent
    headers: Mapping[str, object] = {} if sent is None else sent.headers
    known: dict[str, object] = {name: headers.get(name) for name in ("route", "user_id", "service_id", "channel")}
    known |= {"tags": None, "finish_s": None}
    if planned is None:
        return known
    if planned.service_id is None:
        return known | {"user_id": planned.user_id}
    return {
        "route": planned.route,
        "user_id": planned.user_id,
        "service_id": planned.service_id,
        "channel": planned.channel,
        "tags": dict(planned.tags),
        "finish_s": None if planned.finish_s == inf else planned.finish_s,
    }


def version_set(entry: Entry) -> object:
    """The conversation's own version set, else the one that the event would start one with."""
    progress, planned = entry.progress, _planned(entry)
    return progress.version_set or (planned.version_set or None if planned is not None else None)


def facts(traced: TracedEntry) -> dict[str, object]:
    """The entry as plain values. Times are RFC 3339."""
    entry = traced.entry
    progress, letter, sent, wait, owed = entry.progress, entry.letter, entry.sent, entry.log.wait, entry.owed
    return {
        "event_id": entry.event_id,
        "state": entry.state.value,
        "first_seen": _time(traced.first_s),
        "last_change": _time(traced.changed_s),
        "laid_aside": traced.laid_aside,
        **subject(entry),
        "version_set": version_set(entry),
        "conversation_id": progress.conversation_id,
        "request": progress.request.value,
        "attempts": entry.attempt,
        "reasons": [
            {"at": _time(each.at_s), "outcome": each.outcome, "error": each.error} for each in entry.log.attempts
        ],
        "wait": _wait_facts(wait) if wait is not None else None,
        "looks": progress.waits,
        "busy_since": _time(progress.busy_since_s),
        "stream": progress.stream,
        "published": progress.published,
        "body_sha256": entry.digest.hex(),
        "requeue": entry.requeue,
        "deaths": entry.deaths,
        "ending": entry.ending.decode("utf-8", "replace") if entry.ending is not None else None,
        "sent_to": [asdict(place) for place in sent.places] if sent is not None else [],
        "failure": {"reason": letter.reason, "error": letter.error, "attempts": letter.attempts} if letter else None,
        "owed": [one.kind.value for one in owed.wanted] if owed else [],
        "recorded": [message.message_id for message in owed.recorded] if owed else [],
    }


def entry_lines(traced: TracedEntry) -> Iterator[str]:
    """The entry as lines."""
    entry = traced.entry
    yield f"{entry.event_id}: {entry.state.value}: {SAYS[entry.state]}"
    if traced.first_s is not None:
        yield _line("first seen", _time(traced.first_s))
    if traced.laid_aside:
        yield _line("ended", f"{_time(traced.changed_s)} or before")
    else:
        yield _line("last change", _time(traced.changed_s))
    yield from _wait_lines(entry)
    yield from _subject_lines(entry)
    yield from _request_lines(entry)
    for each in entry.log.attempts:
        yield _line("attempt", f"{_time(each.at_s)} {each.outcome}" + (f": {each.error}" if each.error else ""))
    yield from _ending_lines(entry)
    if entry.owed is not None:
        yield from _owed_lines(entry.owed)
    if entry.deaths:
        yield _line("deaths", f"{entry.deaths} processes died with it in hand")
    if entry.requeue:
        yield _line("requeue", entry.requeue)


def _owed_lines(owed: OwedEnrichments) -> Iterator[str]:
    for wanted in owed.wanted:
        yield _line("owed", f"{wanted.kind}, which has not been read yet")
    for message in owed.recorded:
        yield _line("owed", f"{message.message_id}, {len(message.body)} bytes, to be published")


def conversation_lines(asked: Sequence[AskedConversation]) -> Iterator[str]:
    """The event's conversations at the API, as lines."""
    answers = {True: "has the answer", False: "has no answer to it", None: "the answer cannot be told from others"}
    for each in asked:
        state = "finished" if each.row.is_finished else "open"
        yield _line("at the API", f"{each.row.id}, {state}, {each.row.num_messages} messages, {answers[each.answered]}")
    if not asked:
        yield _line("at the API", "no conversation of the event is listed for this user")


def _planned(entry: Entry) -> PlannedEvent | None:
    return entry.progress.planned or entry.log.planned


def _wait_facts(wait: Wait) -> dict[str, object]:
    known: dict[str, object] = {"until": _time(wait.until_s or None), "reason": wait.reason.value}
    return {**known, "limit": wait.about} if wait.about else known


def _wait_lines(entry: Entry) -> Iterator[str]:
    wait, progress = entry.log.wait, entry.progress
    if entry.state is State.WAITING and isinstance(wait, Wait):
        until = f"until {_time(wait.until_s)}, " if wait.until_s else ""
        about = f": {wait.about}" if wait.about else ""
        yield _line("waits", f"{until}{WAITS[wait.reason]}{about}")
    if progress.busy_since_s is not None and entry.state not in (State.COMPLETE, State.FAILED):
        yield _line("busy", f"the conversation is waited for since {_time(progress.busy_since_s)}")
    if progress.waits:
        yield _line("looks", f"found still running {progress.waits} times")


def _subject_lines(entry: Entry) -> Iterator[str]:
    known, planned = subject(entry), _planned(entry)
    by_email = ", found by e-mail" if planned is not None and planned.by_email else ""
    for name, value in (
        ("route", known["route"]),
        ("user", f"{known['user_id']}{by_email}" if known["user_id"] is not None else None),
        ("service", known["service_id"]),
        ("channel", known["channel"]),
        ("version set", version_set(entry)),
        ("conversation", entry.progress.conversation_id),
    ):
        if value is not None:
            yield _line(name, value)


def _request_lines(entry: Entry) -> Iterator[str]:
    progress = entry.progress
    if progress.request is not RequestKind.NONE:
        yield _line("request", f"{progress.request.value}, attempts used up before it: {entry.attempt}")
    if progress.stream is not None:
        yield _line("stream", f"{progress.stream}, known to be published up to sequence {progress.published}")


def _ending_lines(entry: Entry) -> Iterator[str]:
    if entry.letter is not None:
        yield _line("failed", f"{entry.letter.reason} after {entry.letter.attempts} attempts: {entry.letter.error}")
    if entry.ending is not None:
        type_ = "" if entry.sent is None else f", {entry.sent.type}"
        yield _line("ending", f"{len(entry.ending)} bytes{type_}")
    elif entry.state is State.COMPLETE:
        yield _line("ending", "kept no more; the API's history has what the agent said")
    for place in () if entry.sent is None else entry.sent.places:
        yield _line("sent to", f"{place.exchange} under {place.routing_key}")


def _line(name: str, value: object) -> str:
    return f"  {name:<12} {value}"


def _time(at_s: float | None) -> str | None:
    return None if at_s is None else datetime.fromtimestamp(at_s, UTC).isoformat(timespec="seconds")
