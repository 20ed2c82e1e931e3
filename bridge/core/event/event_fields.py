"""The form of every field of an event: what is wrong with a value, in words, or None."""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from bridge.core import numbers
from bridge.core.duration import seconds
from bridge.core.event import tags
from bridge.core.event.channel import CHANNELS
from bridge.core.event.lifetime import time_s
from bridge.core.event.user import check_user

HEX24 = re.compile(r"[a-f0-9]{24}")
VERSION_SET = re.compile(r"[A-Za-z0-9_-]{1,40}")
USER_ID = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,198}[\x21-\x7e])?")
MAX_ID_BYTES = 200
AFTER, NEVER = "after", "never"

Check = Callable[[object], str | None]


class EventKind(StrEnum):
    """The request that an event makes: for an answer of the agent, or to change a conversation or another event."""

    EXTERNAL_EVENT = "external-event"
    USER_MESSAGE = "user-message"
    AGENT_FIRST = "agent-first"
    FINISH = "finish"
    TAG = "tag"
    CANCEL = "cancel"


class OnBusy(StrEnum):
    """The answer to a user who has another unfinished conversation with the service."""

    INTERACT = "interact"
    WAIT = "wait"
    FINISH = "finish"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class Audio:
    """Spoken words of the user, as sound of this media type."""

    content_type: str
    data: bytes


def usable_id(event_id: object) -> str | None:
    """The value where it can be an event's id, else None."""
    if not isinstance(event_id, str) or not event_id:
        return None
    return event_id if len(event_id.encode("utf-8", "surrogatepass")) <= MAX_ID_BYTES else None


def finish_s(wish: str) -> float:
    """Seconds of silence after which a conversation is finished: 0 for `after`, infinite for `never`.

    Raises ValueError for what is neither nor a duration.
    """
    if wish == AFTER:
        return 0.0
    return float("inf") if wish == NEVER else seconds(wish)


def check_finish(value: object) -> str | None:
    """Check the wish when a conversation is finished."""
    try:
        good = value is None or (isinstance(value, str) and finish_s(value) is not None)
    except ValueError:
        good = False
    wanted = "neither after nor never nor a duration such as 1h, 100 years at most"
    return None if good else f"finish {quoted(value)} is {wanted}"


def faults(body: Mapping[str, object]) -> list[str]:
    """Everything that is wrong with the fields of an event's body, or with their combination."""
    wrong = [fault for name, value in body.items() if name in CHECKS and (fault := CHECKS[name](value))]
    return wrong or list(_wrong_together(body))


def channel_of(body: Mapping[str, object]) -> str | None:
    """The channel that a body names, where it is one."""
    channel = body.get("channel")
    return channel if isinstance(channel, str) and _check_channel(channel) is None else None


def is_kind(value: object) -> bool:
    """True for the name of a kind."""
    return isinstance(value, str) and value in KINDS


def quoted(value: object) -> str:
    """A value in an error: text as it is, anything else by its kind (it may be nested without end)."""
    return repr(value[:60]) if isinstance(value, str) else f"(a JSON {json_name(value)})"


def json_name(value: object) -> str:
    """JSON's name for the type of a value."""
    return {list: "array", dict: "object", str: "string", bool: "boolean", type(None): "null"}.get(
        type(value), "number"
    )


def _wrong_together(body: Mapping[str, object]) -> list[str]:
    kind = EventKind(str(body.get("kind") or EventKind.EXTERNAL_EVENT))
    wrong = [f"kind {kind} takes no {name}" for name in LOST_IN[kind] if body.get(name) is not None]
    if kind is EventKind.CANCEL and body.get("cancels") is None:
        wrong.append("kind cancel names no event: cancels is missing")
    if kind is EventKind.TAG and not body.get("tags") and not body.get("delete_tags"):
        wrong.append("kind tag has neither tags nor delete_tags")
    if body.get("message") is not None and body.get("audio") is not None:
        wrong.append("message and audio exclude each other")
    not_before, expires_at = body.get("not_before"), body.get("expires_at")
    if not_before is not None and expires_at is not None and time_s(str(expires_at)) <= time_s(str(not_before)):
        wrong.append("expires_at is not after not_before: the event could never start")
    return wrong


def _check_kind(value: object) -> str | None:
    return None if value is None or is_kind(value) else f"kind {quoted(value)} is none of {', '.join(EventKind)}"


