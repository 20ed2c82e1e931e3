"""Faults: what can go wrong on purpose, how one is written, and whom it strikes."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

BEFORE = {
    "reset": "the connection is reset before any answer; nothing was done",
    "close": "the connection is closed (no reset) before any answer; nothing was done",
    "slow-headers": "delay_s (default 1) pass before the operation begins",
    "redirect": "307 to the same path with or without its last slash",
}
AFTER = {"lost-response": "the operation is done, an interaction committed, then a reset before the status line"}
STREAM = {
    "error-first": "an error event before everything else; nothing remains",
    "error-after-first": "an error event after the first event (keep=1: the new conversation remains, empty)",
    "error-mid": "an error event after some pieces",
    "error-after-complete": "an error event after interaction-complete; everything is saved",
    "cut-before-commit": "a reset after some pieces; nothing remains (keep=1: the new conversation remains, empty)",
    "cut-after-commit": "saved, then a reset instead of interaction-complete",
    "cut-after-complete": "interaction-complete, then a reset instead of the end",
    "cut-then-commit": "a reset after some pieces; the server goes on, locked, and saves after delay_s",
    "cut-then-void": "a reset after some pieces; the lock stays for delay_s, then nothing remains",
    "eof-before-commit": "a clean end after some pieces, without interaction-complete; nothing remains",
    "eof-after-commit": "saved, then a clean end without interaction-complete",
    "stall": "silence for delay_s (default 3600) after some pieces, then on as usual",
    "stall-after-commit": "saved, then silence for delay_s (default 3600) before interaction-complete",
    "slow-eof": "delay_s (default 1) between interaction-complete and the end",
    "disconnect-commits": "when the client goes away, the interaction goes on and is saved",
    "malformed-line": "a line that is not JSON after some pieces, then on as usual",
    "invalid-utf8": "a line that is not UTF-8 after some pieces, then on as usual",
    "duplicate-complete": "interaction-complete twice",
    "out-of-order": "the pieces in reverse order",
}
WEBHOOK = {
    "webhook-wrong-secret": "signed with another secret",
    "webhook-missing-header": "without the signature header",
    "webhook-stale": "stamped ten minutes ago, correctly signed",
    "webhook-future": "stamped ten minutes ahead, correctly signed",
    "webhook-duplicate": "sent twice with the same key",
    "webhook-reordered": "held until the next webhook was sent, or for delay_s (default 1)",
    "webhook-unknown-type": "with the type something-new",
    "webhook-extra-field": "with a field that nobody knows",
}
STREAMING = ("create-conversation", "interact-with-conversation")
KINDS = {**BEFORE, **AFTER, **STREAM, **WEBHOOK}
_HTTP = re.compile(r"http-([45]\d\d)")
_IN_TEXT = re.compile(r"\[\[(fault|reply):([^\[\]]*)\]\]")
_FOREVER = {"all", "forever"}


class UnknownFault(ValueError):
    """Names a fault, or a part of one, that does not exist."""


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong (``reply:...`` kinds are scripted replies: wrong only in taste).

    ``after`` counts the new-message pieces said before it strikes.
    """

    kind: str
    after: int = 1
    delay_s: float | None = None
    code: int = 500
    body: str = "json"
    retry_after: str = "seconds"
    wait_s: float = 1.0
    keep: bool = False
    completed: bool | None = None

    @property
    def status(self) -> int | None:
        """The status of an ``http-NNN`` fault."""
        found = _HTTP.fullmatch(self.kind)
        return int(found[1]) if found else None

    def concerns(self, operation: str) -> bool:
        """True where it can strike this operation at all (``webhook`` is the sending of one)."""
        if self.kind in WEBHOOK:
            return operation == "webhook"
        if self.kind in STREAM or self.directive is not None:
            return operation in STREAMING
        return operation != "webhook"

    @property
    def directive(self) -> str | None:
        """The reply that a ``reply:...`` kind asks for."""
        return self.kind.removeprefix("reply:") if self.kind.startswith("reply:") else None


@dataclass(frozen=True)
class Match:
    """Whom a fault strikes; what is not given matches everybody."""

    operation: str | None = None
    user: str | None = None
    service: str | None = None
    text: str | None = None
    tag: str | None = None
    header: str | None = None

    def fits(self, seen: "Seen") -> bool:
        """``tag`` is ``key:value``, ``header`` is ``name:value`` or a name; ``text`` is contained in the message."""
        return (
            self.operation in (None, seen.operation)
            and self.user in (None, seen.user)
            and self.service in (None, seen.service)
            and (self.text is None or self.text in seen.text)
            and (self.tag is None or self.tag in {f"{key}:{value}" for key, value in seen.tags.items()})
            and (self.header is None or _has_header(seen.headers, self.header))
        )


@dataclass(frozen=True)
class Seen:
    """The facts of a request that decide about its faults."""

    operation: str
    user: str
    service: str
    text: str
    tags: Mapping[str, str | None]
    headers: Mapping[str, str]


def parse_fault(text: str) -> tuple[Fault, int | None]:
    """``kind;name=value;...`` as a fault and how often it strikes (``count``, 1 unless given; None = always)."""
    kind, *settings = [part.strip() for part in text.split(";")]
    given = dict(setting.partition("=")[::2] for setting in settings if setting)
    count = given.pop("count", "1")
    fault = make_fault(kind, given)
    if count not in _FOREVER and not count.isdecimal():
        raise UnknownFault(f"bad count of {kind}: {count}")
    return fault, None if count in _FOREVER else int(count)


def make_fault(kind: str, settings: Mapping[str, Any]) -> Fault:
    """A fault from its kind and settings as text or JSON values; UnknownFault names what is wrong."""
    if kind not in KINDS and not _HTTP.fullmatch(kind) and not kind.startswith("reply:"):
        raise UnknownFault(f"no such fault: {kind}")
    readers = {field.name: _READERS[str(field.type)] for field in fields(Fault) if field.name != "kind"}
    unknown = sorted(set(settings) - set(readers))
    if unknown:
        raise UnknownFault(f"no such setting of a fault: {', '.join(unknown)}")
    try:
        return Fault(kind, **{name: readers[name](value) for name, value in settings.items()})
    except (TypeError, ValueError) as error:
        raise UnknownFault(f"bad setting of {kind}: {error}") from error


def faults_in_text(text: str) -> Iterable[tuple[Fault, int | None]]:
    """Those that a message asks for: ``[[fault:kind;...]]`` and ``[[reply:name]]`` (always)."""
    for family, inside in _IN_TEXT.findall(text):
        if family == "reply":
            yield Fault(f"reply:{inside}"), None
        else:
            yield parse_fault(inside)


def without_directives(text: str) -> str:
    """The message as the agent understands it."""
    return _IN_TEXT.sub("", text).strip()


def _flag(value: Any) -> bool:
    return value in (True, "1", "true", "yes", "on")


_READERS: dict[str, Any] = {
    "<class 'int'>": int,
    "<class 'str'>": str,
    "<class 'float'>": float,
    "<class 'bool'>": _flag,
    "float | None": float,
    "bool | None": _flag,
}


def _has_header(headers: Mapping[str, str], wanted: str) -> bool:
    name, colon, value = wanted.partition(":")
    found = headers.get(name.strip())
    return found is not None and (not colon or found.strip() == value.strip())
