"""The exact form of each request (docs/api-contract.md, 1.2 to 1.8), and what is read from the answers."""

import hashlib
import re
from typing import Any

import pytest

from bridge.core.delivery.reconcile import Finish
from bridge.core.errors import ApiError, Lost, Refused
from bridge.core.event.event_fields import EventKind
from tests.edges.conftest import Serve
from tests.support.amigo import API_KEY, CONVERSATION, SERVICE, agent_at, read, routed
from tests.support.amigo_bench import all_of
from tests.support.scripted import CHUNKED, LAST_CHUNK, SIGN_IN, Request, Talk, signing_in

TYPE = re.compile(r"^multipart\/form-data; boundary=.+$")
CONTROL = ['Content-Disposition: form-data; name="initial_message_type"']
MESSAGE = [
    'Content-Disposition: form-data; name="recorded_message"; filename="message.txt"',
    "Content-Type: text/plain; charset=utf-8",
]


async def one(serve: Serve, ask: Any, *answers: Any, status: int = 200) -> tuple[list[Request], Any]:
    """The requests of one call, the sign-in first, and what the call gives."""
    left = list(answers)

    async def script(talk: Talk) -> None:
        if "ndjson" in talk.request.headers.get("accept", ""):
            await talk.send(CHUNKED + LAST_CHUNK)
            talk.keep_alive = True
        else:
            await talk.answer(status, left.pop(0) if left else b"")

    server = await serve(signing_in(script))
    async with agent_at(server.base_url) as agent:
        found = await ask(agent)
    return server.requests, found


async def opened(request: Any) -> None:
    async with request as stream:
        await read(stream)


def parts(request: Request) -> list[tuple[list[str], bytes]]:
    """(header lines, value) of each part."""
    boundary = b"--" + request.headers["content-type"].partition("boundary=")[2].encode()
    before, *found, after = request.body.split(boundary)
    assert (before, after) == (b"", b"--\r\n")
    assert all(part.startswith(b"\r\n") and part.endswith(b"\r\n") for part in found)
    split = [part[2:-2].partition(b"\r\n\r\n") for part in found]
    return [(lines.decode().split("\r\n"), value) for lines, _, value in split]


async def test_the_sign_in(serve: Serve) -> None:
    (sign_in, _), _ = await one(serve, lambda agent: agent.finish("user-1", CONVERSATION), status=204)
    assert (sign_in.method, sign_in.target, sign_in.body) == ("POST", f"/v1/acme{SIGN_IN}", b"")
    own = {name: value for name, value in sign_in.headers.items() if name.startswith("x-")}
    assert own == {"x-api-key": API_KEY, "x-api-key-id": "key-id-1", "x-user-id": "user-1"}
    assert "authorization" not in sign_in.headers


async def test_every_call_carries_the_token_and_asks_for_no_compression(serve: Serve) -> None:
    async def all_of_them(agent: Any) -> None:
        await opened(agent.create(routed()))
        await opened(agent.interact(routed(), CONVERSATION))
        await agent.finish("user-1", CONVERSATION)
        await agent.modify_tags("user-1", CONVERSATION, {"a": "b"})

    (sign_in, *calls), _ = await one(serve, all_of_them)
    assert sign_in.headers["accept-encoding"] == "identity"
    assert [call.headers["accept-encoding"] for call in calls] == ["identity"] * 4
    assert [call.headers["authorization"] for call in calls] == ["Bearer token of user-1"] * 4
    assert [name for call in calls for name in call.headers if name.startswith(("x-", "sec-"))] == []
    assert all(API_KEY.encode() not in call.body and API_KEY not in str(call.headers) for call in calls)


async def test_create(serve: Serve) -> None:
    event = routed(agent_actions="^action-too-long$", response_format="voice", tags={"source": "payments"})
    (_, request), _ = await one(serve, lambda agent: opened(agent.create(event)))
    assert (request.method, request.path) == ("POST", "/conversation/")
    assert request.query == {"response_format": "voice", "current_agent_action_type": "^action-too-long$"}
    assert request.headers["content-type"] == "application/json"
    assert request.headers["accept"] == "application/x-ndjson"
    assert request.json == {
        "service_id": SERVICE,
        "service_version_set_name": "release",
        "tags": {
            "source": "payments",
            "channel": "sms",
            "channel_type": "text",
            "bridge_event": hashlib.sha256(b"event-1").hexdigest()[:32],
        },
        "initial_message": "the boiler is cold",
        "initial_message_type": "external-event",
    }


