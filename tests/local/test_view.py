"""What comes from outside is shown as text, and only as text."""

import io

import pytest
from rich.console import Console

from deploy.local.view import MAX_INTERVAL, View, printable


def shown(*, terminal: bool, piece: bytes) -> str:
    out = io.StringIO()
    console = Console(
        file=out, force_terminal=terminal, width=200, highlight=False, color_system="standard" if terminal else None
    )
    View(console).event_out("text.sms.new-message", "e-1", "new-message", piece)
    return out.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_markup_of_an_agent_is_text(terminal: bool) -> None:
    assert "[red]x[/red] :smile: [link=a]" in shown(
        terminal=terminal, piece=b'{"message": "[red]x[/red] :smile: [link=a]"}'
    )


@pytest.mark.parametrize("terminal", [True, False])
def test_control_characters_of_an_agent_do_not_reach_the_terminal(terminal: bool) -> None:
    said = shown(terminal=terminal, piece=b'{"message": "a\\u001b]0;title\\u0007b\\u009bc\\u202ed\\r\\ne"}')
    assert "a ]0;title b c d  e" in said
    assert not set("\x07\x9b\u202e\r") & set(said)


def test_a_pipe_gets_one_plain_line_for_each_thing_that_happens() -> None:
    said = shown(terminal=False, piece=b'{"message": "' + b"word " * 70 + b'"}')
    assert said.count("\n") == 1
    assert "\x1b" not in said


@pytest.mark.parametrize("body", [b"", b"[]", b"not JSON", b'{"message": 5}', b"\xff\xfe", b'{"message": null}'])
def test_a_body_of_any_shape_can_be_shown(body: bytes) -> None:
    assert "text.sms.new-message" in shown(terminal=True, piece=body)


def test_what_is_too_long_is_cut_with_a_sign() -> None:
    assert printable("x" * MAX_INTERVAL) == "x" * MAX_INTERVAL
    assert printable("x" * (MAX_INTERVAL + 1)) == "x" * (MAX_INTERVAL - 1) + "…"
