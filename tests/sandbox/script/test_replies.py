"""Scripted replies: odd but legal streams, asked for in the message or by a rule."""

import base64
import time
from typing import Any

import pytest

from bridge.sandbox.script.actions import ALL_TYPES
from tests.sandbox.caller import SERVICE, Caller


async def raw_stream(caller: Caller, message: str) -> list[bytes]:
    """The TCP-near chunks of a create, as the HTTP client hands them out."""
    body: dict[str, Any] = {"service_id": SERVICE, "initial_message": message, "initial_message_type": "external-event"}
    url = caller.url("/conversation/?response_format=text")
    async with caller.session.post(url, json=body, headers=caller.headers) as response:
        return [chunk async for chunk, _ in response.content.iter_chunks()]


async def test_echo_and_text_say_exactly_that(caller: Caller) -> None:
    created = await caller.create("Say this [[reply:echo]]")
    answer = await caller.interact(created.conversation_id, "[[reply:text=All is well.]]")
    assert created.ending["full_message"] == "Say this"
    assert answer.ending["full_message"] == "All is well."


async def test_the_message_is_kept_with_its_directives(caller: Caller) -> None:
    created = await caller.create("Say this [[reply:echo]]")
    assert (await caller.messages(created.conversation_id))[0]["message"] == "Say this [[reply:echo]]"


@pytest.mark.parametrize(("directive", "count"), [("chunks=12", 12), ("none", 0)])
async def test_the_number_of_pieces_can_be_chosen(caller: Caller, directive: str, count: int) -> None:
    text = " ".join(f"word{number}" for number in range(24))
    answer = await caller.create(f"{text} [[reply:echo]][[reply:{directive}]]")
    assert len(answer.of("new-message")) == count
    assert answer.ending["full_message"] == text


async def test_the_full_message_can_differ_or_be_empty(caller: Caller) -> None:
    differs = await caller.create("a [[reply:full-differs]]")
    empty = await caller.interact(differs.conversation_id, "b [[reply:empty-full]]")
    assert differs.ending["full_message"] != "".join(piece["message"] for piece in differs.of("new-message"))
    assert empty.ending["full_message"] == ""


async def test_emoji_are_cut_between_chunks_and_still_add_up(caller: Caller) -> None:
    chunks = await raw_stream(caller, "hello [[reply:emoji-split]]")
    whole = b"".join(chunks)
    assert "🎉👩🏽‍💻".encode() in whole
    with pytest.raises(UnicodeDecodeError):
        [chunk.decode() for chunk in chunks]


async def test_line_separators_of_unicode_stay_inside_their_line(caller: Caller) -> None:
    answer = await caller.create("hello [[reply:u2028]]")
    assert "\u2028" in answer.ending["full_message"]
    assert "\u0085" in answer.ending["full_message"]


async def test_a_line_can_be_larger_than_a_mebibyte(caller: Caller) -> None:
    answer = await caller.create("hello [[reply:big]]")
    assert max(map(len, answer.lines)) > 1_048_576


async def test_one_byte_in_each_chunk(caller: Caller) -> None:
    chunks = await raw_stream(caller, "hello [[reply:bytewise]][[reply:text=ok]]")
    assert {len(chunk) for chunk in chunks if chunk} == {1}


async def test_several_events_in_one_chunk(caller: Caller) -> None:
    chunks = await raw_stream(caller, "hello [[reply:one-chunk]]")
    assert len([chunk for chunk in chunks if chunk]) == 2


async def test_blank_lines_and_a_missing_last_newline(caller: Caller) -> None:
    blank = b"".join(await raw_stream(caller, "hello [[reply:blank-lines]]"))
    assert b"\n\n" in blank
    other = await Caller(caller.session, caller.base_url, "user-2").sign_in()
    open_ended = b"".join(await raw_stream(other, "hello [[reply:no-final-newline]]"))
    assert open_ended.endswith(b"}")


async def test_all_actions_at_once_and_unknown_ones(caller: Caller) -> None:
    answer = await caller.create("x [[reply:all-actions]][[reply:unknown-action]][[reply:unknown-event]]")
    types = [event["action"]["type"] for event in answer.of("current-agent-action")]
    assert types[:24] == list(ALL_TYPES)
    assert types[24] == "navigate-state-machine-teleported"
    assert len(answer.of("agent-mood-changed")) == 1


async def test_fillers_are_text_audio_or_events_of_their_own(caller: Caller) -> None:
    answer = await caller.create("x [[reply:filler-wav]][[reply:top-level-filler]]")
    filler = answer.of("current-agent-action")[0]["action"]
    assert base64.b64decode(filler["filler"]).startswith(b"RIFF")
    assert answer.of("action-too-long")[0]["filler"]


async def test_legacy_forms_can_be_had(caller: Caller) -> None:
    answer = await caller.create("x [[reply:legacy-fields]][[reply:end-session]]")
    assert "message_metadata" in answer.of("new-message")[0]
    assert answer.types[-1] == "end-session"
    other = await Caller(caller.session, caller.base_url, "user-2").sign_in()
    bare = await other.create("x [[reply:bare-complete]]")
    assert bare.ending == {"type": "interaction-complete"}


async def test_a_create_can_announce_its_message(caller: Caller) -> None:
    answer = await caller.create("x [[reply:announce]]")
    assert answer.types[:2] == ["conversation-created", "user-message-available"]
    (found,) = await caller.messages(answer.conversation_id, id=answer.events[1]["message_id"])
    assert found["message_type"] == "external-event"


async def test_a_voice_answer_has_pcm_pieces_alignment_and_a_source(caller: Caller) -> None:
    answer = await caller.create("x", params={"response_format": "voice"})
    piece = answer.of("new-message")[0]
    assert len(base64.b64decode(piece["message"])) % 2 == 0
    assert "".join(letter for _, letter in piece["transcript_alignment"]) in answer.ending["full_message"]
    path = f"/conversation/{answer.conversation_id}/messages/{answer.ending['message_id']}/source"
    source = await caller.get(path, long_lived="true")
    async with caller.session.get(source["url"]) as response:
        assert (await response.read()).startswith(b"RIFF")


async def test_the_source_of_a_text_message_is_400_and_of_none_404(caller: Caller) -> None:
    answer = await caller.create("x")
    path = f"/conversation/{answer.conversation_id}/messages"
    assert (await caller.ask("GET", f"{path}/{answer.ending['message_id']}/source"))[0] == 400
    assert (await caller.ask("GET", f"{path}/{'b' * 24}/source"))[0] == 404


async def test_a_rule_can_script_replies_too(caller: Caller) -> None:
    await caller.fault("reply:text=By rule.", count=1)
    assert (await caller.create("x")).ending["full_message"] == "By rule."


async def test_the_realistic_pace_spreads_the_pieces(start: Any) -> None:
    caller = await start(pace=1)
    times = []
    url = caller.url("/conversation/?response_format=text")
    async with caller.session.post(url, json={"service_id": SERVICE}, headers=caller.headers) as response:
        async for _ in response.content:
            times.append(time.monotonic())
    assert times[-1] - times[0] > 0.2
