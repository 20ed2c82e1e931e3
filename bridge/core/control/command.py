"""Commands to the replicas, and their answers, as they go over `bridge.control` and the admin's HTTP.

A command is a JSON object: `command` (pause, resume, status, finished), and for the first two `scope` (all, inbound,
route, user), `name`, `reason`, `for` (a duration); for the last one `conversation_id`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

import orjson

from bridge.core.control.pause import ORDERED, Pause, PauseScope, pause_key
from bridge.core.duration import seconds
from bridge.core.errors import BridgeError
from bridge.core.event.event_fields import HEX24

MAX_NAME, MAX_REASON = 200, 500
MAX_FOR_S = 366 * 86_400.0
FIELDS = frozenset({"command", "scope", "name", "reason", "for"})
FINISHED_FIELDS = frozenset({"command", "conversation_id"})

E = TypeVar("E", bound=StrEnum)

Facts = dict[str, object]
"""An answer: a JSON object."""


class Verb(StrEnum):
    """The commands that there are."""

    PAUSE = "pause"
    RESUME = "resume"
    STATUS = "status"
    FINISHED = "finished"
    """A person has finished a conversation at the API."""


class CommandUnreadable(BridgeError):
    """A body that is no command; the text says why."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command. `for_s` is None where a pause has no end."""

    verb: Verb
    scope: PauseScope = PauseScope.ALL
    name: str = ""
    reason: str = ""
    for_s: float | None = None
    conversation_id: str = ""

    @property
    def changes(self) -> bool:
        """False for one that only looks."""
        return self.verb is not Verb.STATUS

    @property
    def key(self) -> str:
        """The key of the pause that it is about; the conversation where it is about one."""
        return self.conversation_id or pause_key(self.scope, self.name)

    @property
    def lifts(self) -> tuple[str, ...]:
        """Keys of the pauses that resuming lifts: of a route also that over refusals."""
        if self.scope is PauseScope.ROUTE:
            return self.key, pause_key(PauseScope.REFUSALS, self.name)
        return (self.key,)

    def pause(self, by: str, now_s: float) -> Pause:
        """The pause that it orders, at that time (Unix seconds)."""
        until_s = None if self.for_s is None else now_s + self.for_s
        return Pause(self.scope, self.name, self.reason, by, now_s, until_s)

    def dump(self) -> bytes:
        """The command as JSON."""
        fields: Facts = {"command": self.verb.value}
        if self.verb is Verb.FINISHED:
            fields["conversation_id"] = self.conversation_id
        elif self.changes:
            fields |= {"scope": self.scope.value, "name": self.name, "reason": self.reason}
        if self.for_s is not None:
            fields["for"] = f"{round(self.for_s * 1000)}ms"
        return orjson.dumps(fields)


def read_command(body: bytes) -> Command:
    """The command in a message's body. Raises CommandUnreadable."""
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise CommandUnreadable("not JSON") from None
    if not isinstance(fields, dict):
        raise CommandUnreadable("not a JSON object")
    return command_of(fields)


def command_of(fields: Mapping[str, object]) -> Command:
    """The command in a JSON object. Raises CommandUnreadable."""
    verb = _one_of(Verb, fields.get("command"), "command")
    unknown = sorted(set(fields) - (FINISHED_FIELDS if verb is Verb.FINISHED else FIELDS))
    if unknown:
        raise CommandUnreadable(f"unknown fields: {', '.join(unknown)}")
    if verb is Verb.STATUS:
        return Command(verb)
    if verb is Verb.FINISHED:
        return Command(verb, conversation_id=_conversation_id(fields.get("conversation_id")))
    scope = _one_of(PauseScope, fields.get("scope"), "scope", ORDERED)
    name = _text(fields.get("name") or "", "name", MAX_NAME)
    if bool(name) is (scope is PauseScope.ALL):
        raise CommandUnreadable("name: only of an inbound, a route or a user, and there it must be")
    reason = _text(fields.get("reason") or "", "reason", MAX_REASON)
    return Command(verb, scope, name, reason, _for_s(fields.get("for")))


def _conversation_id(value: object) -> str:
    if not isinstance(value, str) or HEX24.fullmatch(value) is None:
        raise CommandUnreadable("conversation_id: not 24 digits of lower-case hex")
    return value


def _for_s(value: object) -> float | None:
    if value is None:
        return None
    try:
        for_s = seconds(value)
    except ValueError as error:
        raise CommandUnreadable(f"for: {error}") from None
    if not 0 < for_s <= MAX_FOR_S:
        raise CommandUnreadable("for: more than nothing, and a year at most")
    return for_s


def _one_of(kind: type[E], value: object, field: str, members: Iterable[E] | None = None) -> E:
    known = [member.value for member in (kind if members is None else members)]
    if value not in known:
        raise CommandUnreadable(f"{field}: none of {', '.join(known)}")
    return kind(value)


def _text(value: object, field: str, most: int) -> str:
    if not isinstance(value, str) or len(value) > most or not value.isprintable():
        raise CommandUnreadable(f"{field}: not a text of at most {most} characters that can be seen")
    return value