async def test_create_without_a_message_sends_neither_message_nor_type(serve: Serve) -> None:
    event = routed(kind=EventKind.AGENT_FIRST, message=None)
    (_, request), _ = await one(serve, lambda agent: opened(agent.create(event)))
    assert set(request.json) == {"service_id", "service_version_set_name", "tags"}


async def test_create_of_a_user_message(serve: Serve) -> None:
    (_, request), _ = await one(serve, lambda agent: opened(agent.create(routed(kind=EventKind.USER_MESSAGE))))
    assert request.json["initial_message_type"] == "user-message"


@pytest.mark.parametrize("kind", [EventKind.EXTERNAL_EVENT, EventKind.USER_MESSAGE])
@pytest.mark.parametrize(
    "message", ["hello", "ünï\r\n\u2028 ✓ {}", "--B\r\nContent-Disposition: form-data", "x" * 500_000]
)
async def test_interact(serve: Serve, kind: EventKind, message: str) -> None:
    event = routed(kind=kind, message=message)
    (_, request), _ = await one(serve, lambda agent: opened(agent.interact(event, CONVERSATION)))
    assert (request.method, request.path) == ("POST", f"/conversation/{CONVERSATION}/interact")
    assert request.query == {
        "request_format": "text",
        "response_format": "text",
        "current_agent_action_type": "^$",
    }
    assert TYPE.match(request.headers["content-type"])
    assert request.headers["accept"] == "application/x-ndjson"
    assert request.headers["content-length"] == str(len(request.body))
    assert parts(request) == [(CONTROL, kind.value.encode()), (MESSAGE, message.encode())]


async def test_interact_without_a_message_is_a_skip_with_an_empty_part(serve: Serve) -> None:
    event = routed(kind=EventKind.AGENT_FIRST, message=None)
    (_, request), _ = await one(serve, lambda agent: opened(agent.interact(event, CONVERSATION)))
    assert parts(request) == [(CONTROL, b"skip"), (MESSAGE, b"")]


async def test_two_interacts_have_two_boundaries(serve: Serve) -> None:
    async def twice(agent: Any) -> None:
        await opened(agent.interact(routed(), CONVERSATION))
        await opened(agent.interact(routed(), CONVERSATION))

    (_, one_, other), _ = await one(serve, twice)
    assert one_.headers["content-type"] != other.headers["content-type"]


@pytest.mark.parametrize(
    ("status", "means"),
    [(204, Finish.DONE), (200, Finish.DONE), (400, Finish.GONE), (404, Finish.GONE), (409, Finish.RUNNING)],
)
async def test_finish(serve: Serve, status: int, means: Finish) -> None:
    (_, request), found = await one(serve, lambda agent: agent.finish("user-1", CONVERSATION), status=status)
    assert (request.method, request.target) == ("POST", f"/v1/acme/conversation/{CONVERSATION}/finish/")
    assert (request.body, found) == (b"", means)


async def test_finish_that_is_refused_otherwise_says_so(serve: Serve) -> None:
    with pytest.raises(Refused):
        await one(serve, lambda agent: agent.finish("user-1", CONVERSATION), status=403)


async def test_modify_tags(serve: Serve) -> None:
    (_, request), _ = await one(
        serve, lambda agent: agent.modify_tags("user-1", CONVERSATION, {"channel": "sms"}), status=204
    )
    assert (request.method, request.target) == ("POST", f"/v1/acme/conversation/{CONVERSATION}/tags/")
    assert request.headers["content-type"] == "application/json"
    assert request.json == {"updates": {"channel": "sms"}, "deletes": []}


def row(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"{number:024x}",
        "user_id": "user 1+",
        "service_id": SERVICE,
        "is_finished": False,
        "num_messages": 2,
        "tags": {"bridge_event": f"event{number}", "none": None},
        **changes,
    }


