"""The client yields exactly the lines that were sent, however the network cuts them; and reads what is in them."""

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.core.errors import LineTooLong, Unreadable
from tests.edges.conftest import Serve
from tests.support.amigo import agent_at, routed
from tests.support.amigo_bench import MAX_LINE, USER, all_of, bench, said
from tests.support.scripted import CHUNKED, LAST_CHUNK, Talk, chunk, signing_in
from tests.support.stream_events import (
    ConversationCreated,
    CurrentAgentAction,
    InteractionComplete,
    NewMessage,
    StreamError,
    StreamEvent,
    UserMessageAvailable,
    lines,
    read_event,
)

MIB = 1024 * 1024
SERVICE = "5f0000000000000000000001"
WORDS = "one\u2028two\u2029three\u0085four 🎉👩🏽‍💻 é"
LINE = f'{{"type":"new-message","message":"{WORDS}"}}'.encode()
INSIDE = LINE.index(b"\xf0") + 2
OTHER = b'{"type":"interaction-complete"}'

SENT: dict[str, list[bytes]] = {
    "one chunk for each line": [LINE + b"\n", OTHER + b"\n"],
    "several events in one chunk": [LINE + b"\n" + LINE + b"\n" + OTHER + b"\n"],
    "one byte in each chunk": [bytes([byte]) for byte in LINE + b"\n" + OTHER + b"\n"],
    "cut inside a character": [LINE[:INSIDE], LINE[INSIDE:] + b"\n", OTHER + b"\n"],
    "no newline at the end": [LINE + b"\n" + OTHER],
    "blank lines": [b"\n\n" + LINE + b"\n\r\n \n", b"\n" + OTHER + b"\n\n"],
}


@pytest.mark.parametrize("case", SENT)
async def test_the_lines_are_those_that_were_sent(serve: Serve, case: str) -> None:
    async def says(talk: Talk) -> None:
        await talk.send(CHUNKED)
        for piece in SENT[case]:
            await talk.send(chunk(piece))
        await talk.send(LAST_CHUNK)

    server = await serve(signing_in(says))
    async with agent_at(server.base_url) as agent, agent.create(routed()) as stream:
        found = await all_of(lines(stream, MAX_LINE))
    assert found[-1] == OTHER
    assert found[:-1] == [LINE] * (2 if case.startswith("several") else 1)
    assert read_event(found[0]).message == WORDS  # type: ignore[attr-defined]


@pytest.mark.parametrize("script", ["u2028", "emoji-split", "bytewise", "one-chunk", "no-final-newline", "blank-lines"])
async def test_the_sandboxs_framings_are_all_the_same_to_the_client(script: str) -> None:
    async with bench() as b:
        message = f"hello [[reply:{script}]]"
        events = await said(b.conversations.create(USER, SERVICE, message=message, kind="user-message"))
        said_in_pieces = "".join(event.message for event in events if event.type == "new-message")
        assert said_in_pieces == events[-1].full_message
        assert events[0].type == "conversation-created"


async def test_a_line_of_three_mebibytes_passes() -> None:
    async with bench() as b:
        message = f"[[reply:big={3 * MIB}]]"
        events = await said(b.conversations.create(USER, SERVICE, message=message, kind="user-message"))
        assert len(events[-1].full_message) == 3 * MIB // 10 * 10


async def test_a_line_beyond_the_limit_is_said_after_the_lines_before_it() -> None:
    async def pieces() -> Any:
        yield LINE + b"\n" + b"x" * 200

    found: list[bytes] = []

    async def read_all() -> None:
        async for line in lines(pieces(), len(LINE) + 1):
            found.append(line)

    with pytest.raises(LineTooLong):
        await read_all()
    assert found == [LINE]


@pytest.mark.parametrize(
    ("line", "event"),
    [
        (b'{"type":"conversation-created","conversation_id":"c"}', ConversationCreated),
        (b'{"type":"user-message-available","message_id":"m","user_message":"x"}', UserMessageAvailable),
        (b'{"type":"current-agent-action","action":{"type":"teleported"}}', CurrentAgentAction),
        (b'{"type":"action-too-long","filler":"one moment"}', CurrentAgentAction),
        (b'{"type":"new-message","message":"x","message_metadata":[]}', NewMessage),
        (b'{"type":"interaction-complete"}', InteractionComplete),
        (b'{"type":"error","message":"old words"}', StreamError),
        (b'{"type":"end-session"}', StreamEvent),
        (b'{"type":"agent-mood-changed","mood":{"level":3}}', StreamEvent),
    ],
)
def test_every_form_of_an_event_is_understood(line: bytes, event: type[StreamEvent]) -> None:
    assert type(read_event(line)) is event


def test_an_error_says_its_code_and_words_in_either_form() -> None:
    new = read_event(b'{"type":"error","http_error_code":409,"error_description":"busy"}')
    assert (new.http_error_code, new.error_description) == (409, "busy")  # type: ignore[attr-defined]
    assert read_event(b'{"type":"error","message":"old"}').error_description == "old"  # type: ignore[attr-defined]


@pytest.mark.parametrize("line", [b"{", b"[]", b"5", b"{}", b'{"type":5}', b"\xff", b'{"type":"conversation-created"}'])
def test_what_is_no_event_is_unreadable(line: bytes) -> None:
    with pytest.raises(Unreadable):
        read_event(line)


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.text(max_size=5), inner, max_size=2)),
    max_leaves=4,
)
FIELDS = st.sampled_from(["message", "action", "stop", "transcript_alignment", "full_message", "sequence_number"])


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(["new-message", "interaction-complete", "current-agent-action", "error", "x"]), st.data())
def test_a_field_of_another_form_costs_only_itself(kind: str, data: st.DataObject) -> None:
    content = data.draw(st.dictionaries(FIELDS, VALUES, max_size=4))
    assert read_event(orjson.dumps({**content, "type": kind})).type == kind
