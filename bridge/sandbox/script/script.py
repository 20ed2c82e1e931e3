"""The script of an answer: from a turn and its draft to the steps that are played."""

import re
from dataclasses import dataclass

from bridge.sandbox.script import reply
from bridge.sandbox.script.actions import scene
from bridge.sandbox.script.disruption import disrupt
from bridge.sandbox.script.fault import Fault, without_directives
from bridge.sandbox.script.reply_draft import ReplyDraft, apply_script, new_message
from bridge.sandbox.script.script_steps import Commit, End, Hold, ScriptStep, framed, say
from bridge.sandbox.state.rows import Turn

# Seconds before an event at pace 1.
_THINKING_S = 0.05
_SPEAKING_S = 0.03
_GOODBYE = re.compile(r"\bgood-?bye\b", re.IGNORECASE)


@dataclass(frozen=True)
class Wishes:
    """The caller's wishes for the stream."""

    action_pattern: re.Pattern[str]
    voice: bool
    sees_actions: bool
    announce_on_create: bool


def script_of(turn: Turn, wishes: Wishes, faults: list[Fault]) -> list[ScriptStep]:
    """All steps of the answer; the turn learns what its agent message and ending are."""
    draft = _draft(turn, wishes, faults)
    turn.interaction.full_message = turn.messages[-1].message = draft.full_message
    turn.messages[-1].format = "voice" if draft.voice else "text"
    turn.interaction.completed = draft.completed
    steps = _steps(turn, draft, wishes)
    for fault in faults:
        steps = disrupt(steps, fault)
    return framed(steps, draft.framing)


def _draft(turn: Turn, wishes: Wishes, faults: list[Fault]) -> ReplyDraft:
    asked = turn.interaction
    message = without_directives(asked.inbound)
    first = asked.inbound_type == "agent-first"
    text = reply.greeting() if first else reply.answer(asked.inbound_type, message, asked.external_events)
    draft = ReplyDraft(message, text, reply.pieces(text), scene(asked.scene, reply.topic(message)))
    draft.voice = wishes.voice
    draft.announce = wishes.announce_on_create
    draft.completed = asked.inbound_type == "user-message" and _GOODBYE.search(message) is not None
    for fault in faults:
        if fault.directive is not None:
            apply_script(draft, fault.directive)
        if fault.completed is not None:
            draft.completed = fault.completed
    return draft


def _steps(turn: Turn, draft: ReplyDraft, wishes: Wishes) -> list[ScriptStep]:
    asked = turn.interaction
    steps: list[ScriptStep] = []
    if turn.starts_conversation:
        steps.append(say({"type": "conversation-created", "conversation_id": turn.conversation.id}))
    if asked.user_message_id is not None and (draft.announce or not turn.starts_conversation):
        announced = {"type": "user-message-available", "message_id": asked.user_message_id}
        steps.append(say({**announced, "user_message": asked.inbound}))
    for action in draft.actions:
        if wishes.sees_actions and wishes.action_pattern.search(action["type"]):
            steps.append(say({"type": "current-agent-action", "action": action}, _THINKING_S))
    steps += [say(event) for event in draft.before_pieces]
    for number, piece in enumerate(draft.pieces, 1):
        if draft.hold_s:
            steps.append(Hold(draft.hold_s))
        steps.append(say(new_message(draft, piece, number, asked.agent_message_id), _SPEAKING_S))
    return [*steps, Commit(), say(_complete(turn, draft)), *(say(event) for event in draft.after_complete), End()]


def _complete(turn: Turn, draft: ReplyDraft) -> dict[str, object]:
    if draft.bare_complete:
        return {"type": "interaction-complete"}
    return {
        "type": "interaction-complete",
        "message_id": turn.interaction.agent_message_id,
        "interaction_id": turn.interaction.id,
        "full_message": draft.full_message,
        "conversation_completed": draft.completed,
    }
