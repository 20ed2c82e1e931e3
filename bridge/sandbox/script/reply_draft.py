"""The draft of an answer, and how scripted replies (``[[reply:...]]``) change it."""

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bridge.sandbox.script import reply
from bridge.sandbox.script.actions import ALL_TYPES, action, filler_wav
from bridge.sandbox.script.fault import UnknownFault

_BIG_BYTES = 1_200_000
_PCM_PER_CHARACTER = 640  # 20 ms of 16 kHz PCM16


@dataclass
class ReplyDraft:
    """Everything that the agent is going to send between the first event and interaction-complete."""

    message: str
    full_message: str
    pieces: list[str]
    actions: list[dict[str, Any]]
    before_pieces: list[dict[str, Any]] = field(default_factory=list)
    after_complete: list[dict[str, Any]] = field(default_factory=list)
    completed: bool = False
    announce: bool = False
    voice: bool = False
    legacy: bool = False
    bare_complete: bool = False
    hold_s: float = 0.0
    framing: str = ""

    def say(self, text: str, count: int | None = None) -> None:
        self.full_message = text
        self.pieces = reply.pieces(text, count)


SCRIPTS: dict[str, str] = {
    "echo": "the message itself",
    "text": "text=WORDS: these words",
    "chunks": "chunks=N: in about N pieces (12)",
    "none": "no new-message at all, only full_message",
    "full-differs": "full_message differs from the pieces",
    "empty-full": "full_message is empty",
    "emoji-split": "emoji, cut inside characters between TCP chunks",
    "u2028": "U+2028, U+2029 and U+0085 inside the text",
    "big": "big=BYTES: one line of that size (1200000)",
    "voice": "base64 PCM16 pieces with transcript alignment",
    "filler": "a text action-too-long first",
    "filler-wav": "an audio action-too-long first",
    "top-level-filler": "action-too-long as an event of its own, as the documentation has it",
    "all-actions": "all 24 action types",
    "unknown-event": "an event type that nobody knows",
    "unknown-action": "an action type that nobody knows",
    "legacy-fields": "message_metadata in the pieces, no transcript_alignment",
    "bare-complete": "interaction-complete without its fields",
    "end-session": "the old end-session event before the end",
    "finish": "the agent finishes the conversation (conversation_completed true)",
    "announce": "user-message-available on create too",
    "slow": "slow=SECONDS before each piece, whatever the pace (1)",
    "no-final-newline": "the last line without its newline",
    "blank-lines": "blank lines between the events",
    "one-chunk": "all events between two waits in one TCP chunk",
    "bytewise": "one byte in each TCP chunk",
}


def apply_script(draft: ReplyDraft, directive: str) -> None:
    """Changes the draft as ``name`` or ``name=value`` says; an unknown name is taken as the words to say."""
    name, _, value = directive.partition("=")
    change = _CHANGES.get(name.strip())
    if change is not None:
        try:
            change(draft, value)
        except ValueError as error:
            raise UnknownFault(f"bad setting of reply:{name}: {error}") from error
    elif name.strip() in SCRIPTS:
        draft.framing = name.strip()
    else:
        draft.say(directive)


def _echo(draft: ReplyDraft, value: str) -> None:
    draft.say(draft.message)


def _text(draft: ReplyDraft, value: str) -> None:
    draft.say(value)


def _chunks(draft: ReplyDraft, value: str) -> None:
    draft.say(draft.full_message, max(1, int(value or 12)))


def _none(draft: ReplyDraft, value: str) -> None:
    draft.pieces = []


def _full_differs(draft: ReplyDraft, value: str) -> None:
    draft.full_message = f"{draft.full_message} (as edited)"


def _empty_full(draft: ReplyDraft, value: str) -> None:
    draft.full_message = ""


def _emoji_split(draft: ReplyDraft, value: str) -> None:
    draft.say(f"{draft.full_message} 🎉👩🏽‍💻 naïve café — ok 🚀")
    draft.framing = "emoji-split"


def _u2028(draft: ReplyDraft, value: str) -> None:
    draft.say(f"{draft.full_message} First line\u2028second line\u2029third\u0085fourth.")


def _big(draft: ReplyDraft, value: str) -> None:
    text = "0123456789" * (int(value or _BIG_BYTES) // 10)
    draft.full_message = text
    draft.pieces = [text]


def _voice(draft: ReplyDraft, value: str) -> None:
    draft.voice = True


def _filler(draft: ReplyDraft, value: str) -> None:
    draft.actions.insert(0, action("action-too-long", "the visit"))


def _filler_wav(draft: ReplyDraft, value: str) -> None:
    draft.actions.insert(0, {**action("action-too-long", "the visit"), "filler": filler_wav()})


def _top_level_filler(draft: ReplyDraft, value: str) -> None:
    draft.before_pieces.append(action("action-too-long", "the visit"))


def _all_actions(draft: ReplyDraft, value: str) -> None:
    draft.actions = [action(kind, reply.topic(draft.message)) for kind in ALL_TYPES]


def _unknown_event(draft: ReplyDraft, value: str) -> None:
    draft.before_pieces.append({"type": "agent-mood-changed", "mood": "curious", "nested": {"level": 3}})


def _unknown_action(draft: ReplyDraft, value: str) -> None:
    draft.actions.append({"type": "navigate-state-machine-teleported", "to": "elsewhere"})


def _legacy_fields(draft: ReplyDraft, value: str) -> None:
    draft.legacy = True


def _bare_complete(draft: ReplyDraft, value: str) -> None:
    draft.bare_complete = True


def _end_session(draft: ReplyDraft, value: str) -> None:
    draft.after_complete.append({"type": "end-session"})
    draft.completed = True


def _finish(draft: ReplyDraft, value: str) -> None:
    draft.completed = True


def _announce(draft: ReplyDraft, value: str) -> None:
    draft.announce = True


def _slow(draft: ReplyDraft, value: str) -> None:
    draft.hold_s = float(value or 1)


_CHANGES: dict[str, Callable[[ReplyDraft, str], None]] = {
    "echo": _echo,
    "text": _text,
    "chunks": _chunks,
    "none": _none,
    "full-differs": _full_differs,
    "empty-full": _empty_full,
    "emoji-split": _emoji_split,
    "u2028": _u2028,
    "big": _big,
    "voice": _voice,
    "filler": _filler,
    "filler-wav": _filler_wav,
    "top-level-filler": _top_level_filler,
    "all-actions": _all_actions,
    "unknown-event": _unknown_event,
    "unknown-action": _unknown_action,
    "legacy-fields": _legacy_fields,
    "bare-complete": _bare_complete,
    "end-session": _end_session,
    "finish": _finish,
    "announce": _announce,
    "slow": _slow,
}


def new_message(draft: ReplyDraft, piece: str, number: int, message_id: str) -> dict[str, Any]:
    """One ``new-message`` event; sequence numbers begin at 1."""
    event: dict[str, Any] = {
        "type": "new-message",
        "message": piece,
        "transcript_alignment": None,
        "stop": number == len(draft.pieces),
        "sequence_number": number,
        "message_id": message_id,
    }
    if draft.voice:
        event["message"] = base64.b64encode(b"\0" * (_PCM_PER_CHARACTER * len(piece))).decode()
        start = 20 * sum(len(earlier) for earlier in draft.pieces[: number - 1])
        event["transcript_alignment"] = [[start + 20 * index, letter] for index, letter in enumerate(piece)]
    if draft.legacy:
        del event["transcript_alignment"]
        event["message_metadata"] = []
    return event
