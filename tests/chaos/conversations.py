"""The comparison of what became of conversations: what the API has of them, and what a subscriber was told.

It knows nothing of the bridge: only ids, tags and bodies.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tests.chaos.comparing import CANCELLED, FINISHED, SETTLED, TAGGED, Told, Verdict


@dataclass(frozen=True)
class Talk:
    """A conversation as the API has it. `own`: the bridge started it; `completed`: an answer has ended it."""

    id: str
    tags: Mapping[str, str]
    finished: bool
    own: bool = True
    completed: bool = False


def is_over(talk: Talk, told: Iterable[Told]) -> bool:
    """True for a conversation that needs no end, or has one that a subscriber was told of."""
    if talk.completed or not talk.own:
        return True
    return talk.finished and any(_names(message) == talk.id for message in told if message.type == FINISHED)


def compare_ends(talks: Sequence[Talk], told: Sequence[Told], *, due: bool) -> Verdict:
    """Every end is said once, and none that is not there. `due`: each conversation of the bridge's has to end."""
    verdict = Verdict()
    said: defaultdict[str, set[str]] = defaultdict(set)
    for message in told:
        if message.type == FINISHED and (conversation_id := _names(message)) is not None:
            said[conversation_id].add(message.message_id)
    for talk in talks:
        if len(said[talk.id]) > 1:
            verdict.found("double", f"the end of {talk.id} is said {len(said[talk.id])} times: {sorted(said[talk.id])}")
        if said[talk.id] and not talk.finished:
            verdict.found("unheard", f"{talk.id} is said to be finished, and is not")
        if due and not is_over(talk, told):
            verdict.found("unfinished", f"{talk.id}: finished is {talk.finished}, said {len(said[talk.id])} times")
    return verdict


def compare_tags(keys: Mapping[str, str], talks: Sequence[Talk], told: Sequence[Told]) -> Verdict:
    """`keys`: the tag that each event of kind tag sets. Where it is said to be done, the conversation has it."""
    verdict = Verdict()
    tags = {talk.id: talk.tags for talk in talks}
    for message in told:
        if message.type == TAGGED and keys[message.event_id] not in tags.get(str(_names(message)), {}):
            verdict.found("unheard", f"{message.event_id} says that it tagged {_names(message)}, which lacks it")
    return verdict


def compare_cancels(cancels: Mapping[str, str], told: Sequence[Told]) -> Verdict:
    """`cancels`: the event that each event of kind cancel is to stop. Both must tell the same."""
    verdict = Verdict()
    stopped = {message.event_id for message in told if message.type == CANCELLED}
    for message in told:
        if message.type != SETTLED:
            continue
        outcome, target = json.loads(message.body)["outcome"], cancels[message.event_id]
        if (outcome == "cancelled") != (target in stopped):
            verdict.found("changed", f"{message.event_id} says {outcome} of {target}, which says otherwise")
    return verdict


def _names(message: Told) -> str | None:
    conversation_id = json.loads(message.body).get("conversation_id")
    return conversation_id if isinstance(conversation_id, str) else None
