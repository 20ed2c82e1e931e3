"""Requests that the API refuses, with the exact status; FastAPI's form of the error."""

import asyncio
from typing import Any

import aiohttp
import pytest
from yarl import URL

from tests.sandbox.caller import SERVICE, Caller

CREATE = "/conversation/?response_format=text"
MANY = {f"key {number}": "x" for number in range(21)}
NOT_HEX = "5F0000000000000000000001"


@pytest.mark.parametrize(
    ("path", "where"),
    [
        ("/conversation/", ["query", "response_format"]),
        ("/conversation/?response_format=smoke", ["query", "response_format"]),
        (f"{CREATE}&current_agent_action_type=(", ["query", "current_agent_action_type"]),
    ],
)
async def test_create_needs_its_queries(caller: Caller, path: str, where: list[str]) -> None:
    status, content = await caller.ask("POST", path, {"service_id": SERVICE})
    assert status == 422
    assert content["detail"][0]["loc"] == where


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"service_id": NOT_HEX},
        {"service_id": SERVICE, "initial_message": "x"},
        {"service_id": SERVICE, "initial_message_type": "user-message"},
        {"service_id": SERVICE, "initial_message": "   ", "initial_message_type": "user-message"},
        {"service_id": SERVICE, "initial_message": "x", "initial_message_type": "skip"},
        {"service_id": SERVICE, "tags": MANY},
        {"service_id": SERVICE, "tags": {"a-b": "x"}},
        {"service_id": SERVICE, "tags": {"a": ""}},
        {"service_id": SERVICE, "tags": {"a": "x" * 101}},
        {"service_id": SERVICE, "tags": {"a": 1}},
        {"service_id": SERVICE, "is_test": "maybe"},
        [],
    ],
)
async def test_create_refuses_a_wrong_body(caller: Caller, body: object) -> None:
    assert (await caller.ask("POST", CREATE, body))[0] == 422


@pytest.mark.parametrize(
    "body",
    [{"service_id": "0" * 24}, {"service_id": SERVICE, "service_version_set_name": "missing"}],
)
async def test_an_unknown_service_or_version_set_is_404(caller: Caller, body: object) -> None:
    assert (await caller.ask("POST", CREATE, body))[0] == 404


@pytest.mark.parametrize(
    ("value", "at_create", "at_modify"),
    [
        ("sms", 201, 204),
        (None, 201, 204),
        (" web_chat ", 201, 204),
        ("web-chat", 201, 422),
        ("a@b.co", 201, 422),
        ("+15551234", 201, 422),
        ("x" * 101, 422, 204),
        ("", 422, 422),
    ],
)
async def test_create_and_modify_take_different_tag_values(
    caller: Caller, value: str | None, at_create: int, at_modify: int
) -> None:
    created = await caller.create()
    path = f"/conversation/{created.conversation_id}/tags/"
    modified, _ = await caller.ask("POST", path, {"updates": {"channel": value}})
    other = await caller.create(body={"service_id": "5f0000000000000000000009", "tags": {"channel": value}})
    assert (other.status, modified) == (at_create, at_modify)


@pytest.mark.parametrize("change", [{"updates": MANY}, {"deletes": [""]}, {"updates": {"a:b": "x"}}, {"updates": []}])
async def test_modify_refuses_wrong_tags(caller: Caller, change: object) -> None:
    created = await caller.create()
    assert (await caller.ask("POST", f"/conversation/{created.conversation_id}/tags/", change))[0] == 422


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/conversation/?limit=0", 422),
        ("/conversation/?limit=150", 200),
        ("/conversation/?limit=151", 422),
        ("/conversation/?limit=many", 422),
        ("/conversation/?sort_by=%2Bcreated_at", 200),
        ("/conversation/?sort_by=-created_at", 200),
        ("/conversation/?sort_by=created_at", 422),
        ("/conversation/?sort_by=%2Bname", 422),
        (f"/conversation/?service_id={NOT_HEX}", 422),
        ("/conversation/?user_id=anything%20goes", 200),
        ("/conversation/?is_finished=perhaps", 422),
        ("/conversation/?is_finished=1", 200),
        ("/conversation/?tag=no-colon", 422),
        ("/service/?limit=20", 200),
        ("/service/?limit=21", 422),
        ("/user/?limit=0", 200),
        ("/user/?limit=101", 422),
        ("/user/?email=nobody", 422),
        ("/webhook_destination/?id=short", 422),
        ("/conversation/short/messages/", 422),
        (f"/conversation/{'a' * 24}/messages/", 404),
        (f"/conversation/{'a' * 24}/messages/?limit=501", 422),
        (f"/conversation/{'a' * 24}/messages/?message_type=gossip", 422),
    ],
)
async def test_lists_check_their_parameters(caller: Caller, path: str, status: int) -> None:
    url = URL(caller.url(path), encoded=True)
    async with caller.session.get(url, headers=caller.headers) as response:
        assert response.status == status, await response.text()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/conversation"),
        ("POST", f"/conversation/{'a' * 24}/interact/"),
        ("POST", f"/conversation/{'a' * 24}/finish"),
        ("GET", "/service"),
        ("POST", "/user/signin_with_api_key/"),
        ("GET", f"/conversation/{'a' * 24}/messages"),
    ],
)
async def test_a_wrong_last_slash_is_redirected_with_307(caller: Caller, method: str, path: str) -> None:
    url = caller.url(path)
    async with caller.session.request(method, url, headers=caller.headers, allow_redirects=False) as response:
        assert response.status == 307
        assert response.headers["Location"] == (url[:-1] if url.endswith("/") else f"{url}/")