def _check_message(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, dict):
        return _check_object(value)
    if not isinstance(value, str):
        return "message is neither a string nor an object"
    return None if value.strip() else "message is blank"


def _check_object(value: dict[str, object]) -> str | None:
    try:
        numbers.dumps(value)
    except ValueError as error:
        return f"message cannot be written as JSON: {error}"
    return None


def _check_channel(value: object) -> str | None:
    known = value is None or (isinstance(value, str) and value in CHANNELS)
    return None if known else f"channel {quoted(value)} is none of {', '.join(CHANNELS)}"


def _check_on_busy(value: object) -> str | None:
    known = value is None or (isinstance(value, str) and value in ON_BUSY)
    return None if known else f"on_busy {quoted(value)} is none of {', '.join(OnBusy)}"


def _check_tags(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        return "tags is not an object"
    return tags.in_words(tags.faults(value)) or None


def _check_delete_tags(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, list):
        return "delete_tags is not a list"
    return tags.in_words([f"delete_tags: {fault}" for fault in tags.key_faults(value)]) or None


def _check_cancels(value: object) -> str | None:
    good = value is None or usable_id(value) is not None
    return None if good else f"cancels is not a string of 1 to {MAX_ID_BYTES} bytes in UTF-8"


def _check_is_test(value: object) -> str | None:
    return None if value is None or isinstance(value, bool) else "is_test is not a boolean"


def _check_audio(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, dict) or value.keys() != {"content_type", "data"}:
        return "audio is not an object with content_type and data"
    if not isinstance(value["content_type"], str) or not value["content_type"].strip():
        return "audio.content_type is not a string"
    try:
        sound = base64.b64decode(value["data"], validate=True) if isinstance(value["data"], str) else b""
    except (binascii.Error, ValueError):
        sound = b""
    return None if sound else "audio.data is not base64 of at least one byte"


def _a_time(name: str) -> Check:
    def check(value: object) -> str | None:
        try:
            good = value is None or (isinstance(value, str) and time_s(value) is not None)
        except ValueError:
            good = False
        return None if good else f"{name} {quoted(value)} is no time with its zone such as 2026-03-01T09:00:00Z"

    return check


def _of_form(name: str, form: re.Pattern[str], words: str) -> Check:
    def check(value: object) -> str | None:
        good = value is None or (isinstance(value, str) and form.fullmatch(value) is not None)
        return None if good else f"{name} is not {words}"

    return check


KINDS = frozenset(EventKind)
ON_BUSY = frozenset(OnBusy)
CHECKS: Mapping[str, Check] = {
    "kind": _check_kind,
    "message": _check_message,
    "channel": _check_channel,
    "tags": _check_tags,
    "delete_tags": _check_delete_tags,
    "on_busy": _check_on_busy,
    "finish": check_finish,
    "not_before": _a_time("not_before"),
    "expires_at": _a_time("expires_at"),
    "cancels": _check_cancels,
    "is_test": _check_is_test,
    "audio": _check_audio,
    "user": check_user,
    "user_id": _of_form("user_id", USER_ID, "a string of 1 to 200 printable ASCII characters"),
    "service_id": _of_form("service_id", HEX24, "24 digits of lower-case hex"),
    "conversation_id": _of_form("conversation_id", HEX24, "24 digits of lower-case hex"),
    "version_set": _of_form("version_set", VERSION_SET, "of the form [A-Za-z0-9_-]{1,40}"),
}
_TIMES = ("not_before", "expires_at")
_CONTENT = ("message", "audio", "tags", "delete_tags", "cancels", *_TIMES)
_MEANT: Mapping[EventKind, tuple[str, ...]] = {
    EventKind.EXTERNAL_EVENT: ("message", "tags", *_TIMES),
    EventKind.USER_MESSAGE: ("message", "audio", "tags", *_TIMES),
    EventKind.AGENT_FIRST: ("tags", *_TIMES),
    EventKind.FINISH: _TIMES,
    EventKind.TAG: ("tags", "delete_tags", *_TIMES),
    EventKind.CANCEL: ("cancels",),
}
LOST_IN: Mapping[EventKind, tuple[str, ...]] = {
    kind: tuple(name for name in _CONTENT if name not in meant) for kind, meant in _MEANT.items()
}
"""Content that an event of a kind would lose: it is refused rather than dropped."""
