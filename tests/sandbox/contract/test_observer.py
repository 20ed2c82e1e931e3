"""The observer sees what no schema allows, lets pass what was asked for, and observes every sandbox of the tests."""

import ast
from typing import Any

import orjson
import pytest

from bridge.sandbox.http.observer import SentAnswer
from bridge.sandbox.script.fault import KINDS
from bridge.sandbox.script.reply_draft import SCRIPTS
from tests.house.source import imports_of, name, python
from tests.sandbox.caller import Caller
from tests.support.observed_sandbox import ON_REQUEST, UNREADABLE, SchemaObserver
from tests.support.published import OPERATIONS, strict_judge

ORGANIZATION = {"org_id": "acme", "org_name": "Acme", "default_user_preferences": None, "tenant_id": None}
CREATED = {"type": "conversation-created", "conversation_id": "6a0000000000000000000001"}


def faults_of(operation: str, status: int, content: object, *asked_for: str) -> list[str]:
    """Those of an answer with this content; a list is the events of a stream, bytes are what they are."""
    lines: tuple[bytes, ...] = ()
    if isinstance(content, list):
        lines = tuple(event if isinstance(event, bytes) else orjson.dumps(event) + b"\n" for event in content)
    raw = b"" if content is None or lines else orjson.dumps(content)
    observer = SchemaObserver()
    observer.answered(SentAnswer(operation, status, raw, lines, asked_for))
    return observer.faults


@pytest.mark.parametrize(
    ("operation", "status", "content"),
    [
        ("get-organization", 200, {**ORGANIZATION, "title": "Welcome"}),
        ("get-organization", 200, {"org_id": "acme"}),
        ("get-organization", 200, {**ORGANIZATION, "default_user_preferences": {"timezone": 5}}),
        ("get-organization", 200, {**ORGANIZATION, "default_user_preferences": {"colour": "red"}}),
        ("get-organization", 201, ORGANIZATION),
        ("get-organization", 500, None),
        ("finish-conversation", 204, {}),
        ("sign-in-with-api-key", 200, {"id_token": "x", "expires_at": "tomorrow"}),
        ("create-conversation", 201, [CREATED, {"type": "agent-mood-changed"}]),
        ("create-conversation", 201, [{**CREATED, "more": 1}]),
        ("create-conversation", 201, [{"type": "user-message-available", "message_id": "x", "user_message": "x"}]),
        ("interact-with-conversation", 200, [CREATED]),
        ("interact-with-conversation", 200, [b'{"type": \n']),
    ],
)
def test_what_no_schema_allows_is_seen(operation: str, status: int, content: object) -> None:
    assert faults_of(operation, status, content)


@pytest.mark.parametrize(
    ("operation", "status", "content", "asked_for"),
    [
        ("get-organization", 200, ORGANIZATION, ()),
        ("get-organization", 500, None, ("http-500",)),
        ("finish-conversation", 204, None, ()),
        ("create-conversation", 201, [CREATED], ()),
        ("create-conversation", 201, [CREATED, {"type": "agent-mood-changed"}], ("reply:unknown-event",)),
        ("create-conversation", 201, [CREATED, b'{"type": \n', b"\n"], ("malformed-line",)),
    ],
)
def test_what_is_published_or_asked_for_is_let_pass(
    operation: str, status: int, content: object, asked_for: tuple[str, ...]
) -> None:
    assert faults_of(operation, status, content, *asked_for) == []


@pytest.mark.parametrize("kind", ON_REQUEST)
async def test_what_is_let_pass_on_request_is_something_that_no_schema_knows(caller: Caller, kind: str) -> None:
    assert kind in KINDS or kind.removeprefix("reply:") in SCRIPTS
    directive = f"[[{kind}]]" if kind.startswith("reply:") else f"[[fault:{kind}]]"
    created = await caller.create(f"hello {directive}")
    schema = OPERATIONS["create-conversation"].answers[201]
    assert schema is not None
    strange = [what for line in created.lines if (what := strangeness(line, schema))]
    assert strange
    assert set(strange) == {ON_REQUEST[kind]}


def strangeness(line: bytes, schema: dict[str, Any]) -> str | None:
    """The type of an event that the schema does not know."""
    try:
        event = orjson.loads(line)
    except orjson.JSONDecodeError:
        return UNREADABLE
    return None if strict_judge(schema).is_valid(event) else str(event["type"])


def test_no_sandbox_of_the_tests_goes_unobserved() -> None:
    door = "bridge.sandbox.http.server"
    openers = [
        name(path)
        for path in python("tests")
        if any(imported == door for _, imported in imports_of(path)) and "serve" in names_of(path.read_text())
    ]
    assert openers == ["tests/support/observed_sandbox.py"]


def names_of(text: str) -> set[str]:
    return {
        alias.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom) for alias in node.names
    }