async def test_unknown_paths_are_404_and_wrong_methods_405(caller: Caller) -> None:
    assert await caller.ask("GET", "/nothing") == (404, {"detail": "Not Found"})
    assert await caller.ask("PUT", "/conversation/") == (405, {"detail": "Method Not Allowed"})


def parts(**fields: Any) -> aiohttp.FormData:
    form = aiohttp.FormData(default_to_multipart=True)
    for name, values in fields.items():
        for value in values if isinstance(values, list) else [values]:
            form.add_field(name, value, filename="audio" if isinstance(value, bytes) else None)
    return form


@pytest.mark.parametrize(
    ("form", "status"),
    [
        (parts(initial_message_type="user-message", recorded_message="hi"), 200),
        (parts(initial_message_type="user-message", recorded_message=""), 400),
        (parts(initial_message_type="external-event", recorded_message="  "), 400),
        (parts(initial_message_type="user-message"), 422),
        (parts(recorded_message="hi"), 422),
        (parts(initial_message_type="gossip", recorded_message="hi"), 422),
        (parts(initial_message_type="skip", recorded_message=""), 200),
        (parts(initial_message_type="skip", recorded_message="hi"), 422),
        (parts(initial_message_type="user-message", recorded_message=b"\xff\xfe"), 422),
        (
            parts(initial_message_type="user-message", recorded_message="hi", external_event_message_content="event"),
            422,
        ),
        (
            parts(
                initial_message_type="user-message",
                recorded_message="hi",
                external_event_message_content=["one", ""],
                external_event_message_timestamp=["2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"],
            ),
            422,
        ),
        (
            parts(
                initial_message_type="user-message",
                recorded_message="hi",
                external_event_message_content="event",
                external_event_message_timestamp="yesterday",
            ),
            422,
        ),
    ],
)
async def test_interact_takes_exactly_three_shapes(caller: Caller, form: aiohttp.FormData, status: int) -> None:
    created = await caller.create()
    params = {"request_format": "text", "response_format": "text"}
    answer = await caller._stream(f"/conversation/{created.conversation_id}/interact", data=form, params=params)
    assert answer.status == status


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "multipart/form-data", "multipart/form-data;boundary=b", "multipart/form-data;  boundary=b"],
)
async def test_interact_wants_the_content_type_to_the_letter(caller: Caller, content_type: str) -> None:
    created = await caller.create()
    path = f"/conversation/{created.conversation_id}/interact"
    params = {"request_format": "text", "response_format": "text"}
    body = b"--b\r\nContent-Disposition: form-data; name=initial_message_type\r\n\r\nuser-message\r\n--b--\r\n"
    answer = await caller._stream(path, data=body, params=params, headers={"content-type": content_type})
    assert answer.status == 422


async def test_the_message_may_come_as_a_file_or_as_a_field(caller: Caller) -> None:
    created = await caller.create()
    form = aiohttp.FormData(default_to_multipart=True)
    form.add_field("initial_message_type", "user-message")
    text = "Grüße aus Zürich ✓"
    form.add_field("recorded_message", text.encode(), filename="message.txt", content_type="text/plain; charset=utf-8")
    params = {"request_format": "text", "response_format": "text"}
    answer = await caller._stream(f"/conversation/{created.conversation_id}/interact", data=form, params=params)
    assert answer.events[0]["user_message"] == text


@pytest.mark.parametrize(
    ("audio", "config", "status"),
    [
        (b"ID3 some audio", '{"type":"mp3"}', 200),
        (b"RIFF some audio", '{"type":"pcm","frame_rate":16000,"n_channels":1,"sample_width":2}', 200),
        (b"fLaC some audio", '{"type":"pcm","frame_rate":16000,"n_channels":1,"sample_width":2}', 415),
        (b"OggS some audio", '{"type":"mp3"}', 415),
        (b"RIFF some audio", '{"type":"pcm","frame_rate":96000,"n_channels":1,"sample_width":2}', 422),
        (b"RIFF some audio", None, 422),
    ],
)
async def test_voice_needs_its_configuration_and_a_known_format(
    caller: Caller, audio: bytes, config: str | None, status: int
) -> None:
    created = await caller.create()
    form = parts(initial_message_type="user-message", recorded_message=audio)
    params = {"request_format": "voice", "response_format": "text"}
    params |= {} if config is None else {"request_audio_config": config}
    answer = await caller._stream(f"/conversation/{created.conversation_id}/interact", data=form, params=params)
    assert answer.status == status


async def test_a_body_that_does_not_arrive_in_time_is_408(start: Any) -> None:
    caller = await start(body_timeout_s=1.0)
    created = await caller.create()

    async def half_a_body() -> Any:
        yield b"--b\r\nContent-Disposition: form-data; name=initial_message_type\r\n\r\nuser"
        await asyncio.Event().wait()

    headers = {"content-type": "multipart/form-data; boundary=b"}
    params = {"request_format": "text", "response_format": "text"}
    path = f"/conversation/{created.conversation_id}/interact"
    answer = await caller._stream(path, data=half_a_body(), params=params, headers=headers)
    assert answer.status == 408
