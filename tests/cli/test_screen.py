"""What commands show: whatever came from outside is shown, and obeyed by no terminal."""

import json
from typing import Any, cast

import pytest

from bridge.cli.screen import Screen
from bridge.core.printable import CONTROLS
from bridge.edges.rabbitmq.cli_client import Tailed

BAD = "a\x1b]0;owned\x07\n\r\x9b31m\u202eb\u2028c\x7f"
SHOWN = r"a\x1b]0;owned\x07\n\r\x9b31m\u202eb\u2028c\x7f"


def seen(**changes: Any) -> Tailed:
    message = {
        "exchange": "agent.events",
        "routing_key": "text.sms.new-message",
        "type": "new-message",
        "message_id": "m",
        "correlation_id": "e",
        "timestamp": None,
        "headers": {"event_id": "e"},
        "body": b'{"type": "new-message", "message": "hello"}',
    }
    return cast(Tailed, {**message, **changes})


@pytest.mark.parametrize(
    "message",
    [
        seen(routing_key=BAD),
        seen(headers={"event_id": BAD}),
        seen(headers={}, correlation_id=BAD),
        seen(type=BAD, body=b"{}"),
        seen(type=BAD),
        seen(type="bridge-failed", body=json.dumps({"error": BAD}).encode()),
        seen(body=json.dumps({"message": BAD}, ensure_ascii=False).encode()),
        seen(body=BAD.encode()),
        seen(body=json.dumps([BAD]).encode(), type="x"),
        seen(type="x", body=json.dumps({"action": {"type": BAD}}).encode()),
    ],
    ids=str,
)
def test_a_message_is_one_line_without_controls(message: Any, capsys: pytest.CaptureFixture[str]) -> None:
    Screen(as_json=False).message(message)
    out = capsys.readouterr().out
    assert out.endswith("\n")
    assert not CONTROLS.search(out[:-1])
    assert r"\x1b]0;owned\x07" in out
    Screen(as_json=True).message(message)
    line = capsys.readouterr().out
    assert not CONTROLS.search(line[:-1])
    said = json.loads(line)
    assert (said["routing_key"], said["type"]) == (message["routing_key"], message["type"])
    assert said["headers"] == message["headers"]


def test_results_notes_and_problems_are_lines_without_controls(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen(as_json=False)
    screen.say(BAD, "second")
    screen.note(BAD)
    screen.problem(BAD)
    out, err = capsys.readouterr()
    assert out == f"{SHOWN}\nsecond\n"
    assert err == f"{SHOWN}\n{SHOWN}\n"


def test_facts_are_json_with_the_same_values(capsys: pytest.CaptureFixture[str]) -> None:
    Screen(as_json=True).say("words", error=BAD, more=[{BAD: 1}], nothing=None, half="\udcff")
    line = capsys.readouterr().out
    assert not CONTROLS.search(line[:-1])
    assert json.loads(line) == {"error": BAD, "more": [{BAD: 1}], "nothing": None, "half": "\udcff"}


def test_what_is_for_a_shell_is_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    Screen(as_json=False).command("curl --data-binary 'a\nb'")
    assert capsys.readouterr().out == "curl --data-binary 'a\nb'\n"


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (
            b'{"amount": 1.10, "id": 123456789012345678901234567890, "x": 1e3}',
            '{"amount":1.10,"id":123456789012345678901234567890,"x":1e3}',
        ),
        (b"[" * 400 + b"]" * 400, None),
        (b"\xff not json", '"\ufffd not json"'),
        (b'{"a":\n "b"}', '{"a":"b"}'),
    ],
)
def test_json_shows_a_body_with_its_numbers(body: bytes, shown: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    Screen(as_json=True).message(seen(body=body))
    line = capsys.readouterr().out
    json.loads(line)
    assert len(line.splitlines()) == 1
    assert shown is None or f'"body":{shown}' in line