async def test_the_list_of_conversations_is_read_page_by_page(serve: Serve) -> None:
    pages = [
        {"conversations": [row(1), row(2)], "has_more": True, "continuation_token": 2},
        {"conversations": [row(2), row(3)], "has_more": True, "continuation_token": "4"},
        {"conversations": [], "has_more": False, "continuation_token": None},
    ]
    (_, *requests), rows = await one(serve, lambda agent: all_of(agent.conversations("user 1+", SERVICE)), *pages)
    assert [request.query["continuation_token"] for request in requests] == ["0", "2", "4"]
    assert [row.id[-1] for row in rows] == ["1", "2", "3"]  # a row that moved to the next page counts once
    assert (rows[0].num_messages, rows[0].is_finished, dict(rows[0].tags)) == (
        2,
        False,
        {"bridge_event": "event1", "none": None},
    )
    assert requests[0].path == "/conversation/"
    assert requests[0].query | {"continuation_token": ""} == {
        "user_id": "user 1+",
        "service_id": SERVICE,
        "sort_by": "-created_at",
        "limit": "100",
        "continuation_token": "",
    }
    assert "user_id=user+1%2B" in requests[0].raw_query


async def test_rows_of_somebody_else_are_dropped_whatever_the_server_filtered(serve: Serve) -> None:
    page = {
        "conversations": [row(1), row(2, user_id="user-2"), row(3, service_id="f" * 24), row(4), "rubbish", None],
        "has_more": False,
    }
    _, rows = await one(serve, lambda agent: all_of(agent.conversations("user 1+", SERVICE)), page)
    assert [row.id[-1] for row in rows] == ["1", "4"]
    (_, request), rows = await one(
        serve, lambda agent: all_of(agent.conversations("user 1+", conversation_id=f"{4:024x}")), page
    )
    assert [row.id[-1] for row in rows] == ["4"]
    assert request.query["id"] == f"{4:024x}"
    assert "service_id" not in request.query


def message(number: int) -> dict[str, Any]:
    return {"id": f"m{number}", "interaction_id": "i1", "message_type": "agent-message", "message": f"text {number}"}


async def test_messages_are_asked_for_oldest_first(serve: Serve) -> None:
    pages = [
        {"messages": [message(1), message(2)], "has_more": True, "continuation_token": 2},
        {"messages": [message(3)], "has_more": False, "continuation_token": None},
    ]
    (_, *requests), found = await one(serve, lambda agent: all_of(agent.messages("user-1", CONVERSATION)), *pages)
    assert [message.text for message in found] == ["text 1", "text 2", "text 3"]
    assert requests[0].path == f"/conversation/{CONVERSATION}/messages/"
    assert "sort_by=%2Bcreated_at" in requests[0].raw_query
    assert [request.query["limit"] for request in requests] == ["50", "50"]


async def test_messages_of_a_conversation_that_does_not_exist_are_none(serve: Serve) -> None:
    _, found = await one(serve, lambda agent: all_of(agent.messages("user-1", CONVERSATION)), status=404)
    assert found == []


@pytest.mark.parametrize("token", ["soon", [7], {"offset": 1}, True])
async def test_a_continuation_token_that_cannot_be_read_is_lost_and_no_bug(serve: Serve, token: object) -> None:
    page = {"conversations": [row(1)], "has_more": True, "continuation_token": token}
    with pytest.raises(Lost):
        await one(serve, lambda agent: all_of(agent.conversations("user 1+")), page, *[page] * 200)


async def test_pages_without_end_are_given_up(serve: Serve) -> None:
    page = {"messages": [], "has_more": True, "continuation_token": 1}
    with pytest.raises(Lost):
        await one(serve, lambda agent: all_of(agent.messages("user-1", CONVERSATION)), *[page] * 200)


@pytest.mark.parametrize("odd", [{"id": 5, "tags": []}, {"num_messages": "many"}, {"tags": {"bridge_event": 5}}, {}])
async def test_a_row_of_an_odd_form_does_no_harm(serve: Serve, odd: dict[str, Any]) -> None:
    page = {"conversations": [{**row(1), **odd} if odd else {}], "has_more": False}
    try:
        _, (found, *_) = await one(serve, lambda agent: all_of(agent.conversations("user 1+")), page)
        found.carries("event1")
    except ApiError:
        pass  # said as an error of the API, which is as good
