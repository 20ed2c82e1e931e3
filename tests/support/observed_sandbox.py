"""A sandbox in the test's own process, held to the published schemas: an answer that fits none fails the test."""

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import orjson

from bridge.sandbox import SandboxOptions
from bridge.sandbox.http.observer import SentAnswer
from bridge.sandbox.http.server import Sandbox, serve
from tests.support.published import OPERATIONS, PublishedOperation, Schema, strict_judge

UNREADABLE = "a line that is no JSON"
NO_ANSWER = ("redirect", "reset", "close")
# Events that are sent because a test asks for them, and that no schema knows (docs/sandbox.md, Scripted replies).
ON_REQUEST = {
    "malformed-line": UNREADABLE,
    "invalid-utf8": UNREADABLE,
    "reply:top-level-filler": "action-too-long",
    "reply:unknown-event": "agent-mood-changed",
    "reply:unknown-action": "current-agent-action",
    "reply:legacy-fields": "new-message",
    "reply:bare-complete": "interaction-complete",
    "reply:end-session": "end-session",
    "reply:announce": "user-message-available",
}
# Statuses that the specification leaves out, with the reason; `*` is every operation.
UNPUBLISHED = {
    ("*", 404): "an organization that does not exist, at operations of which only this is left out",
    ("*", 408): "a body that does not arrive, which is published for interact alone",
    ("*", 400): "a fault that the sandbox does not know",
}


class SchemaObserver:
    """Gathers what no schema allows, and counts the answers by operation and status in `counts`."""

    def __init__(self, *, announces_on_create: bool = False, counts: Counter[tuple[str, int]] | None = None) -> None:
        self._standing = ("reply:announce",) if announces_on_create else ()
        self._counts = Counter() if counts is None else counts
        self.faults: list[str] = []

    def answered(self, answer: SentAnswer) -> None:
        """Judges one answer; a status that was asked for is let pass."""
        self._counts[answer.operation, answer.status] += 1
        if any(kind in NO_ANSWER or kind == f"http-{answer.status}" for kind in answer.asked_for):
            return
        operation = OPERATIONS[answer.operation]
        self.faults += (f"{answer.operation} {answer.status}: {fault}" for fault in self._faults(operation, answer))

    def _faults(self, operation: PublishedOperation, answer: SentAnswer) -> Iterator[str]:
        if answer.status not in operation.answers:
            if ("*", answer.status) not in UNPUBLISHED:
                yield "the status is not published"
        elif (schema := operation.answers[answer.status]) is None:
            if answer.status < 400 and answer.content:
                yield f"a body where none is published: {answer.content[:80]!r}"
        elif answer.lines:
            allowed = {ON_REQUEST.get(kind) for kind in (*answer.asked_for, *self._standing)}
            for line in b"".join(answer.lines).split(b"\n"):
                if line.strip():
                    yield from _event_faults(line, schema, allowed)
        else:
            yield from _faults_of(orjson.loads(answer.content), schema)


def _event_faults(line: bytes, schema: Schema, allowed: set[str | None]) -> Iterator[str]:
    try:
        event = orjson.loads(line)
    except orjson.JSONDecodeError:
        if UNREADABLE not in allowed:
            yield f"{UNREADABLE}: {line[:80]!r}"
        return
    if event.get("type") not in allowed:
        yield from _faults_of(event, schema)


def _faults_of(value: Any, schema: Schema) -> Iterator[str]:
    for error in strict_judge(schema).iter_errors(value):
        yield f"{'.'.join(map(str, error.instance_path)) or 'all'}: {error.message[:200]}"


@asynccontextmanager
async def observed_sandbox(counts: Counter[tuple[str, int]] | None = None, **options: Any) -> AsyncIterator[Sandbox]:
    """A listening sandbox without pauses; leaving it fails when anything that it answered is not as published.

    `counts` gets the number of its answers by operation and status.
    """
    chosen = SandboxOptions(**{"pace": 0, **options})
    observer = SchemaObserver(announces_on_create=chosen.announce_on_create, counts=counts)
    sandbox = await serve(chosen, observer=observer)
    try:
        yield sandbox
    finally:
        await sandbox.close()
    if observer.faults:
        raise AssertionError("\n".join(observer.faults))
