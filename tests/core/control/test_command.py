"""Commands, as they are written and read."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.control.command import Command, CommandUnreadable, Verb, command_of, read_command
from bridge.core.control.pause import PauseScope

NAMED = (PauseScope.INBOUND, PauseScope.ROUTE, PauseScope.USER)


@pytest.mark.parametrize(
    "command",
    [
        Command(Verb.STATUS),
        Command(Verb.FINISHED, conversation_id="6a0000000000000000000001"),
        Command(Verb.PAUSE),
        Command(Verb.PAUSE, reason="maintenance: until tomorrow", for_s=90.5),
        *[Command(verb, scope, "näme") for verb in (Verb.PAUSE, Verb.RESUME) for scope in NAMED],
    ],
)
def test_a_command_is_read_as_it_was_written(command: Command) -> None:
    assert read_command(command.dump()) == command


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "command: none of"),
        ({"command": "stop"}, "command: none of"),
        ({"command": ["pause"]}, "command: none of"),
        ({"command": "pause"}, "scope: none of"),
        ({"command": "pause", "scope": "lane", "name": "x"}, "scope: none of"),
        ({"command": "pause", "scope": "all", "name": "x"}, "name: only of"),
        ({"command": "pause", "scope": "route"}, "name: only of"),
        ({"command": "resume", "scope": "user", "name": ""}, "name: only of"),
        ({"command": "pause", "scope": "user", "name": 7}, "name: not a text"),
        ({"command": "pause", "scope": "user", "name": "a\nb"}, "name: not a text"),
        ({"command": "pause", "scope": "user", "name": "x" * 201}, "name: not a text"),
        ({"command": "pause", "scope": "all", "reason": "x" * 501}, "reason: not a text"),
        ({"command": "pause", "scope": "all", "reason": "\x1b[31m"}, "reason: not a text"),
        ({"command": "pause", "scope": "all", "for": 60}, "for: not a duration"),
        ({"command": "pause", "scope": "all", "for": "0s"}, "for: more than nothing"),
        ({"command": "pause", "scope": "all", "for": "400d"}, "for: more than nothing"),
        ({"command": "pause", "scope": "all", "until": "noon"}, "unknown fields: until"),
        ({"command": "pause", "scope": "all", "conversation_id": "6" * 24}, "unknown fields: conversation_id"),
        ({"command": "finished", "conversation_id": "6" * 24, "scope": "all"}, "unknown fields: scope"),
        ({"command": "finished"}, "conversation_id: not 24 digits"),
        ({"command": "finished", "conversation_id": "6A" * 12}, "conversation_id: not 24 digits"),
        ({"command": "finished", "conversation_id": 6}, "conversation_id: not 24 digits"),
    ],
)
def test_what_is_no_command_is_refused_and_why(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(CommandUnreadable, match=words):
        command_of(fields)


@given(st.binary() | st.lists(st.none() | st.integers(0, 9)).map(orjson.dumps))
def test_bytes_that_are_no_command_are_refused_and_nothing_worse(body: bytes) -> None:
    with pytest.raises(CommandUnreadable):
        read_command(body)


def test_a_pause_ends_so_long_after_it_was_ordered() -> None:
    command = Command(Verb.PAUSE, PauseScope.ROUTE, "payments", "why", 60.0)
    pause = command.pause("token ops", 1000.0)
    assert (pause.key, pause.since_s, pause.until_s, pause.by) == ("route:payments", 1000.0, 1060.0, "token ops")
    assert Command(Verb.PAUSE).pause("x", 1000.0).until_s is None
    assert [Command(verb).changes for verb in Verb] == [True, True, False, True]
